"""Mixtures whose split is known: phases and fractions are drawn, the feed and K follow."""

from typing import NamedTuple

import torch
from torch import Tensor


class Made(NamedTuple):
    z: Tensor  # b n
    K: Tensor  # b n q
    L: Tensor  # b q
    x: Tensor  # b n p


def made(b: int, n: int, p: int, *, seed: int = 0, absent: int = 0) -> Made:
    """`absent` phases, the first ones, hold nothing: the feed is on the brink of forming them."""
    torch.manual_seed(seed)
    x = torch.distributions.Dirichlet(torch.ones(n, dtype=torch.float64)).sample((b, p)).mT
    L = torch.distributions.Dirichlet(torch.ones(p, dtype=torch.float64)).sample((b,))
    L[:, :absent] = 0
    L = L / L.sum(-1, keepdim=True)
    return Made(torch.einsum("bnp,bp->bn", x, L), x[..., :-1] / x[..., -1:], L[:, :-1], x)
