r"""Points on spheres: where repelling tokens end, and the chance that random ones lie in one hemisphere.

V = -I drives tokens to minima of the energy. Configurations that minimise every completely monotone energy at
once, so for every beta, are few and known by their inner products; tokens in one open hemisphere contract.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import bdtr

from spinodal.errors import InputError
from spinodal.limits import require_at_most
from spinodal.theory.domain import TERMS, Counts, Numbers, count


def optimal_overlaps(n: int, d: int) -> Float[np.ndarray, " k"]:
    """-1/(n-1) for n <= d+1; cos(2 pi j / n) for d = 2; 0, -1 for n = 2d; +-1/sqrt 5, -1 for (12, 3)  [cohn2007].

    The sorted distinct <x_i, x_j>, i != j, of the universally optimal n points on S^{d-1}: simplex, polygon,
    cross-polytope and icosahedron, where repelling tokens end. InputError for other n and d.
    """
    count("n", n, 2)
    count("d", d, 2)
    if n <= d + 1:
        return np.array([-1 / (n - 1)])
    if d == 2:
        require_at_most(TERMS, n // 2, "overlaps")
        return np.cos(2 * np.pi * np.arange(n // 2, 0, -1) / n)
    if n == 2 * d:
        return np.array([-1.0, 0.0])
    if (n, d) == (12, 3):
        return np.array([-1.0, -1 / np.sqrt(5), 1 / np.sqrt(5)])
    raise InputError(f"n = {n}, d = {d}: known are n <= d+1, d = 2, n = 2d, and n = 12 for d = 3")


def hemisphere_probability(n: Counts, d: Counts) -> Numbers:
    """P = 2^{1-n} sum_{k<d} C(n-1, k)  [wendel1962].

    The probability that n independent uniform points of S^{d-1} lie in one hemisphere, from where they contract.
    """
    n, d = count("n", n, 1), count("d", d, 1)
    return bdtr(np.minimum(d, n) - 1, n - 1, 0.5)
