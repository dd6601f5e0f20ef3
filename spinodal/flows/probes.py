r"""Probes: unit vectors that drift as tokens of weight 0, so that they do not act on any token.

Pairs of near probes give finite-time Lyapunov exponents, the rates at which the flow separates near points:

    lambda(t) = log( |y - y'|(t) / |y - y'|(0) ) / t

    symbol  meaning                                 shape
    y, y'   the two probes of a pair                t k d
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from spinodal import sphere
from spinodal.arrays import points_array, token_array
from spinodal.errors import InputError
from spinodal.flows.engines.field import require_probes
from spinodal.flows.starts import check_seed
from spinodal.flows.time.merging import TOUCHING

SEPARATION = 1e-5


def uniform_probes(m: int, d: int) -> Float[np.ndarray, "m d"]:
    """m probes, uniform on the unit sphere of R^d; always the same ones. InputError for m < 1."""
    if m < 1:
        raise InputError(
            f"`probes` {m}: a number of probes, 1 or more, or unit vectors [m d]", field="probes"
        )
    return sphere.uniform(m, d, np.random.default_rng([m, d, 2]))


def probe_array(
    probes: int | Shaped[Any, "m d"] | Sequence[Any], d: int, *, euclidean: bool = False
) -> Float[np.ndarray, "m d"]:
    """Probes as unit vectors [m d]: the given ones, or for a number m as many uniform ones, always the same.

    Any points of R^d where `euclidean`, and no number of them. InputError for what is neither a number of 1 or more nor
    unit vectors [m d].
    """
    if euclidean:
        if np.ndim(probes) == 0:
            raise InputError(
                f"`probes` {probes!r}: points [m d] are needed, without layer norm", field="probes"
            )
        y = points_array(probes, "probes")
        require_probes(y, d, euclidean)
        return y
    if isinstance(probes, Integral) and not isinstance(probes, bool):
        return uniform_probes(int(probes), d)
    if np.ndim(probes) == 0:
        raise InputError(f"`probes` {probes!r}: a number of probes, or unit vectors [m d]", field="probes")
    y = token_array(probes, "probes")
    require_probes(y, d)
    return y


def probe_pairs(
    points: Float[np.ndarray, "k d"], *, separation: float = SEPARATION, seed: int = 0
) -> Float[np.ndarray, "m d"]:
    """y_0, y_0', y_1, y_1', ...: beside each point another one, `separation` away in a random direction.

    Probes 2k and 2k + 1 of a simulation, for `lyapunov_exponents`. InputError for a separation outside (1e-8, 0.1],
    at whose lower end tokens merge.
    """
    if not 1e-8 < separation <= 0.1:
        raise InputError(
            f"`separation` {separation:g}: above 1e-8, where tokens merge, to 0.1", field="separation"
        )
    check_seed(seed)
    y = sphere.normalise(np.asarray(points, np.float64))
    aside = sphere.tangent(y, np.random.default_rng([seed, 2]).standard_normal(y.shape))
    near = sphere.normalise(y + separation * sphere.normalise(aside))
    return np.stack([y, near], 1).reshape(-1, y.shape[1])


def lyapunov_exponents(
    times: Float[np.ndarray, " t"], probes: Float[np.ndarray, "t m d"]
) -> Float[np.ndarray, "s k"]:
    """lambda_k(t) = log(|y_k - y_k'|(t) / |y_k - y_k'|(0)) / t of the pairs (0, 1), (2, 3), ..., at all times but 0.

    Finite-time Lyapunov exponents: negative where the flow joins what is near. -inf from the time on at which a pair
    has merged, or is nearer than 1e-14, which rounding moves. InputError for an odd number of probes, and for a
    pair in one place.
    """
    if probes.ndim != 3 or probes.shape[1] % 2 or len(probes) != len(times):
        raise InputError(
            f"`probes` have shape {probes.shape}: pairs [t m d], m even, are needed at {len(times)} times",
            field="probes",
        )
    apart = np.linalg.norm(probes[:, ::2] - probes[:, 1::2], axis=2)
    merged = np.logical_or.accumulate(apart <= TOUCHING)
    if merged[0].any():
        raise InputError(
            f"`probes` {2 * int(np.argmax(merged[0]))} and the next are in one place", field="probes"
        )
    apart[merged] = 0.0
    with np.errstate(divide="ignore"):
        return np.log(apart[1:] / apart[0]) / (times[1:, None] - times[0])
