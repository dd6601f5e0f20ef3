"""A mixer of somebody else's: one file with its class, its options and its entry."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape, option
from spinodal.types import Mixed


class Spring(Mixer):
    """y_i = W (m_i - x_i) stiffness, m the mean of the tokens up to i, or of all; at rest where x = m."""

    def __init__(self, width: int, *, stiffness: float, causal: bool):
        super().__init__()
        self.stiffness, self.causal = stiffness, causal
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, valid: Tensor | None = None, *, residuals: bool = False) -> Mixed:
        there = torch.ones_like(x[..., :1]) if valid is None else valid[..., None].to(x)
        x = x.masked_fill(there == 0, 0.0)
        total, count = (x.cumsum(1), there.cumsum(1)) if self.causal else (x.sum(1, True), there.sum(1, True))
        pull = (total / count.clamp(min=1) - x) * there
        found = {"tension": (pull.square().sum() / there.sum()).sqrt()} if residuals else {}
        return Mixed(self.out(self.stiffness * pull), found)

    def extend_causal(self, x: Tensor, state: State | None, valid: Tensor | None) -> tuple[Tensor, State]:
        """The state is the sum of the tokens and their number."""
        there = torch.ones_like(x[..., :1]) if valid is None else valid[..., None].to(x)
        x = x.masked_fill(there == 0, 0.0)
        total, count = state or (torch.zeros_like(x[:, 0]), torch.zeros_like(there[:, 0]))
        totals, counts = total[:, None] + x.cumsum(1), count[:, None] + there.cumsum(1)
        pull = (totals / counts.clamp(min=1) - x) * there
        return self.out(self.stiffness * pull), (totals[:, -1], counts[:, -1])


@dataclass(frozen=True)
class SpringConfig(MixerConfig):
    """How stiff the springs are."""

    stiffness: float = option(1.5, "how hard a token is pulled to the mean")

    def __post_init__(self):
        if self.stiffness <= 0:
            raise InputError(f"stiffness={self.stiffness}: it must be above 0")

    def build(self, shape: Shape) -> Mixer:
        return Spring(shape.width, stiffness=self.stiffness, causal=shape.causal)


SPRING = Entry(
    "spring", Kind.TOKEN, "springs to the mean of the tokens", SpringConfig, Spring, residuals=("tension",)
)
