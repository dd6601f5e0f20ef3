r"""Where the layer norm sits: theta' = P_theta A / s and r', for tokens r theta  [norm2025].

    scheme  s                        r'                 scheme  s            r'
    post    1                        0                  peri    r |A|        <theta, A> / |A|
    pre     r                        <theta, A>         nGPT    |A| / alpha  0
    mix     post until tau, then pre                    sqrt    sqrt(t + 1)  0

"none" is no layer norm, x' = A for tokens x anywhere in R^d, and "rescaled" the same in z = e^{-tV} x: see
`fields.euclidean`.

Where r moves, tokens in one place have different lengths and so different speeds: they part
again, and may not be merged. Speeds are NaN where a length or |A| is not positive.

    symbol  meaning                                             shape
    A       attention output, sum_j p_ij V theta_j              n d
    T       its tangent part P_theta A                          n d
    a       its radial part <theta, A>                          n
    r, s    lengths; what divides the speed                     n
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Number
from spinodal.flows.names import require_known
from spinodal.runs import register


class AttentionOutput(NamedTuple):
    """A = T + a theta: tangent part T and radial part a of attention's output, the scaled Z, a bound on T's error.

    a is NaN where it was not computed. `engine` names the engine that ran.
    """

    tangent: Float[np.ndarray, "n d"]
    radial: Float[np.ndarray, " n"]
    Z: Float[np.ndarray, " n"]
    error_bound: Float[np.ndarray, " n"]
    engine: str = ""

    @property
    def size(self) -> Float[np.ndarray, " n"]:
        """|A|."""
        return np.hypot(np.linalg.norm(self.tangent, axis=1), self.radial)


class NormalisedSpeed(NamedTuple):
    """theta' = T / s and r': the divisor of the speed and the growth of the length of every token."""

    speed: Float[np.ndarray, " n"] | float
    growth: Float[np.ndarray, " n"]


@runtime_checkable
class Scheme(Protocol):
    """(s, r') from time, lengths and attention output: where the layer norm sits  [norm2025]."""

    @property
    def grows(self) -> bool:
        """Whether lengths move."""
        ...

    def radial(self, time: float) -> bool:
        """Whether <theta, A> is needed at this time."""
        ...

    def __call__(
        self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput
    ) -> NormalisedSpeed: ...


@register("post")
@dataclass(frozen=True)
class Post:
    """s = 1, r' = 0: post-LN  [norm2025].

    The layer norm follows every layer, so that tokens keep their length.
    """

    grows = False

    def radial(self, time: float) -> bool:
        return False

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return NormalisedSpeed(1.0, np.zeros(len(lengths)))


@register("pre")
@dataclass(frozen=True)
class Pre:
    """s = r, r' = <theta, A>: pre-LN  [norm2025].

    The layer norm is in front of every layer, so that tokens grow and slow down.
    """

    grows = True

    def radial(self, time: float) -> bool:
        return True

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return NormalisedSpeed(positive(lengths), A.radial)


@register("mix")
@dataclass(frozen=True)
class Mix:
    """Post-LN until t = tau, pre-LN from then on  [norm2025]."""

    tau: Number

    grows = True

    def __post_init__(self) -> None:
        if not 0 <= self.tau < math.inf:
            raise InputError(
                f"`tau` {self.tau}: mix-LN turns from post to pre at a finite time tau >= 0", field="tau"
            )

    def radial(self, time: float) -> bool:
        return bool(time >= self.tau)

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return (Pre() if time >= self.tau else Post())(time, lengths, A)


@register("peri")
@dataclass(frozen=True)
class Peri:
    """s = r |A|, r' = <theta, A> / |A|: peri-LN  [norm2025].

    Layer norms stand in front of and behind every layer.
    """

    grows = True

    def radial(self, time: float) -> bool:
        return True

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        size = positive(A.size)
        return NormalisedSpeed(positive(lengths) * size, A.radial / size)


@register("ngpt")
@dataclass(frozen=True)
class NGPT:
    """s = |A| / alpha_t, r' = 0: nGPT  [norm2025].

    Every layer moves tokens by a step alpha along the sphere; alpha is a number above 0, or a function of time.
    """

    alpha: Number | Callable[[float], float] = 1.0

    grows = False

    def __post_init__(self) -> None:
        if not callable(self.alpha):
            self.at(0.0)

    def at(self, time: float) -> float:
        """alpha_t."""
        alpha = self.alpha(time) if callable(self.alpha) else self.alpha
        if not 0 < alpha < math.inf:
            raise InputError(
                f"`alpha` {alpha} at time {time:g}: nGPT needs a positive step size", field="alpha"
            )
        return float(alpha)

    def radial(self, time: float) -> bool:
        return True

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return NormalisedSpeed(positive(A.size) / self.at(time), np.zeros(len(lengths)))


@register("sqrt")
@dataclass(frozen=True)
class Sqrt:
    """s = sqrt(t + 1), r' = 0: scaling by the square root of the depth  [norm2025]."""

    grows = False

    def radial(self, time: float) -> bool:
        return False

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return NormalisedSpeed(math.sqrt(time + 1), np.zeros(len(lengths)))


@register("none")
@dataclass(frozen=True)
class NoNorm:
    """x' = A: no layer norm, tokens anywhere in R^d  [clusters2023].

    They are the directions of a state, of any length, and its lengths are 1.
    """

    grows = False
    euclidean = True

    def radial(self, time: float) -> bool:
        return True

    def __call__(self, time: float, lengths: Float[np.ndarray, " n"], A: AttentionOutput) -> NormalisedSpeed:
        return NormalisedSpeed(1.0, np.zeros(len(lengths)))


@register("rescaled")
@dataclass(frozen=True)
class Rescaled(NoNorm):
    """z' = V sum_j p_ij (z_j - z_i), z = e^{-tV} x: no layer norm, in coordinates without its growth  [clusters2023].

    For one head. On the layer clock z = (I + h V)^{-k} x. Tokens do not merge: what is near in z is far in x.
    """


POST = Post()
SCHEMES: dict[str, Callable[..., Scheme]] = {
    "post": Post,
    "pre": Pre,
    "mix": Mix,
    "peri": Peri,
    "ngpt": NGPT,
    "sqrt": Sqrt,
    "none": NoNorm,
    "rescaled": Rescaled,
}
PARAMETERS = {"mix": "tau", "ngpt": "alpha"}


def scheme(name: str = "post", parameter: Number | None = None) -> Scheme:
    """The normalisation scheme of a name: post, pre, mix, peri, ngpt, sqrt, none or rescaled  [norm2025].

    `parameter` is tau for "mix", which needs it, and alpha for "ngpt", 1 if not given. InputError for an unknown name
    and for a parameter that the scheme does not have.
    """
    build = SCHEMES[require_known("normalisation", name, SCHEMES)]
    if parameter is None:
        if name == "mix":
            raise InputError(
                "`normalisation` 'mix' needs `parameter`: tau, the time at which post-LN becomes pre-LN",
                field=("normalisation", "parameter"),
            )
        return build()
    if name not in PARAMETERS:
        raise InputError(
            f"`parameter` {parameter}: `normalisation` {name!r} has no parameter",
            field=("parameter", "normalisation"),
        )
    return build(parameter)


def positive(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The values where they are positive, NaN where not: divisors of a speed."""
    return np.where(values > 0, values, np.nan)
