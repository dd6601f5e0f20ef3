r"""Attention on harmonics: its eigenvalues by Funk and Hecke, scaled by e^{-beta}.

e^{b (<x,y> - 1)} = sum_k N_k a_k P_k(<x,y>), sum_k N_k a_k = 1, with P_k(1) = 1 and, on S^{d-1},

    a_k = e^{-b} Gamma(d/2) (2/b)^nu I_{k+nu}(b),   nu = d/2 - 1,
    N_k = (2k + d - 2) (k + d - 3)! / (k! (d - 2)!)   (2 on the circle).

    symbol  meaning                                                   shape
    a       eigenvalue of the kernel on degree k = 0, 1, ...          k
    N       dimension of the harmonics of degree k                    k
    P_k     cos k phi for d = 2, Legendre for d = 3, Gegenbauer       -
"""

import dataclasses
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, ive

from spinodal.errors import InputError
from spinodal.flows import AttentionField, Law, law, unchecked_drift
from spinodal.flows.state import State

TAIL = 1e-17  # sum of what is left out, relative to the largest value of the kernel
BETA_MAX = 1e4


class DriftLaw(NamedTuple):
    """dx/dt = value * drift of attention on S^{d-1}, or the drift of a field of any heads.

    value = 1 is V = I; value = -1 is V = -I, the repulsive flow. `law` holds beta and the clock. `field` is
    None where these determine the drift; else dx/dt is the field's, and beta the largest |beta Q^T K| of its
    heads, which sets the resolution of a solver.
    """

    law: Law
    d: int
    value: float = 1.0
    field: AttentionField | None = None

    @property
    def beta(self) -> float:
        return self.law.beta

    def drift(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n d"]:
        """dx/dt of unit vectors with these weights, by the fastest engine."""
        if self.field is not None:
            return self.field(0.0, State(x, np.ones(len(x))), weights).drift
        return self.value * unchecked_drift(x, weights, self.law).drift


def is_invariant(field: AttentionField) -> bool:
    """Whether a field is one head whose beta Q^T K >= 0 and V are multiples of the identity, and no more.

    Then it commutes with rotations, and the uniform density rests: the linear theory of degrees holds.
    """
    alike = field.one_head and field.heads[0].isotropic and not reads_prefixes(field)
    return alike and field.interactions[0].kernel.inverse_temperature >= 0


def reads_prefixes(field: AttentionField) -> bool:
    """Whether a causal mask gives each index a density of its own: not with SA, which divides by what is read."""
    return field.causal and field.kind != "sa"


def law_of(field: AttentionField, d: int) -> DriftLaw:
    """The drift of a density under a field on S^{d-1}, without its mask; InputError where its beta is too large."""
    sliced = reads_prefixes(field)
    field = dataclasses.replace(field, causal=False) if field.causal else field
    sharpest = max(field.interactions, key=lambda head: head.top)
    plain = is_invariant(field) and not sliced
    law = drift_law(field.kind if plain else "sa", sharpest.top, d)
    if plain:
        return law._replace(law=sharpest.law, value=float(field.heads[0].value_matrix))
    return law._replace(field=field)


def drift_law(kind: str, beta: float, d: int = 2, *, repulsive: bool = False) -> DriftLaw:
    """dx/dt = +-rate sum_j w_j e^{beta (<x, x_j> - 1)} P_x x_j for "sa", "usa" or "gkpr"  [glpr2023].

    The drift of a density from its kind, inverse temperature and dimension; `spinodal.flows.law` defines the kinds.
    InputError for an unknown kind, beta out of range and d < 2.
    """
    if d < 2:
        raise InputError(f"d = {d}: tokens live on spheres of R^2 and above")
    checked = law(kind, beta)
    if beta < 0:
        raise InputError(f"`beta` {beta:g}: a density flows with beta >= 0; simulate particles", field="beta")
    if beta > BETA_MAX:
        raise InputError(
            f"beta = {beta:g}: densities end at {BETA_MAX:g}, where clusters are as narrow as {BETA_MAX**-0.5:g}; "
            "simulate particles, whose fields go further"
        )
    return DriftLaw(checked, d, -1.0 if repulsive else 1.0)


class Spectrum(NamedTuple):
    """a_k and a_k / beta, as many degrees as the kernel needs to rounding, and their dimensions N_k."""

    a: Float[np.ndarray, " k"]
    slope: Float[np.ndarray, " k"]
    N: Float[np.ndarray, " k"]


@lru_cache
def spectrum(d: int, beta: float) -> Spectrum:
    """The `Spectrum` up to the degree beyond which sum_k N_k a_k max(1, k^2) is below rounding."""
    top = 32
    while True:
        k = np.arange(top)
        a, N = eigenvalues(k, d, beta), dimensions(k, d)
        strength = N * a * np.maximum(1, k * k)
        if strength[-1] < TAIL**1.5:
            break
        top *= 2
    kept = max(2, np.count_nonzero(np.cumsum(strength[::-1])[::-1] > TAIL * np.max(strength)))
    slope = a / beta if beta > 0 else np.where(k == 1, 1 / d, 0.0)
    return Spectrum(a[:kept], slope[:kept], N[:kept])


def eigenvalues(k: Int[np.ndarray, " k"], d: int, beta: float) -> Float[np.ndarray, " k"]:
    """a_k = e^{-beta} Gamma(d/2) (2/beta)^nu I_{k+nu}(beta)  [bpa2024]."""
    if beta == 0:
        return np.where(k == 0, 1.0, 0.0)
    nu = d / 2 - 1
    with np.errstate(divide="ignore"):
        return np.exp(gammaln(d / 2) + nu * np.log(2 / beta) + np.log(ive(k + nu, beta)))


def dimensions(k: Int[np.ndarray, " k"], d: int) -> Float[np.ndarray, " k"]:
    """N_k = (2k + d - 2) / (k + d - 2) * binomial(k + d - 2, k), N_0 = 1.

    The number of independent spherical harmonics of degree k in R^d.
    """
    if d == 2:
        return np.where(k > 0, 2.0, 1.0)
    binomial = np.exp(gammaln(k + d - 1) - gammaln(k + 1) - gammaln(d - 1))
    return (2 * k + d - 2) / (k + d - 2) * binomial
