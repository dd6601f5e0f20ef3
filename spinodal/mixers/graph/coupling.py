r"""Odd couplings that separate: a force between all pairs at the cost of averages.

    f(y) = b_0 y + sum_m b_m sin(m y),    F(y) = b_0 y^2 / 2 + sum_m b_m (1 - cos m y) / m
    sum_j P_ij sin(m (x_j - x_i)) = cos(m x_i) (P sin m x)_i - sin(m x_i) (P cos m x)_i

so that one product of P with [sin m x, cos m x] is the force on every token. A tanh or a cube does not
separate: `spinodal.graphs` has them, edge by edge.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.mixers.graph.scores import Averages

SAMPLES = 257


class SineCoupling(nn.Module):
    """f(y) = b_0 y + sum_m b_m sin(m y), from a text such as "sin" or "sin(y) - 0.2*sin(2*y)".

    `bound` is sup|f'| of the text; learned amplitudes are scaled back so that it holds.
    """

    def __init__(self, text: str, *, learned: bool = False):
        super().__init__()
        self.known = graphs.coupling(text)
        terms = {0.0 if kind == "y" else float(m): b for (kind, m), b in self.known.terms.items()}
        if not terms or any(
            kind not in ("sin", "y") or (kind == "y" and m != 1) for kind, m in self.known.terms
        ):
            raise InputError(
                f"coupling {text!r} does not separate into sums over tokens: take sin, identity or a series "
                f"such as sin(y) - 0.2*sin(2*y); spinodal.graphs has the others, edge by edge"
            )
        self.frequencies = tuple(terms)
        self.bound, self.learned = self.known.slope_bound(), learned
        start = list(terms.values())
        self.amplitudes = nn.Parameter(torch.tensor(start)) if learned else start

    def coefficients(self) -> list[float] | list[Tensor]:
        """b_m, scaled so that sum_m |m b_m| <= `bound`."""
        if not isinstance(self.amplitudes, Tensor):
            return self.amplitudes
        slope = (
            (self.amplitudes * self.amplitudes.new_tensor([m or 1.0 for m in self.frequencies])).abs().sum()
        )
        return list(self.amplitudes * (self.bound / slope).clamp(max=1))

    def rises_within(self, radius: float) -> bool:
        """f' > 0 for |y| <= radius, so that the energy is convex there."""
        slopes = np.asarray(self.known(np.linspace(0, radius, SAMPLES), order=1))
        return not self.learned and bool((slopes > 0).all())

    def features(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b w"]:
        """What is averaged: x for the linear part, sin(m x) and cos(m x) for each wave."""
        return torch.cat([part for m in self.frequencies for part in sine_and_cosine(m, x)], dim=-1)

    def force(
        self, own: Float[Tensor, "*b w"], averaged: Float[Tensor, "*b w"], c: int
    ) -> Float[Tensor, "*b c"]:
        """sum_j P_ij f(x_j - x_i), from the token's own features and their averages with weights P."""
        mine, theirs, total = (
            iter(own.split(c, -1)),
            iter(averaged.split(c, -1)),
            torch.zeros_like(own[..., :c]),
        )
        for m, b in zip(self.frequencies, self.coefficients(), strict=True):
            if m:
                sin, cos = next(mine), next(mine)
                total = total + b * (cos * next(theirs) - sin * next(theirs))
            else:
                total = total + b * (next(theirs) - next(mine))
        return total

    def potential(self, x: Float[Tensor, "b h n c"], averages: Averages) -> Float[Tensor, "b h n c"]:
        """sum_j P_ij F(x_j - x_i) for rows of P that sum to one."""
        total = torch.zeros_like(x)
        for m, b in zip(self.frequencies, self.coefficients(), strict=True):
            if m:
                sin, cos = sine_and_cosine(m, x)
                well = (1 - cos * averages(cos) - sin * averages(sin)) / m
            else:
                well = (averages(x.square()) - 2 * x * averages(x) + x.square()) / 2
            total = total + b * well.clamp(min=0)  # which it is, but for rounding
        return total


def sine_and_cosine(m: float, x: Float[Tensor, "*b c"]) -> tuple[Float[Tensor, "*b c"], ...]:
    """sin(m x) and cos(m x), or x alone for m = 0, the linear term."""
    return ((m * x).sin(), (m * x).cos()) if m else (x,)
