r"""The field of attention, with any heads, mask, kind, scheme, noise, feed-forward part and drive.

    theta_i' = P_{theta_i} A_i / s_i,   r_i' by the scheme,   dtheta_i += sqrt(2 / kappa) dW_i on the sphere,
    A_i = sum_h zeta_i^h sum_j p_ij^h V^h theta_j + W s(A theta_i + c) + Omega_i theta_i + c_i

    kind  weights of x_j           paper
    sa    e^{b<Qx,Ky>} / Z_i       [glpr2023]
    usa   e^{b<Qx,Ky>} w_j         [glpr2023], w_j = 1/n
    gkpr  e^{b(<Qx,Ky> - 1)} w_j   [gkpr2024]: the same flow, e^b slower

Known flows: Kuramoto is beta = 0 with d = 2; repulsion is Head(values=-1); hardmax is beta = inf.
"""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.arrays import fast_array
from spinodal.errors import InputError, require_types
from spinodal.flows.engines.kernel import Number
from spinodal.flows.engines.law import EPS
from spinodal.flows.fields.depth import Piecewise, Resampled
from spinodal.flows.fields.drive import Drive
from spinodal.flows.fields.feed import FeedForward
from spinodal.flows.fields.heads import IDENTITY, Head
from spinodal.flows.fields.interactions import Interaction
from spinodal.flows.fields.schemes import POST, AttentionOutput, Scheme
from spinodal.flows.state import Rate, State
from spinodal.limits import NUMBERS, require_at_most
from spinodal.runs import SAVED_IF_SET


@dataclass(frozen=True, eq=False)
class AttentionField:
    """theta_i' = P (sum_h zeta_i sum_j p_ij V theta_j + W s(A theta_i + c)) / s_i, and r_i'  [glpr2023, norm2025].

    The vector field of attention on tokens r theta, composed of heads, a mask, a normalisation scheme, a feed-forward
    part and noise. Defaults are SA with Q = K = V = I, post-LN, no mask, no noise (kappa = inf); one Head stands for a
    tuple of it. With a causal mask token i reads tokens j <= i, with the weights that they have among all. A call
    returns the rate and a bound on its error.

    InputError for what does not fit, at construction or, where it depends on tokens, at a call. The caller is to give
    unit vectors and weights that sum to one. NaN gives NaN, as does a length that is not positive where the scheme
    divides by it.

    >>> import numpy as np
    >>> from spinodal.flows import AttentionField, Head
    >>> from spinodal.flows.state import State
    >>> field = AttentionField(beta=2.0, heads=(Head(values=-1.0),), causal=True)
    >>> rate = field(0.0, State(np.eye(2), np.ones(2)), np.array([0.5, 0.5]))
    >>> (rate.drift.round(6) + 0.0).tolist()
    [[0.0, 0.0], [-0.119203, 0.0]]
    """

    beta: Number = 1.0  # inverse temperature, of either sign; infinite for hardmax
    kind: str = "sa"  # "sa", "usa" or "gkpr"
    heads: tuple[Head, ...] = (IDENTITY,)  # Q, K and V of each
    causal: bool = False  # token i reads tokens j <= i
    scheme: Scheme = POST  # where the layer norm sits
    kappa: Number = math.inf  # of the noise sqrt(2 / kappa) dW; infinite for none
    feed_forward: FeedForward | None = None  # W s(A theta + c) beside the heads
    engine: str = "auto"  # what computes the drift: a name of `flows.ENGINES`, or the cheapest that serves
    drive: Drive | None = dataclasses.field(
        default=None, metadata=SAVED_IF_SET
    )  # what a token does by itself
    depth: Resampled | Piecewise | None = dataclasses.field(
        default=None, metadata=SAVED_IF_SET
    )  # changing heads

    def __post_init__(self) -> None:
        check_types(self)
        if not self.heads:
            raise InputError("`heads` (): a field of attention has at least one head", field="heads")
        if not self.kappa > 0:
            raise InputError(
                f"`kappa` {self.kappa}: noise sqrt(2 / kappa) dW needs kappa > 0, inf for none", field="kappa"
            )
        if self.depth is not None and not (len(self.heads) == 1 and self.heads[0].is_identity):
            raise InputError(
                "`depth` says which heads there are: leave out `heads`", field=("depth", "heads")
            )
        widths = {part.d for part in self.parts if part.d is not None}
        if len(widths) > 1:
            names = "`heads`, `drive` and" if self.drive else "`heads` and"
            raise InputError(
                f"{names} `feed_forward` are made for different d: {sorted(widths)}",
                field=("heads", "feed_forward"),
            )
        self.at(0.0).interactions  # noqa: B018  (refuses here what it would refuse at the first call)

    @cached_property
    def interactions(self) -> tuple[Interaction, ...]:
        beta = float(self.beta)
        return tuple(Interaction(head, beta, self.kind, self.causal, self.engine) for head in self.heads)

    @cached_property
    def d(self) -> int | None:
        """The dimension that matrices fix, or None."""
        return next((part.d for part in self.parts if part.d is not None), None)

    @property
    def beside(self) -> tuple[FeedForward | Drive, ...]:
        """The parts whose output is added to that of the heads: feed-forward part and drive, where given."""
        return tuple(part for part in (self.feed_forward, self.drive) if part is not None)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The parts that may fix d: heads, feed-forward part, drive, and heads that change with time."""
        return (*self.heads, *self.beside, *([] if self.depth is None else [self.depth]))

    @property
    def one_head(self) -> bool:
        """Whether the output is that of one head alone, without biases and the same at all times."""
        return len(self.heads) == 1 and not self.heads[0].biased and not self.beside and self.depth is None

    @property
    def biased(self) -> bool:
        """Whether a head has biases."""
        return any(head.biased for head in self.heads)

    def at(self, time: float) -> "AttentionField":
        """The field at one time, whose heads do not change."""
        return (
            self
            if self.depth is None
            else dataclasses.replace(self, heads=self.depth.heads(time), depth=None)
        )

    @property
    def noise(self) -> float:
        """1 / kappa."""
        return 1 / self.kappa

    @property
    def merges(self) -> bool:
        """Whether coincident tokens stay together, so that one token with their total weight stands for them.

        Not under a causal mask (they read different tokens), not where lengths move (they have different
        speeds), not with noise, nor where each has a drive of its own. Under repulsion they stay together
        too, but tokens that are apart never meet.
        """
        own = self.drive is not None and self.drive.n is not None
        return not (self.causal or self.scheme.grows or self.noise > 0 or own)

    @property
    def in_span(self) -> bool:
        """Whether tokens stay in the span of the start, in which `reduce_to_span` has min(n, d) coordinates."""
        plain = self.d is None and not self.beside and self.depth is None and self.noise == 0
        return plain and all(head.isotropic for head in self.heads)

    def __call__(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """The rate of directions and lengths, the scaled Z (the mean over heads), and the bound on the drift."""
        state, weights = state_arrays(state), fast_array(weights, "weights")
        check_dimensions(state, weights, self.d)
        if not finite(state):
            return nan_rate(state)
        A = self.at(time).attention_output(state.directions, weights, self.scheme.radial(time))
        s, growth = self.scheme(time, state.lengths, A)
        if isinstance(s, np.ndarray):  # which may hold |A|, with errors of its own
            drift = A.tangent / s[:, None]
            bound = 2 * A.error_bound / s + 4 * EPS * np.linalg.norm(drift, axis=1)
        else:
            drift, bound = (A.tangent, A.error_bound) if s == 1 else (A.tangent / s, A.error_bound / s)
        return Rate(drift, growth, A.Z, bound, A.engine)

    @property
    def hard(self) -> bool:
        """Whether beta is infinite."""
        return math.isinf(self.beta)

    def attention_weights(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, "h n n"]:
        """p_ij^h = w_j e^{b <Q^h x_i, K^h x_j>} / Z_i^h, the attention weights of a state.

        Rows sum to one under every kind, and are 0 beyond a causal mask; at beta = inf they are those of the largest.
        Weights are equal if not given. InputError for more numbers than memory is meant to hold.
        """
        x = fast_array(x, "x")
        weights = np.full(len(x), 1 / len(x)) if weights is None else fast_array(weights, "weights")
        check_dimensions(State(x, np.ones(len(x))), weights, self.d)
        require_at_most(NUMBERS, len(self.heads) * len(x) ** 2, "attention weights", "x")
        return np.stack([one.attention_weights(x, weights) for one in self.at(0.0).interactions])

    def attention_output(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], radial: bool = True
    ) -> AttentionOutput:
        """A_i, the sum over heads, feed-forward part and drive; of the heads at t = 0 where these change."""
        first, *rest = (one.attention_output(x, weights, radial) for one in self.at(0.0).interactions)
        if not rest and not self.beside:
            return first
        parts = zip(*(pull[:4] for pull in (first, *rest)), strict=True)
        T, a, Z, bound = (np.sum(part, 0) for part in parts)
        for part in self.beside:
            push = part(x)
            along = np.sum(push * x, 1)
            T, a, bound = T + push - along[:, None] * x, a + along, bound + part.error_bound
        engines = dict.fromkeys(pull.engine for pull in (first, *rest))
        return AttentionOutput(T, a, Z / len(self.heads), bound, ", ".join(engines))


def parts_beyond(field: AttentionField, served: Collection[str]) -> list[str]:
    """Names of the parts of a field outside `served` that are not as by default; "biased" for biases."""
    plain = {part.name: part.default for part in dataclasses.fields(field) if part.name not in served}
    values = {name: getattr(field, name) for name in plain}
    found = [
        name
        for name, value in values.items()
        if value is not plain[name] and not (np.ndim(value) == 0 and value == plain[name])
    ]
    return [*found, *(["biased"] if field.biased and "biased" not in served else [])]


def check_types(field: AttentionField) -> None:
    """Converts `heads` to a tuple, in place; InputError for a part that is of another type."""
    if isinstance(field.heads, list | Head):
        heads = (field.heads,) if isinstance(field.heads, Head) else tuple(field.heads)
        object.__setattr__(field, "heads", heads)
    require_types(field, beta=Real, kind=str, heads=tuple, causal=(bool, np.bool_), kappa=Real, engine=str)
    require_types(field, feed_forward=(FeedForward, type(None)), drive=(Drive, type(None)))
    require_types(field, depth=(Resampled, Piecewise, type(None)))
    if wrong := [head for head in field.heads if not isinstance(head, Head)]:
        raise InputError(f"`heads` with {wrong[0]!r}: a tuple of Head is needed", field="heads")
    if not callable(field.scheme):
        raise InputError(
            f"`scheme` {field.scheme!r}: a Scheme, such as fields.scheme('pre'), is needed", field="scheme"
        )


def state_arrays(state: State) -> State:
    """The state in double precision and C order, as engines read it."""
    return State(fast_array(state.directions, "directions"), fast_array(state.lengths, "lengths"))


def check_dimensions(state: State, weights: Float[np.ndarray, " n"], d: int | None) -> None:
    """InputError where the numbers of tokens differ, or the matrices are for another d."""
    x, r = state
    n = len(x)
    if n == 0 or x.ndim != 2 or x.shape[1] < 2:
        raise InputError(f"directions have shape {x.shape}: at least one token, on spheres of R^2 and above")
    if r.shape != (n,) or weights.shape != (n,):
        raise InputError(
            f"{n} directions with {len(r)} lengths and {len(weights)} weights: one of each a token"
        )
    if d is not None and d != x.shape[1]:
        raise InputError(f"tokens have d = {x.shape[1]}, the matrices of the field have d = {d}")


def finite(state: State) -> bool:
    """Whether every entry is finite, tested on their sum, which is faster."""
    with np.errstate(invalid="ignore", over="ignore"):
        return math.isfinite(state.directions.sum() + state.lengths.sum())


def nan_rate(state: State) -> Rate:
    """The rate of a state that is not finite: NaN throughout, without a call of an engine."""
    unknown = np.full(len(state.lengths), np.nan)
    return Rate(np.full_like(state.directions, np.nan), unknown, unknown, unknown)
