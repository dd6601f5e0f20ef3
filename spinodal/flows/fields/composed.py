r"""The field of attention, with any heads, mask, kind, scheme, noise, positions, source, feed-forward part and drive.

    theta_i' = P_{theta_i} A_i / s_i,   r_i' by the scheme,   dtheta_i += sqrt(2 / kappa) dW_i on the sphere,
    A_i = sum_h zeta_i^h sum_j p_ij^h V^h theta_j + W s(A theta_i + c) + Omega_i theta_i + c_i

    kind  weights of x_j           paper
    sa    e^{b<Qx,Ky>} / Z_i       [glpr2023]
    usa   e^{b<Qx,Ky>} w_j         [glpr2023], w_j = 1/n
    gkpr  e^{b(<Qx,Ky> - 1)} w_j   [gkpr2024]: the same flow, e^b slower

Scores B_ij of fixed positions may be added to b<Qx,Ky>, and what tokens read from a source to the sum over heads.

Known flows: Kuramoto is beta = 0 with d = 2; repulsion is Head(values=-1); hardmax is beta = inf.
"""

import copy
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
from spinodal.flows.engines.kernel import Number, times
from spinodal.flows.engines.law import EPS
from spinodal.flows.fields.checks import check_dimensions, checked_tokens, finite, nan_rate, state_arrays
from spinodal.flows.fields.depth import Piecewise, Resampled
from spinodal.flows.fields.drive import Drive
from spinodal.flows.fields.euclidean import check_euclidean, euclidean_rate, growth
from spinodal.flows.fields.feed import FeedForward
from spinodal.flows.fields.heads import IDENTITY, Head
from spinodal.flows.fields.interactions import Interaction
from spinodal.flows.fields.positions import Positions, check_positions
from spinodal.flows.fields.schemes import POST, AttentionOutput, Rescaled, Scheme
from spinodal.flows.fields.source import Source
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
    positions: Positions | None = dataclasses.field(
        default=None, metadata=SAVED_IF_SET
    )  # scores B_ij of the tokens' fixed positions
    source: Source | None = dataclasses.field(default=None, metadata=SAVED_IF_SET)  # other tokens to read

    def __post_init__(self) -> None:
        check_types(self)
        if not self.heads and (self.source is None or self.source.share is not None):
            raise InputError(
                "`heads` (): a field of attention has at least one head, or a `source` with heads of its own",
                field="heads",
            )
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
            more = [f"`{name}`" for name in ("drive", "source") if getattr(self, name) is not None]
            names = ", ".join(["`heads`", *more]) + " and"
            raise InputError(
                f"{names} `feed_forward` are made for different d: {sorted(widths)}",
                field=("heads", "feed_forward"),
            )
        check_positions(self)
        if self.euclidean:
            check_euclidean(self)
        now = self if self.depth is None else self.at(0.0)
        _ = now.interactions, now.readers  # refuses here what it would refuse at the first call

    @cached_property
    def interactions(self) -> tuple[Interaction, ...]:
        beta = float(self.beta)
        placed = [
            None if self.positions is None else self.positions.of_head(h) for h in range(len(self.heads))
        ]
        return tuple(
            Interaction(head, beta, self.kind, self.causal, self.engine, positions, self.euclidean)
            for head, positions in zip(self.heads, placed, strict=True)
        )

    @cached_property
    def readers(self) -> tuple[Interaction, ...]:
        """The heads that read a source in a softmax of their own."""
        heads = () if self.source is None or self.source.share is not None else self.source.heads
        return tuple(Interaction(head, float(self.beta), self.kind, False, "auto") for head in heads)

    @property
    def prompt(self) -> Source | None:
        """The source where it is read in one softmax with the tokens."""
        return None if self.source is None or self.source.share is None else self.source

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
        """The parts that may fix d: heads, feed-forward part, drive, source, and heads that change with time."""
        return (*self.heads, *self.beside, *(part for part in (self.source, self.depth) if part is not None))

    @property
    def one_head(self) -> bool:
        """Whether the output is that of one head alone, without biases and positions and the same at all times."""
        more = (*self.beside, *(p for p in (self.depth, self.positions, self.source) if p is not None))
        return len(self.heads) == 1 and not self.heads[0].biased and not more

    @property
    def biased(self) -> bool:
        """Whether a head has biases."""
        return any(head.biased for head in self.heads)

    def at(self, time: float) -> "AttentionField":
        """The field at one time, whose heads do not change and whose source does not move."""
        now = self if self.depth is None else self.with_heads(self.depth.heads(time))
        if now.source is not None and now.source.moves:
            source, now = now.source.at(time), copy.copy(now)  # with the norms of its heads
            object.__setattr__(now, "source", source)
        return now

    def with_heads(self, heads: tuple[Head, ...]) -> "AttentionField":
        """The field of these heads at all times; the one before, with its norms, where they are the same."""
        if not (self.latest and self.latest[0].heads is heads):
            self.latest[:] = [dataclasses.replace(self, heads=heads, depth=None)]
        return self.latest[0]

    @cached_property
    def latest(self) -> list["AttentionField"]:
        """The field of the heads that were asked for last."""
        return []

    @property
    def noise(self) -> float:
        """1 / kappa."""
        return 1 / self.kappa

    @property
    def euclidean(self) -> bool:
        """Whether tokens have no layer norm and lie anywhere in R^d."""
        return getattr(self.scheme, "euclidean", False)

    @property
    def least_d(self) -> int:
        """The smallest dimension of tokens: 2 on the sphere, 1 without layer norm."""
        return 1 if self.euclidean else 2

    def unscaled(
        self, z: Float[np.ndarray, "n d"], time: float, *, step: float | None = None
    ) -> Float[np.ndarray, "n d"]:
        """x = e^{tV} z, or (I + hV)^{t / h} z for layers of a `step` h: tokens x [n d] from rescaled ones.

        Those of another scheme are returned as they are.
        """
        return times(growth(self, time, step, whole=True), z) if isinstance(self.scheme, Rescaled) else z

    @property
    def merges(self) -> bool:
        """Whether coincident tokens stay together, so that one token with their total weight stands for them.

        Not under a causal mask (they read different tokens), not where lengths move (they have different
        speeds), not with noise, nor where each has a drive or a position of its own, nor rescaled. Under repulsion they
        stay together too, but tokens that are apart never meet.
        """
        own = (self.drive is not None and self.drive.n is not None) or self.positions is not None
        rescaled = isinstance(self.scheme, Rescaled)
        return not (self.causal or self.scheme.grows or self.noise > 0 or own or rescaled)

    @property
    def in_span(self) -> bool:
        """Whether tokens stay in the span of the start, in which `reduce_to_span` has min(n, d) coordinates."""
        alone = self.d is None and not self.beside and self.depth is None and self.source is None
        flat = self.noise > 0 or self.euclidean
        return alone and not flat and all(head.isotropic for head in self.heads)

    def __call__(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """The rate of directions and lengths, the scaled Z (the mean over heads), and the bound on the drift."""
        state, weights = state_arrays(state), fast_array(weights, "weights")
        check_dimensions(state, weights, self.d, self.least_d)
        if not finite(state):
            return nan_rate(state)
        if self.euclidean:
            return euclidean_rate(self, time, state.directions, weights)
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
        """p_ij^h = w_j e^{b <Q^h x_i, K^h x_j> + B_ij} / Z_i^h, the attention weights of a state.

        Rows sum to one under every kind, with a prompt together with those of `source_weights`, and are 0 beyond a
        causal mask; at beta = inf they are those of the largest. Of rescaled tokens x are the `unscaled` ones.
        Weights are equal if not given. InputError for more numbers than memory is meant to hold.
        """
        x, weights = checked_tokens(x, weights, self.d, self.least_d)
        n = len(x)
        require_at_most(NUMBERS, len(self.heads) * n * n, "attention weights", "x")
        now = self.at(0.0)
        return np.stack([one.attention_weights(x, weights, now.prompt)[:, :n] for one in now.interactions])

    def source_weights(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None = None, time: float = 0.0
    ) -> Float[np.ndarray, "h n m"]:
        """p_ik^h of the tokens of the source, by the heads that read it.

        Rows sum to one, for a prompt together with those of `attention_weights`. InputError without a source.
        """
        x, weights = checked_tokens(x, weights, self.d, self.least_d)
        now = self.at(time)
        if now.source is None:
            raise InputError("`source`: the field has none", field="source")
        require_at_most(NUMBERS, len(x) * len(now.source.masses), "attention weights", "x")
        if now.prompt is not None:
            return np.stack(
                [one.attention_weights(x, weights, now.prompt)[:, len(x) :] for one in now.interactions]
            )
        return np.stack([one.source_weights(x, now.source) for one in now.readers])

    def attention_output(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], radial: bool = True
    ) -> AttentionOutput:
        """A_i, the sum over heads, source, feed-forward part and drive; as at t = 0 where these change."""
        now = self.at(0.0)
        outputs = [one.attention_output(x, weights, radial, now.prompt) for one in now.interactions]
        outputs += [one.source_output(x, now.source) for one in now.readers if now.source is not None]
        first, *rest = outputs
        if not rest and not self.beside:
            return first
        parts = zip(*(pull[:4] for pull in (first, *rest)), strict=True)
        T, a, Z, bound = (np.sum(part, 0) for part in parts)
        for part in self.beside:
            push = part(x)
            along = np.sum(push * x, 1)
            T, a, bound = T + push - along[:, None] * x, a + along, bound + part.error_bound
        engines = dict.fromkeys(pull.engine for pull in (first, *rest))
        return AttentionOutput(T, a, Z / len(outputs), bound, ", ".join(engines))


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
    require_types(field, depth=(Resampled, Piecewise, type(None)), source=(Source, type(None)))
    require_types(field, positions=(Positions, type(None)))
    if wrong := [head for head in field.heads if not isinstance(head, Head)]:
        raise InputError(f"`heads` with {wrong[0]!r}: a tuple of Head is needed", field="heads")
    if not callable(field.scheme):
        raise InputError(
            f"`scheme` {field.scheme!r}: a Scheme, such as fields.scheme('pre'), is needed", field="scheme"
        )
