r"""A second set of tokens, which the tokens read and which reads nothing: cross-attention, and prompts.

    beside   A_i += sum_h zeta_i sum_k p_ik V y_k,    p_ik = v_k e^{b <Q x_i, K y_k>} / Z_i, by heads of its own
    prompt   one softmax over both, with masses (1 - s) w_j of the tokens and s v_k of the source, by the field's heads

Differences y_k - x_i come first, so that a token near one of the source loses no digits. A source moves where it is
given at several times, as a flow of its own left it: between them by cubic splines, projected to the sphere.

    symbol  meaning                                               shape
    y, v    tokens of the source, their weights, which sum to 1   m d, m
    s       share of a prompt in the mass                         -
"""

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from spinodal import sphere
from spinodal.arrays import read_array, real_array, token_array, weight_array
from spinodal.errors import InputError, require_types
from spinodal.flows.engines import hardmax, pairs
from spinodal.flows.engines.field import check
from spinodal.flows.engines.kernel import Kernel, Number
from spinodal.flows.engines.law import EPS, Attention
from spinodal.flows.fields.heads import IDENTITY, Head
from spinodal.runs import read

ROUNDING = 1e-9  # of the last time, by which a flow may end after it


@dataclass(frozen=True, eq=False)
class Source:
    """sum_h zeta_i sum_k p_ik V y_k, what tokens x_i read from tokens y_k that do not read them  [derived].

    Cross-attention, added to the field's heads: `heads` are its Q, K, V, at the field's beta and kind. With a `share`
    s in (0, 1) it is a prompt, read by the field's own heads in one softmax with the tokens, in which it has the mass
    s. Unit vectors `tokens` are [m d], or [t m d] at increasing `times` [t]; `weights` [m] sum to one and are equal if
    not given. InputError for what does not fit; `simulate` refuses a time after the last of `times`.

    >>> import numpy as np
    >>> from spinodal import flows
    >>> field = flows.AttentionField(beta=3.0, heads=(), source=flows.Source(np.eye(2)[:1]))
    >>> flows.simulate(field, np.array([[0.0, 1.0]]), 20.0).tokens[-1].round(6).tolist()
    [[1.0, 0.0]]
    """

    tokens: Float[np.ndarray, "..."]  # y [m d], or [t m d] where it moves
    weights: Float[np.ndarray, "..."] | None = None  # v
    heads: tuple[Head, ...] = (IDENTITY,)  # Q, K and V with which it is read
    share: Number | None = None  # of the mass, in one softmax with the tokens
    times: Float[np.ndarray, "..."] | None = None  # at which `tokens` are given

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        put("heads", (self.heads,) if isinstance(self.heads, Head) else tuple(self.heads))
        if not self.heads or not all(isinstance(head, Head) for head in self.heads):
            raise InputError("`heads` of a source: one Head at least", field="heads")
        if self.times is None:
            frames = (token_array(self.tokens, "source"),)
            put("tokens", frames[0])
        else:
            put("times", checked_times(self.times))
            frames = tuple(token_array(frame, "source") for frame in np.asarray(self.tokens))
            if len(frames) != len(self.times):
                raise InputError(
                    f"`source`: {len(frames)} frames [t m d] at {len(self.times)} times",
                    field=("source", "times"),
                )
            put("tokens", np.stack(frames))
        m = len(frames[0])
        put("weights", np.full(m, 1 / m) if self.weights is None else weight_array(self.weights))
        for frame in frames:
            try:
                check(frame, self.masses)
            except InputError as error:
                raise InputError(f"`source`: {error}", field=("source", *error.fields)) from None
        require_types(self, share=(Real, type(None)))
        if self.share is not None and not 0 < self.share < 1:
            raise InputError(
                f"`share` {self.share}: a prompt has a share of the mass in (0, 1)", field="share"
            )
        if self.share is not None and not (len(self.heads) == 1 and self.heads[0].is_identity):
            raise InputError(
                "`share`: the field's heads read a prompt; leave out `heads` of the source", field="share"
            )
        if any(head.d not in (None, self.d) for head in self.heads):
            raise InputError(
                f"`heads` of a source whose tokens have d = {self.d}: of another d", field="heads"
            )

    @property
    def d(self) -> int:
        return self.tokens.shape[-1]

    @property
    def masses(self) -> Float[np.ndarray, " m"]:
        assert self.weights is not None
        return self.weights

    @property
    def moves(self) -> bool:
        """Whether its tokens depend on time."""
        return self.times is not None

    @cached_property
    def spline(self) -> CubicSpline:
        assert self.times is not None
        return CubicSpline(self.times, self.tokens)

    def at(self, time: float) -> "Source":
        """The source with its tokens at one time; after the last of `times` they rest."""
        if self.times is None:
            return self
        return replace(self, tokens=sphere.normalise(self.spline(min(time, self.times[-1]))), times=None)

    def require_until(self, until: float) -> None:
        """InputError for an end after the last time at which its tokens are given."""
        if self.times is not None and until > self.times[-1] * (1 + ROUNDING):
            raise InputError(
                f"`until` {until:g}: the tokens of `source` are given until {self.times[-1]:g}",
                field=("until", "source"),
            )

    def average(self, kernel: Kernel, x: Float[np.ndarray, "n d"]) -> Attention:
        """m_i = sum_k p_ik (y_k - x_i) and log Z_i over its tokens, over every pair."""
        interaction = hardmax.interaction if kernel.hard else pairs.interaction
        return interaction(kernel.targets(x), kernel.sources(self.tokens), self.tokens, self.masses, x)

    def join(self, mean: Attention, prompt: Attention) -> Attention:
        """The average over tokens and prompt in one softmax, from the averages over either."""
        assert self.share is not None
        own, other = mean.log_partition + np.log1p(-self.share), prompt.log_partition + np.log(self.share)
        total = np.logaddexp(own, other)
        p, q = np.exp(own - total), np.exp(other - total)
        shift = p[:, None] * mean.shift + q[:, None] * prompt.shift
        size = p * np.linalg.norm(mean.shift, axis=1) + q * np.linalg.norm(prompt.shift, axis=1)
        doubt = 4 * EPS * (1 + np.abs(own - other)) * size
        return Attention(shift, total, p * mean.error_bound + q * prompt.error_bound + doubt)


def named_source(text: str, *, heads: tuple[Head, ...] = (IDENTITY,), share: Number | None = None) -> Source:
    """The source of a file: tokens [m d] as .npy, `tokens`, `weights` and `times` as .npz; or of a run of `simulate`.

    The tokens of a run move as they did there. InputError names what is wrong.
    """
    place = Path(text)
    if place.is_dir():
        run = read(place)
        found = {name: getattr(run, name, None) for name in ("tokens", "weights", "times")}
        found = {name: array for name, array in found.items() if array is not None}
    elif place.suffix == ".npz":
        try:
            with np.load(place, allow_pickle=False) as file:
                found = dict(file)
        except (OSError, ValueError) as error:
            raise InputError(f"`source` {text}: holds no tokens ({error})", field="source") from None
    else:
        found = {"tokens": read_array(place, option="source")}
    if "tokens" not in found or not found.keys() <= {"tokens", "weights", "times"}:
        raise InputError(
            f"`source` {text}: holds {', '.join(found) or 'nothing'}; tokens are needed, with weights and times where "
            "there are any",
            field="source",
        )
    return Source(**found, heads=heads, share=share)


def checked_times(times: object) -> Float[np.ndarray, " t"]:
    """Increasing times from 0 or earlier, two at least; InputError for others."""
    array = real_array(times, "times")
    fair = array.ndim == 1 and len(array) > 1 and array[0] <= 0 and np.isfinite(array).all()
    if not (fair and (np.diff(array) > 0).all()):
        raise InputError(f"`times` of a source {array}: two at least, which increase from 0", field="times")
    return array
