r"""The two currencies of the library, and the alphabet of its axes.

A token mixer is a physical system and a stack of layers is a flow that can be watched.
So a flow, wherever it came from, is a `Trajectory`, and a mixer, whatever its physics,
returns `Mixed`. Rooms exchange these two and nothing else.

    axis  meaning                         axis  meaning
    b     batch                           p     phases
    n     tokens written                  q     phases other than the reference, p - 1
    m     tokens read                     r     reactions
    d     features                        t     times, or layers
    h     heads                           k     modes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from torch import Tensor


class Trajectory(NamedTuple):
    """x_i(t), tokens over time: of a simulated flow, a trained network or any recorded model.

    `times` [t] are strictly increasing; for a network they are layer indices, 0 the embedding. `tokens` are [t b n d].
    `valid` [b n] is False on padding, which every observable leaves out.
    """

    times: Float[Tensor, " t"]
    tokens: Float[Tensor, "t b n d"]
    valid: Bool[Tensor, "b n"]


class Mixed(NamedTuple):
    """What every mixer returns: new tokens, and its named distances from equilibrium.

    Each residual is a non-negative scalar that is zero at equilibrium ("F", "g1", "g2"), or a
    measure of how far the system is from the trivial one ("spread"). The dictionary is empty
    for a mixer without an equilibrium, and whenever residuals are not asked for.
    """

    tokens: Float[Tensor, "b n d"]
    residuals: dict[str, Float[Tensor, ""]]
