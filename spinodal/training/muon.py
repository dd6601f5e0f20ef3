r"""Muon for matrices, AdamW for the rest, as one optimiser that is saved, resumed and scheduled like any other.

    M <- mu M + (1 - mu) G,   W <- (1 - lr decay) W - lr sqrt(max(1, out / in)) U V^T,   U S V^T ~ (1 - mu) G + mu M

torch's own Muon [jordan2024], whose iteration of Newton and Schulz computes U V^T in bfloat16, to about 0.3 in its
singular values. A matrix that is split among processes is gathered for it. Rates may be scheduled as those of any
optimiser; a scheduler that moves betas too, such as `OneCycleLR`, moves those of AdamW alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer

from spinodal.errors import InputError
from spinodal.training.groups import MATRICES, OUTPUTS


class MuonAdamW(Optimizer):
    """torch's Muon for the groups of matrices and outputs that `parameter_groups` gives, AdamW for its others.

    InputError for groups that are not those of `parameter_groups(..., optimizer="muon")`.

    >>> import torch
    >>> from torch import nn
    >>> from spinodal.training import MuonAdamW, parameter_groups
    >>> model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.LayerNorm(8))
    >>> optimizer = MuonAdamW(parameter_groups(model, lr=8e-3, optimizer="muon"))
    >>> [(group["kind"], group["lr"]) for group in optimizer.param_groups]
    [('vectors', 0.008), ('matrices', 0.02)]
    """

    def __init__(
        self,
        groups: Iterable[Any],
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        momentum: float = 0.95,
    ):
        groups = list(groups)
        for group in groups:
            if not isinstance(group, dict) or group.get("optimizer") != "muon":
                raise InputError(
                    'MuonAdamW takes the groups of parameter_groups(model, ..., optimizer="muon"), whose rates are '
                    "Muon's",
                    field="groups",
                )
        by_muon = [group for group in groups if is_matrices(group)]
        by_adamw = [group for group in groups if not is_matrices(group)]
        self.parts: list[Optimizer] = []
        if by_adamw:
            self.parts.append(AdamW(by_adamw, betas=betas, eps=eps))
        if by_muon:
            self.parts.append(Muon(by_muon, momentum=momentum))
        usual = {"betas": betas, "eps": eps, "momentum": momentum}
        super().__init__([group for part in self.parts for group in part.param_groups], usual)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step of Muon and of AdamW, after `closure`, if any, whose loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:  # a checkpoint that is read replaces groups and state
            own = isinstance(part, Muon)
            part.param_groups = [group for group in self.param_groups if is_matrices(group) == own]
            part.state = self.state
            part.step()
        return loss


def is_matrices(group: dict[str, Any]) -> bool:
    """Whether Muon trains this group."""
    return group["kind"] in (MATRICES, OUTPUTS)
