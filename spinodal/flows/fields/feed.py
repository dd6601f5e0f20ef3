"""The feed-forward part of a layer as a drift: W s(A x + c), the same for every token  [glpr2023]."""

from dataclasses import dataclass
from functools import cached_property

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

ACTIVATIONS = {
    "relu": lambda u: np.maximum(u, 0.0),
    "tanh": np.tanh,
    "gelu": lambda u: u * ndtr(u),
}


@dataclass(frozen=True, eq=False)
class FeedForward:
    """W s(A x + c), a feed-forward part: inner A (k, d), bias c (k,), outer W (d, k), s one of "relu", "tanh", "gelu".

    InputError for shapes that do not fit and for an unknown activation.
    """

    outer: Float[np.ndarray, "..."]
    inner: Float[np.ndarray, "..."]
    bias: Float[np.ndarray, "..."]
    activation: str = "relu"

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

    @property
    def d(self) -> int:
        return self.inner.shape[1]

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        return product(ACTIVATIONS[self.activation](product(x, self.inner.T) + self.bias), self.outer.T)

    @cached_property
    def error_bound(self) -> float:
        """Of |W s(A x + c)|: every s here has slope below 1.13."""
        inside = norm(self.inner) + float(np.linalg.norm(self.bias))
        return EPS * (8 + 2 * np.sqrt(sum(self.inner.shape))) * 1.13 * norm(self.outer) * inside
