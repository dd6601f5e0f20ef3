"""The feed-forward part of a layer as a drift: W s(A x + c) + b, the same for every token  [glpr2023]."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import norm
from spinodal.flows.engines.law import EPS
from spinodal.flows.fields.heads import finite
from spinodal.flows.names import require_known
from spinodal.loops import product
from spinodal.runs import SAVED_IF_SET

ACTIVATIONS = {
    "relu": lambda u: np.maximum(u, 0.0),
    "tanh": np.tanh,
    "gelu": lambda u: u * ndtr(u),
}


@dataclass(frozen=True, eq=False)
class FeedForward:
    """W s(A x + c) + b: inner A (k, d), bias c (k,), outer W (d, k), s one of "relu", "tanh", "gelu".

    A feed-forward part; `outer_bias` b (d,) is 0 if not given. InputError for shapes that do not fit and for an unknown
    activation.
    """

    outer: Float[np.ndarray, "..."]
    inner: Float[np.ndarray, "..."]
    bias: Float[np.ndarray, "..."]
    activation: str = "relu"
    outer_bias: Float[np.ndarray, "..."] | None = field(default=None, metadata=SAVED_IF_SET)

    def __post_init__(self) -> None:
        require_known("activation", self.activation, ACTIVATIONS)
        for name in ("outer", "inner"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
            if np.ndim(getattr(self, name)) != 2:
                raise InputError(
                    f"`{name}` is a number: a feed-forward needs its matrices written out", field=name
                )
        object.__setattr__(self, "bias", real_array(self.bias, "bias"))
        k, d = self.inner.shape
        if self.outer.shape != (d, k):
            raise InputError(
                f"outer has shape {self.outer.shape}, inner {(k, d)}: outer must be {(d, k)}",
                field=("outer", "inner"),
            )
        if self.bias.shape != (k,) or not np.isfinite(self.bias).all():
            raise InputError(
                f"bias has shape {self.bias.shape}: {k} finite numbers, a row of inner each",
                field="bias",
            )
        if self.outer_bias is not None:
            object.__setattr__(self, "outer_bias", real_array(self.outer_bias, "outer_bias"))
            if self.outer_bias.shape != (d,) or not np.isfinite(self.outer_bias).all():
                raise InputError(
                    f"`outer_bias` has shape {self.outer_bias.shape}: {d} finite numbers", field="outer_bias"
                )

    @property
    def d(self) -> int:
        return self.inner.shape[1]

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        out = product(ACTIVATIONS[self.activation](product(x, self.inner.T) + self.bias), self.outer.T)
        return out if self.outer_bias is None else out + self.outer_bias

    @cached_property
    def error_bound(self) -> float:
        """A bound on the rounding error of W s(A x + c) + b at unit x: every s has a slope below 1.13."""
        inside = norm(self.inner) + float(np.linalg.norm(self.bias))
        last = 0.0 if self.outer_bias is None else EPS * float(np.linalg.norm(self.outer_bias))
        return last + EPS * (8 + 2 * np.sqrt(sum(self.inner.shape))) * 1.13 * norm(self.outer) * inside


def named_feed_forward(text: str, d: int | None = None) -> FeedForward:
    """W s(A x + c) of "ACTIVATION:K:SEED", K hidden units with A, c ~ N / sqrt(d) and W ~ N / sqrt(K), or of a file.

    N has independent standard normal entries from the seed, whose W, A and c are three streams. A .npz file holds
    `inner`, `outer`, `bias`, and, where there is one, `outer_bias` and `activation`. InputError names what is wrong.
    """
    if text.endswith(".npz"):
        try:
            with np.load(text, allow_pickle=False) as file:
                arrays: dict[str, Any] = dict(file)
            activation = str(arrays.pop("activation", "relu"))
            return FeedForward(**arrays, activation=activation)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"`feed_forward` {text}: holds no inner, outer and bias ({error})", field="feed_forward"
            ) from None
    name, *numbers = text.split(":")
    fair = name in ACTIVATIONS and len(numbers) == 2 and all(p.isascii() and p.isdecimal() for p in numbers)
    if not fair or int(numbers[0]) < 1:
        raise InputError(
            f"`feed_forward` {text}: ACTIVATION:K:SEED, such as tanh:16:0, with K hidden units, or a .npz file; "
            f"activations are {', '.join(ACTIVATIONS)}",
            field="feed_forward",
        )
    if d is None:
        raise InputError(f"`feed_forward` {text}: `d` says how wide it is", field=("feed_forward", "d"))
    k, seed = map(int, numbers)
    normal = lambda shape, stream: np.random.default_rng([seed, 4, stream]).standard_normal(shape)
    W, A, c = normal((d, k), 1) / np.sqrt(k), normal((k, d), 2) / np.sqrt(d), normal((k,), 3) / np.sqrt(d)
    return FeedForward(W, A, c, name)
