r"""Whether layers resolve a flow: their distance from x' = f(x) - x after the same time.

The flow is integrated by the classical Runge-Kutta method of order 4 with a fixed step, and again with half of it; the
distance of the two is the error of the first, and bounds that of the second.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.watch.layer_map import LayerMap

STEP = 0.25  # of the coarser of the two integrations


@torch.no_grad()
def flow_states(
    layer: LayerMap,
    x: Float[Tensor, "b n d"],
    time: float,
    *,
    step: float = STEP,
    progress: Callable[[], object] = lambda: None,
) -> Float[Tensor, "b n d"]:
    """x(time) of x' = f(x) - x, by Runge-Kutta steps of at most `step`."""
    count = max(1, int(np.ceil(time / step)))
    h = time / count
    for _ in range(count):
        k1 = layer(x) - x
        k2 = _slope(layer, x + h / 2 * k1)
        k3 = _slope(layer, x + h / 2 * k2)
        k4 = _slope(layer, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        progress()
    return x


def _slope(layer: LayerMap, x: Tensor) -> Tensor:
    return layer(x) - x


def relative_distance(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"]
) -> Float[np.ndarray, " b"]:
    """|x - y| / |y| over the tokens of each text."""
    there = valid[..., None].to(x)
    apart, size = (((a * there).flatten(1).double().norm(dim=1)) for a in (x - y, y))
    return (apart / size).cpu().numpy()
