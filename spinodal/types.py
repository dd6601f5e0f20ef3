r"""The two types that the packages of the library exchange, and the letters of the axes of arrays.

A token mixer is a physical system, and a stack of layers is a flow. So a flow, simulated or recorded from a
model, is a `Trajectory`, and every mixer returns `Mixed`.

    axis  meaning                         axis  meaning
    b     batch                           p     phases
    n     tokens written                  q     phases other than the reference, p - 1
    m     tokens read                     r     reactions
    d     features                        t     times, or layers
    h     heads                           k     modes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[float, float], object]  # called with how much is done, and of how much; inf if unknown


class Trajectory(NamedTuple):
    """x_i(t), tokens over time: of a simulated flow, a trained network or any recorded model.

    `times` [t] are strictly increasing; for a network they are layer indices, 0 the embedding. `tokens` are [t b n d].
    `valid` [b n] is False on padding, which every observable leaves out.
    """

    times: Float[Tensor, " t"]
    tokens: Float[Tensor, "t b n d"]
    valid: Bool[Tensor, "b n"]


class Mixed(NamedTuple):
    """The output of a mixer: new tokens, named distances from equilibrium, and other named numbers.

    Each residual is a non-negative scalar that is zero at equilibrium ("F", "g1", "g2"); a measure is any
    other scalar of the state ("energy", "density", "spread"). Both are empty for a mixer that has none, and
    whenever residuals are not asked for. No name is both that of a residual and that of a measure.
    """

    tokens: Float[Tensor, "b n d"]
    residuals: dict[str, Float[Tensor, ""]]
    measures: dict[str, Float[Tensor, ""]] = {}  # noqa: RUF012

    @property
    def reported(self) -> dict[str, Float[Tensor, ""]]:
        """Residuals and measures by name, as a loss, a log and a record have them."""
        return self.residuals | self.measures
