r"""Lyapunov exponents of layers: the rate at which a step carries near streams apart, from one tangent of each text.

    v <- (I + h (Df(x_k) - I)) v,   lambda = mean over layers of log |v_{k+1}| / |v_k|   [benettin1980]

The tangent is drawn at random, lives on tokens that are there, and is given layers to turn into the leading direction
before its growth counts. The error of a text's exponent is that of the means of BLOCKS parts of its layers, since the
growths of neighbouring layers are correlated; that of the mean over texts is their standard error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.watch.layer_map import LayerMap

BLOCKS = 16  # parts of the layers, whose means are taken to be independent


@dataclass(frozen=True)
class Exponent:
    """Mean over texts of the growth of log |v| a layer, its standard error (None of one text), and each text's own.

    `of_texts` are those of the texts and `errors` their errors over blocks of layers, None for fewer layers than
    blocks; `layers` is how many were averaged over.
    """

    mean: float
    error: float | None
    of_texts: tuple[float, ...]
    errors: tuple[float | None, ...]
    layers: int

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.4f}"
        low, high = min(self.of_texts), max(self.of_texts)
        return f"{self.mean:+.4f}{error} a layer, of single texts {low:+.4f} to {high:+.4f}"


def exponent_of(growths: Float[np.ndarray, "t b"]) -> Exponent:
    """The exponent from the growths log |v_{k+1}| / |v_k| by layer and text."""
    t, b = growths.shape
    rates = growths.mean(0)
    blocks = [block.mean(0) for block in np.array_split(growths, BLOCKS)] if t >= 2 * BLOCKS else None
    errors = [None] * b if blocks is None else list(standard_error(np.stack(blocks)))
    error = float(standard_error(rates)) if b > 1 else None
    return Exponent(float(rates.mean()), error, tuple(map(float, rates)), tuple(errors), t)


def standard_error(values: Float[np.ndarray, "k *rest"]) -> Float[np.ndarray, "*rest"]:
    """s / sqrt(k) along the first axis."""
    return np.asarray(np.std(values, axis=0, ddof=1) / np.sqrt(len(values)))


class Tangents:
    """A unit tangent of each text, on valid tokens, and the growths of its length step by step."""

    def __init__(self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"], seed: int):
        draw = torch.Generator().manual_seed(seed)
        v = torch.randn(x.shape, generator=draw, dtype=torch.float64).to(x)
        self.there = valid[..., None].to(x)
        self.growths: list[Float[np.ndarray, " b"]] = []
        self.v = self._unit(v)[0]

    def step(self, layer: LayerMap, x: Float[Tensor, "b n d"], h: float) -> Float[Tensor, "b n d"]:
        """x + h (f(x) - x), the tangents with it."""
        x, v = layer.tangent_step(x, self.v, h)
        self.v, length = self._unit(v)
        self.growths.append(length.double().log().cpu().numpy())
        return x

    def _unit(self, v: Tensor) -> tuple[Tensor, Tensor]:
        v = v * self.there  # padding reads the tokens that are there, and they do not read it
        length = v.flatten(1).norm(dim=1)
        return v / length[:, None, None].clamp(min=torch.finfo(v.dtype).tiny), length


@torch.no_grad()
def sequence_exponent(
    maps: Sequence[LayerMap],
    x: Float[Tensor, "b n d"],
    valid: Bool[Tensor, "b n"],
    *,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Float[np.ndarray, "t b"]:
    """log |v_{k+1}| / |v_k| through the layers one after the other, each once: a flow whose law changes with time.

    The tangent is random at the first layer, and so the growths are those of a typical direction.
    """
    tangents = Tangents(x, valid, seed)
    for layer in maps:
        x = tangents.step(layer, x, 1.0)
        progress()
    return np.stack(tangents.growths)
