r"""Which blocks of tokens look at which: chosen by predicted mass, gathered once, kept for all steps of a flow.

    mass_iJ = sum_{j in J} P_ij  ~  phi(W u_i) . sum_{j in J} phi(V u_j),   phi = softmax over features

The sum over a block is taken before the product: n / size numbers a token instead of n. A mean of keys, the
linear case, forgets what differs from the mean; phi sees more the more features it has. W and V learn from
the dense masses of a few rows, the residual "selection" [derived].

A block keeps itself and its neighbours, and of the others the `top` whose largest mass for one of its tokens is
largest. Causal, it is the tokens up to its first that choose, and among complete past blocks: what a later
token wants would tell an earlier one of it.

    symbol  meaning                                            shape
    u       tokens, padded to whole blocks                     b n d
    index   blocks chosen by each block                        b h I m
    kept    which of the m are looked at                       b h I m
    mass    log of the predicted share of block J              b h * J
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError

SPREAD = 2.0  # of the exponents of phi, for tokens of unit size
TINY = 1e-6  # of a mass: what no feature sees is improbable, not impossible


@dataclass(frozen=True)
class Blocks:
    """`size` tokens a block, which looks at itself, `window` neighbours (a side, if not causal) and `top` others.

    `threshold` drops others that have less than this share of the largest predicted mass. `mutual` keeps the links
    that both ends chose: symmetric, so that an energy falls. For the first `warmup` training calls all is dense.
    In a text of fewer blocks than `top` all are chosen.
    """

    size: int = 64
    top: int = 4
    window: int = 1
    threshold: float = 0.0
    features: int = 128
    mutual: bool = False
    warmup: int = 0

    def __post_init__(self):
        for name, least in {"size": 2, "top": 0, "window": 0, "features": 1, "warmup": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}: blocks need at least {least}")
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold={self.threshold}: a share of the largest mass of a block, in [0, 1)")

    def require_fit(self, context: int):
        """InputError if a text of this length has fewer blocks than are to be chosen."""
        count = -(-context // self.size)
        if self.top > count:
            raise InputError(
                f"top={self.top}: {context} tokens are {count} blocks of {self.size}; take top={count} or less"
            )


class Choice(NamedTuple):
    """The blocks that each block looks at, itself first, and as a matrix of blocks."""

    index: Int[Tensor, "b h I m"]
    kept: Bool[Tensor, "b h I m"]
    selected: Bool[Tensor, "b h I J"]


class Kinds(nn.Linear):
    """W and V of every head: the same at the start, so that like seeks like, and wide enough to tell tokens apart."""

    def __init__(self, width: int, *, heads: int, features: int):
        super().__init__(width, 2 * heads * features, bias=False)

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=SPREAD * self.in_features**-0.5)
        with torch.no_grad():
            want, have = self.weight.unflatten(0, (2, -1))
            have.copy_(want)


class Coarse(nn.Module):
    """Predicted masses of blocks, and the choice they lead to."""

    def __init__(self, width: int, *, heads: int, blocks: Blocks, causal: bool):
        super().__init__()
        self.heads, self.blocks, self.causal = heads, blocks, causal
        self.maps = Kinds(width, heads=heads, features=blocks.features)

    def features(
        self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]
    ) -> tuple[Float[Tensor, "b h n r"], Float[Tensor, "b h J r"]]:
        """phi(W u) of each token, and the sum of phi(V u) over those of each block."""
        want, have = self.maps(u).unflatten(-1, (2, self.heads, -1)).softmax(-1).permute(2, 0, 3, 1, 4)
        there = seen.expand(len(u), -1).unflatten(1, (-1, self.blocks.size)).to(u)
        sums = torch.einsum("bhjkr,bjk->bhjr", have.unflatten(2, (-1, self.blocks.size)), there)
        return want, sums

    def apart(self, I: int, device: torch.device) -> Int[Tensor, "I I"]:
        """How many blocks J lies before I; where not causal, how far it is."""
        apart = torch.arange(I, device=device)[:, None] - torch.arange(I, device=device)
        return apart if self.causal else apart.abs()

    def candidates(self, I: int, device: torch.device) -> Bool[Tensor, "I I"]:
        """Blocks that have to be chosen: neither the own one nor a neighbour, nor one that is still to come."""
        return self.apart(I, device) > self.blocks.window

    def log_mass(self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]) -> Float[Tensor, "b h I J"]:
        """log of the largest share, among the candidates, that a block has for a token of another."""
        size = self.blocks.size
        want, have = self.features(u, seen)
        if self.causal:  # the tokens up to the first of a block speak for it
            want = functional.pad(want, (0, 0, size - 1, 0))[:, :, : u.shape[1]]
            seen = functional.pad(seen, (size - 1, 0))[:, : u.shape[1]]
        closed = ~self.candidates(have.shape[2], u.device)[:, None]
        mass = torch.einsum("bhikr,bhjr->bhikj", want.unflatten(2, (-1, size)), have) + TINY
        mass = mass.log().masked_fill(closed, -torch.inf).log_softmax(-1).masked_fill(closed, -torch.inf)
        silent = ~seen.unflatten(1, (-1, size))[:, None, :, :, None]
        largest = mass.masked_fill(silent, -torch.inf).amax(3)
        nearest = torch.arange(-mass.shape[-1], 0, device=u.device, dtype=mass.dtype)  # to padding, all alike
        return largest.where(closed[:, 0] | ~silent.all(3), nearest)

    @torch.no_grad()
    def choice(self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]) -> Choice:
        """`top` candidates of each block, beside its own block and its neighbours."""
        mass = self.log_mass(u, seen)
        I, apart = mass.shape[2], self.apart(mass.shape[2], u.device)
        if self.blocks.threshold:
            weak = mass < mass.amax(-1, keepdim=True) + math.log(self.blocks.threshold)
            mass = mass.masked_fill(weak, -torch.inf)
        always = (apart >= 0) & (apart <= self.blocks.window)
        near = min(I, 1 + self.blocks.window * (1 if self.causal else 2))
        mass = mass.masked_fill(always, torch.finfo(mass.dtype).max).masked_fill(apart == 0, torch.inf)
        found = mass.topk(min(I, near + self.blocks.top), sorted=True)
        # at an end a block has fewer neighbours, whose places others must not take
        rank = torch.arange(found.indices.shape[-1], device=u.device)
        kept = (found.values > -torch.inf) & (rank < always.sum(-1, keepdim=True) + self.blocks.top)
        selected = torch.zeros_like(mass, dtype=torch.bool).scatter(-1, found.indices, kept)
        if self.blocks.mutual:
            selected = selected & selected.mT
            kept = selected.gather(-1, found.indices)
        return Choice(found.indices, kept, selected)

    def divergence(
        self,
        u: Float[Tensor, "b n d"],
        seen: Bool[Tensor, "#b n"],
        rows: Int[Tensor, " k"],
        mass: Float[Tensor, "b h k J"],
    ) -> Float[Tensor, ""]:
        """KL of the masses of blocks in these rows to those predicted, over candidates, rows by their mass there."""
        want, have = self.features(u, seen)
        open_ = self.candidates(have.shape[2], u.device)[rows // self.blocks.size]
        guess = torch.einsum("bhkr,bhjr->bhkj", want[:, :, rows], have) + TINY
        guess, mass = guess * open_, mass * open_
        weight = mass.sum(-1)
        truth = mass / weight.clamp(min=TINY)[..., None]
        guess = guess / guess.sum(-1, keepdim=True).clamp(min=TINY)
        lost = torch.xlogy(truth, truth / guess.clamp(min=TINY**2)).sum(-1)
        return (weight * lost).sum() / weight.sum().clamp(min=TINY)


def whole_blocks(x: Float[Tensor, "*b n c"], size: int) -> Float[Tensor, "*b l c"]:
    """Zeros up to the next multiple of size."""
    return functional.pad(x, (0, 0, 0, -x.shape[-2] % size))
