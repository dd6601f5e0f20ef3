r"""The kinds of attention that engines compute, and the types of their results.

Attention here is SA or USA with Q = K = V = I on weighted tokens, sum_j w_j = 1,
    num_i = sum_j w_j e^{b(<x_i,x_j> - 1)} P_{x_i} x_j,    Z_i = sum_j w_j e^{b(<x_i,x_j> - 1)},
the token itself included (its term is zero in num_i and counts in Z_i). The kernel is scaled by e^{-b}
so that Z lies in (0, 1]; only the clock of USA contains e^b:

    kind  drift           clock     paper
    sa    num_i / Z_i     1 / Z_i   SA [glpr2023]
    usa   e^b num_i       e^b       USA with weights e^{b <x,y>} / n [glpr2023]
    gkpr  num_i           1         USA with weights e^{b(<x,y> - 1)} / n [gkpr2024]

With b < 0 the largest exponent is -b: num_i and Z_i are scaled by e^b in the place of e^{-b}, so that Z stays in
(0, 1], and the clocks are e^{-b} for usa and e^{-2b} for gkpr.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError, require_type

EPS = float(np.finfo(np.float64).eps)
FAINT = 1e-280  # a Z of which digits may be lost below the least of doubles
BETA_MAX = 1e12  # above, the rounding of a token changes e^{beta <x,y>} in the fourth digit


class Law(NamedTuple):
    """dx_i/dt = clock_i sum_j w_j e^{beta <x_i, x_j> - |beta|} P_{x_i} x_j  [glpr2023].

    The two parameters in which kinds of attention differ: beta, and the factor in front of the sum. `clock`
    is one number for all tokens (USA and its scaled forms), or None where the softmax divides by
    Z_i = sum_j w_j e^{beta <x_i, x_j> - |beta|} of each token (SA). `spinodal.flows.law` returns that of a
    kind.
    """

    beta: float
    clock: float | None


@dataclass(frozen=True, eq=False)
class Drift:
    """dx/dt [n d], the scaled Z [n], and a bound [n] on |drift_i - exact drift_i|; it unpacks into these three.

    `engine` names the engine that ran. Arrays are NumPy's, or tensors where `flows.field` was given tensors.
    """

    drift: Float[Any, "n d"]
    Z: Float[Any, " n"]
    error_bound: Float[Any, " n"]
    engine: str = ""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.drift, self.Z, self.error_bound))


class Attention(NamedTuple):
    """shift_i = Z_i^-1 sum_j w_j e^{<t_i, s_j>} (v_j - a_i), log Z_i, and a bound on |shift_i - exact shift_i|.

    t, s, v: targets, sources and their values; a: anchors, where a = 0 gives the plain mean.
    """

    shift: Float[np.ndarray, "n e"]
    log_partition: Float[np.ndarray, " n"]
    error_bound: Float[np.ndarray, " n"]


def quotient(
    num: Float[np.ndarray, "n d"],
    Z: Float[np.ndarray, " n"],
    noise: Float[np.ndarray, " n"] | float,
    x: Float[np.ndarray, "n d"],
    top: float,
) -> Attention:
    """num / Z - x and log Z + top from sums with errors of at most `noise`, |num_i| <= Z_i.

    Where Z is not certainly larger than its error nothing is known: the bound is infinite and the shift 0.
    """
    known = 2 * noise < Z
    Z = np.where(known, Z, 2 * noise)
    shift = np.where(known[:, None], num / Z[:, None] - x, 0.0)
    return Attention(shift, np.log(Z) + top, np.where(known, 2 * noise / Z + EPS, np.inf))


def rounding_of_sum(n: int, block: int, additions: float) -> float:
    """A bound, in units of EPS, on the relative rounding error of a sum of n terms made in blocks  [derived].

    Half the number of successive additions, for errors of one sign, and at least that of random signs.
    """
    return max(np.sqrt(block + n / block), min(n, additions) / 2)


def replace_rows(answer: Drift | Attention, rows: Int[np.ndarray, " m"], better: Drift | Attention) -> None:
    """Overwrites some rows of an answer with those of a better one."""
    for old, new in zip(answer, better, strict=True):
        old[rows] = new


def from_shift(x: Float[np.ndarray, "m d"], mean: Attention, law: Law) -> Drift:
    """drift = f P_x shift, Z = e^{log Z - |b|}, from attention anchored at the tokens; f = 1 or clock Z."""
    v = mean.shift
    for _ in range(2):  # a second projection removes what rounding left of the first
        v = v - np.sum(v * x, -1, keepdims=True) * x
    Z = np.exp(mean.log_partition - abs(law.beta))
    if law.clock is None:
        return Drift(v, Z, mean.error_bound)
    f = law.clock * Z
    faint = Z < FAINT
    f[faint] = np.exp(np.log(law.clock) + mean.log_partition[faint] - abs(law.beta))
    return Drift(f[:, None] * v, Z, f * mean.error_bound)


def usa_clock(beta: float) -> float:
    """e^b = (d/dt of "usa") / (d/dt of "gkpr").

    The factor between the two definitions of unnormalised attention: t_gkpr = e^b t_usa, and unscaled partition
    functions are e^b Z. InputError for b above 709.78, where e^b overflows.
    """
    require_type("beta", beta, Real)
    if beta > math.log(np.finfo(np.float64).max):
        raise InputError(
            f"`beta` {beta:g}: e^beta, the clock of USA, overflows above 709.78; "
            "use `kind` 'gkpr', the same flow with a clock e^beta slower, or 'sa'",
            field=("beta", "kind"),
        )
    return math.exp(beta)


def law(kind: str, beta: float) -> Law:
    """beta and the clock of "sa", "usa" or "gkpr": 1 / Z_i, e^b or 1; for beta < 0 1 / Z_i, e^{-b} or e^{-2b}.

    InputError for an unknown kind, and for beta of too large a size.
    """
    require_type("beta", beta, Real)
    require_type("kind", kind, str)
    if not abs(beta) <= BETA_MAX:
        raise InputError(
            f"`beta` {beta:g} must lie in [{-BETA_MAX:g}, {BETA_MAX:g}]: beyond, doubles do not resolve e^(beta <x,y>)",
            field="beta",
        )
    slower = lambda b: usa_clock(abs(b) - b) if b < 0 else 1.0
    clocks = {"sa": lambda _: None, "usa": lambda b: usa_clock(abs(b)), "gkpr": slower}
    if kind not in clocks:
        raise InputError(f"`kind` {kind!r} is none of 'sa', 'usa', 'gkpr'", field="kind")
    return Law(float(beta), clocks[kind](beta))
