r"""The public function `field`, which checks its input and calls the engine that `choose` selects."""

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Shaped

from spinodal import sphere as unit_sphere
from spinodal.arrays import token_array, weight_array
from spinodal.errors import InputError, require_type
from spinodal.flows.engines import direct
from spinodal.flows.engines.choose import TOLERANCE, choose_engines, unchecked_drift
from spinodal.flows.engines.engine import Problem
from spinodal.flows.engines.law import Drift, law
from spinodal.loops import compiled, plus

UNIT = 1e-13  # a token's length may be off by this much
SUM = 1e-9  # and the sum of the weights
EVERY_PAIR = ("direct", "attention")  # engines whose sums a GPU computes where the tokens lie on one
FARTHEST = 1e150  # entry of a token in R^d, whose squares doubles still hold


@compiled(fastmath={"contract"})  # that is, with NaN
@no_type_check
def first_faults(x, weights):
    """(number of tokens that are not unit vectors, number of weights that are not >= 0, sum of weights)."""
    crooked = negative = total = 0.0
    n, d = x.shape
    flat = x.reshape(-1)
    if d == 2:  # the same loop for one d is a vector loop
        for i in range(n):
            q = flat[2 * i] * flat[2 * i] + flat[2 * i + 1] * flat[2 * i + 1]
            crooked = plus(crooked, 0.0 if abs(q - 1) <= 2 * UNIT else 1.0)
    else:
        for i in range(n):
            q = 0.0
            for k in range(d):
                q += x[i, k] * x[i, k]
            crooked += 0.0 if abs(q - 1) <= 2 * UNIT else 1.0
    for i in range(n):
        negative = plus(negative, 0.0 if weights[i] >= 0 else 1.0)
        total = plus(total, weights[i])
    return crooked, negative, total


def check(x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " _"]) -> None:
    """One InputError that names the first thing wrong with tokens or weights."""
    n, d = x.shape
    if n == 0:
        raise InputError("x holds no token: its shape is (0, d)")
    if d < 2:
        raise InputError(f"x has d = {d}: tokens live on spheres of R^2 and above")
    require_weight_each(weights, n)
    crooked, negative, total = first_faults(x, weights)
    if crooked:
        unit_sphere.require_unit(x, UNIT)
    require_masses(weights, negative, total)


def check_points(x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " _"]) -> None:
    """`check` of tokens of any length: one InputError that names the first thing wrong with them or their weights."""
    require_weight_each(weights, len(x))
    if np.abs(x).max(initial=0.0) > FARTHEST:
        raise InputError(
            f"`start` holds {np.abs(x).max():.3g}: entries up to {FARTHEST:g} are followed", field="start"
        )
    _, negative, total = first_faults(x, weights)
    require_masses(weights, negative, total)


def require_weight_each(weights: Float[np.ndarray, " _"], n: int) -> None:
    if weights.shape != (n,):
        raise InputError(f"`weights` have shape {weights.shape}, {n} tokens need ({n},)", field="weights")


def require_masses(weights: Float[np.ndarray, " n"], negative: float, total: float) -> None:
    """InputError for weights of which so many are negative, or whose total is not 1."""
    if negative:
        i = int(np.flatnonzero(~(weights >= 0))[0])
        raise InputError(f"weight {i} is {weights[i]:g}: `weights` are >= 0", field="weights")
    if not abs(total - 1) <= SUM:
        raise InputError(f"`weights` sum to {total:.12g}, not to 1: divide by their sum", field="weights")


def require_probes(probes: Float[np.ndarray, "m _"], d: int, euclidean: bool = False) -> None:
    """InputError for probes that are no unit vectors of R^d, or no points of it where `euclidean`."""
    if probes.shape[1] != d:
        kind = "points" if euclidean else "unit vectors"
        raise InputError(
            f"`probes` have shape {probes.shape}: {kind} [m d] with d = {d} are needed",
            field="probes",
        )
    if euclidean:
        return
    try:
        unit_sphere.require_unit(probes, UNIT)
    except InputError as fault:
        raise InputError(f"`probes`: {fault}", field="probes") from None


def with_probes(
    x: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    probes: Float[np.ndarray, "m _"],
    euclidean: bool = False,
) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
    """Tokens and weights with probes behind them, of weight 0. InputError for probes that are no unit vectors.

    Points of any length where `euclidean`.
    """
    require_probes(probes, x.shape[1], euclidean)
    return np.concatenate([x, probes]), np.append(weights, np.zeros(len(probes)))


def warn_of_lost_digits(answer: Drift, tolerance: float) -> None:
    """Warns where bounds exceed the tolerance and the tokens were too many to be computed again."""
    if answer.engine == direct.ENGINE.name:
        return
    limit = tolerance * np.abs(answer.drift).max()
    lost = int(np.count_nonzero(answer.error_bound > limit))
    if lost:
        warnings.warn(
            f"the drift of {lost} tokens is not known to {tolerance:g} of the largest drift: `error_bound` says how "
            "well, and engine 'direct' keeps all digits",
            stacklevel=3,
        )


def device_of(x: Any) -> Any:
    """The device of a tensor, None for arrays and lists."""
    return None if isinstance(x, np.ndarray) else getattr(x, "device", None)


def is_gpu(device: Any) -> bool:
    """Whether a device is a GPU that computes in double precision."""
    return getattr(device, "type", None) == "cuda"


def field(
    x: Shaped[Any, "n d"] | Sequence[Any],
    weights: Shaped[Any, " _"] | Sequence[Any],
    *,
    beta: float,
    kind: str = "sa",
    engine: str = "auto",
    tolerance: float = TOLERANCE,
    probes: Shaped[Any, "m d"] | Sequence[Any] | None = None,
) -> Drift:
    """dx_i/dt = rate_i sum_j w_j e^{b(<x_i,x_j> - 1)} P_{x_i} x_j  [glpr2023; gkpr2024].

    The drift of every token under attention with Q = K = V = I; rate_i is 1/Z_i for kind "sa", e^b for "usa" and 1
    for "gkpr". Tokens x [n d] are unit vectors of R^d, d > 1; weights [n] are >= 0 and sum to one, and a token that
    stands for several has their weight. Arrays, lists or tensors, in any memory order; those of lower precision are
    scaled to length 1, and to the sum 1, in double precision.

    Returns (drift [n d], Z [n], error_bound [n]) in double precision, tensors where `x` is one, with the name of the
    engine that ran as `.engine`: Z_i is the scaled sum_j w_j e^{b(<x_i,x_j> - 1)} in [0, 1], and error_bound_i bounds
    |drift_i - exact drift_i|. "usa" and "gkpr" are two definitions of unnormalised attention, whose times differ by the
    factor `usa_clock`; `law` defines all three.

    Engines: "direct" sums over all pairs, O(n^2), and keeps all digits of the slowest flow; "circle" (d = 2), "sphere"
    (d = 3) and "harmonics" (d = 4 to 8, fewer at larger beta) are O(n); "attention" and "lowrank" serve any
    d; "span" works in n dimensions where n < d. "auto" takes the fastest. Whichever runs, tokens whose bound
    exceeds `tolerance` times the largest drift are computed again by "direct", as long as that takes a second
    or two, and a warning is given where it would take more; with an infinite tolerance only tokens with an
    infinite bound are computed again, such as probes far from all mass. Tokens on a CUDA device are summed there, over
    all pairs by differences, where "direct" or "attention" is named or is what "auto" takes.

    `probes` [m d] are unit vectors without weight: they drift and pull at nothing. The answer then has n + m rows, the
    last m theirs.

    InputError for tokens that are not unit vectors, wrong weights, beta out of range, a negative tolerance, unknown
    names, and for what is of another type: complex numbers, masked arrays, tensors that require a gradient.

    >>> import numpy as np
    >>> from spinodal import flows
    >>> x = np.eye(2)
    >>> drift, Z, bound = flows.field(x, np.array([0.5, 0.5]), beta=1.0)
    >>> (drift.round(6) + 0.0).tolist()
    [[0.0, 0.268941], [0.268941, 0.0]]
    >>> Z.round(6).tolist()
    [0.68394, 0.68394]
    """
    tokens, masses = token_array(x, "x"), weight_array(weights)
    check(tokens, masses)
    require_type("tolerance", tolerance, Real)
    if not tolerance >= 0:
        raise InputError(f"`tolerance` {tolerance}: must be 0 or more", field="tolerance")
    if probes is not None:
        tokens, masses = with_probes(tokens, masses, token_array(probes, "probes"))
    rule, device = law(kind, beta), device_of(x)
    if is_gpu(device):
        from spinodal.flows.engines import gpu

        if choose_engines(Problem(len(tokens), tokens.shape[1], rule.beta), engine)[0].name in EVERY_PAIR:
            return gpu.drift(device, tokens, masses, rule)
    answer = unchecked_drift(tokens, masses, rule, engine, tolerance)
    warn_of_lost_digits(answer, tolerance)
    if device is None:
        return answer
    import torch

    return Drift(*(torch.from_numpy(part).to(device) for part in answer), engine=answer.engine)
