r"""A block router: which blocks of tokens are linked, predicted from projections of a few numbers a token.

    P_ij  ~  softmax_j(W u_i . V u_j),    score of block J for token i: max_{j in J} W u_i . V u_j

Every pair of tokens is scored, at a fraction of what attention costs. Scoring an average of each block would
cost less still, but the average hides the one token that is sought. W and V learn from a few rows of P, token
by token, by the divergence that the flow reports as "selection" [derived].

A block is linked to itself and its neighbours, and to the `top` others whose share for one of its tokens is
largest. In a causal flow these are the shares of the `size` tokens that end with the block's first, among
complete past blocks: a block's tokens share their links, which must not depend on tokens after its first.

    symbol  meaning                                            shape
    u       tokens, padded to whole blocks                     b n d
    index   blocks that each block may be linked to            b h I m
    kept    which of the m it is linked to                     b h I m
    Wu      W u                                              b h n r
    Vu      V u                                              b h n r
    score   max over the tokens of block J                     b h n J
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.graph.links import LinkForm, Links
from spinodal.mixers.ops.tracing import traced

ALIKE = 8.0  # W u . V u of a token of unit size, at the start
AT_ONCE = (2**19, 2**26)  # products, on a CPU and on a GPU: on a CPU they stay in the cache
TINY = 1e-6


@dataclass(frozen=True)
class Blocks(LinkForm):
    """Blocks of `size` tokens, each linked to itself, `window` neighbours (a side, if not causal) and `top` others.

    `threshold` drops others that have less than this share of the largest one's. `mutual` keeps links that both
    ends selected: symmetric, so that an energy falls. For the first `warmup` training calls all tokens are linked,
    and so they are in a text of fewer blocks than `top`. `features` is the width of the router's projections.
    """

    size: int = 64
    top: int = 4
    window: int = 1
    threshold: float = 0.0
    features: int = 32
    mutual: bool = False
    warmup: int = 0

    def __post_init__(self):
        for name, least in {"size": 2, "top": 0, "window": 0, "features": 1, "warmup": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}: blocks need at least {least}")
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold={self.threshold}: a share of the largest mass of a block, in [0, 1)")

    def build(self, width: int, *, heads: int, causal: bool, threshold: float) -> Links:
        from spinodal.mixers.graph.block_links import BlockLinks

        if self.mutual and causal:
            raise InputError("mutual=True: in a causal graph no link has two ends that selected it")
        return BlockLinks(BlockRouter(width, heads=heads, blocks=self, causal=causal), threshold)

    def require_fit(self, context: int):
        """InputError if a text of this length has fewer blocks than are to be selected."""
        count = -(-context // self.size)
        if self.top > count:
            raise InputError(
                f"top={self.top}: {context} tokens are {count} blocks of {self.size}; take top={count} or less"
            )


class RoutedBlocks(NamedTuple):
    """The blocks J whose tokens the tokens of block I are linked to, as a list and as a matrix.

    A text is cut into blocks of consecutive tokens, and links are chosen a block at a time.
    """

    index: Int[Tensor, "b h I m"]  # m blocks J of each block I, I itself first
    kept: Bool[
        Tensor, "b h I m"
    ]  # whether that entry is a link; others fill the list where there are fewer than m
    selected: Bool[Tensor, "b h I J"]  # whether I is linked to J


class RouterProjections(nn.Linear):
    """W u and V u of every head; W = V at the start, so that a token scores those like it highest."""

    def __init__(self, width: int, *, heads: int, features: int):
        self.heads, self.features = heads, features
        super().__init__(width, 2 * heads * features, bias=False)

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=(ALIKE / self.in_features / self.features) ** 0.5)
        with torch.no_grad():
            Wu, Vu = self.weight.unflatten(0, (2, -1))
            Vu.copy_(Wu)

    def forward(self, u: Float[Tensor, "b n d"]) -> tuple[Float[Tensor, "b h n r"], Float[Tensor, "b h n r"]]:
        Wu, Vu = super().forward(u).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return Wu, Vu


class BlockRouter(nn.Module):
    """Scores every block for every token, and links each block to those of the largest share."""

    def __init__(self, width: int, *, heads: int, blocks: Blocks, causal: bool):
        super().__init__()
        self.heads, self.blocks, self.causal = heads, blocks, causal
        self.sketches = (
            RouterProjections(width, heads=heads, features=blocks.features) if blocks.top else None
        )

    def block_scores(self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]) -> Float[Tensor, "b h n J"]:
        """max_{j in J} W u_i . V u_j; the least number there is where all of block J is padding."""
        assert self.sketches is not None
        Wu, Vu = self.sketches(u)
        there = None if not traced() and seen.all() else seen[:, None, None]
        keys, least = Vu.mT.contiguous(), torch.finfo(Wu.dtype).min
        size = max(1, AT_ONCE[Wu.is_cuda] // keys[..., 0, :].numel())
        space, parts = Wu.new_empty(*Wu.shape[:2], size, keys.shape[-1]), []
        for rows in Wu.split(size, 2):
            products = torch.matmul(rows, keys, out=space[:, :, : rows.shape[2]])
            if there is not None:
                products = products.where(there, least)
            parts.append(products.unflatten(-1, (-1, self.blocks.size)).amax(-1))
        return torch.cat(parts, 2)

    def block_distances(self, I: int, device: torch.device) -> Int[Tensor, "I I"]:
        """The matrix I - J, by how many blocks J precedes I; |I - J| where not causal."""
        apart = torch.arange(I, device=device)[:, None] - torch.arange(I, device=device)
        return apart if self.causal else apart.abs()

    def candidates(self, I: int, device: torch.device) -> Bool[Tensor, "I I"]:
        """Whether block I may select block J: beyond its neighbours, and in the past if causal."""
        return self.block_distances(I, device) > self.blocks.window

    def log_share(self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]) -> Float[Tensor, "b h I J"]:
        """log max_{i in I} softmax_J(score of block J for token i), J among the candidate blocks of I."""
        size, score = self.blocks.size, self.block_scores(u, seen)
        if self.causal:  # the tokens up to the first of a block select for it
            score = functional.pad(score, (0, 0, size - 1, 0))[:, :, : u.shape[1]]
            seen = functional.pad(seen, (size - 1, 0))[:, : u.shape[1]]
        score = score.unflatten(2, (-1, size))
        closed = ~self.candidates(score.shape[2], u.device)[:, None]
        share = score.masked_fill(closed, -torch.inf).log_softmax(-1).masked_fill(closed, -torch.inf)
        padded = ~seen.unflatten(1, (-1, size))[:, None, :, :, None]
        largest = share.masked_fill(padded, -torch.inf).amax(3)
        nearest = torch.arange(
            -share.shape[-1], 0, device=u.device, dtype=share.dtype
        )  # to padding, all alike
        return largest.where(closed[:, 0] | ~padded.all(3), nearest)

    @torch.no_grad()
    def route(self, u: Float[Tensor, "b n d"], seen: Bool[Tensor, "#b n"]) -> RoutedBlocks:
        """The links of every block: itself, its neighbours and its `top` candidates."""
        u = u if self.sketches is None else u.to(self.sketches.weight)
        I = u.shape[1] // self.blocks.size
        apart = self.block_distances(I, u.device)
        share = self.log_share(u, seen) if self.blocks.top else u.new_zeros(u.shape[0], self.heads, I, I)
        if self.blocks.threshold:
            weak = share < share.amax(-1, keepdim=True) + math.log(self.blocks.threshold)
            share = share.masked_fill(weak, -torch.inf)
        always = (apart >= 0) & (apart <= self.blocks.window)
        near = min(I, 1 + self.blocks.window * (1 if self.causal else 2))
        share = share.masked_fill(always, torch.finfo(share.dtype).max).masked_fill(apart == 0, torch.inf)
        found = share.topk(min(I, near + self.blocks.top), sorted=True)
        # at an end a block has fewer neighbours, whose places others must not take
        rank = torch.arange(found.indices.shape[-1], device=u.device)
        kept = (found.values > -torch.inf) & (rank < always.sum(-1, keepdim=True) + self.blocks.top)
        selected = torch.zeros_like(share, dtype=torch.bool).scatter(-1, found.indices, kept)
        if self.blocks.mutual:
            selected = selected & selected.mT
            kept = selected.gather(-1, found.indices)
        return RoutedBlocks(found.indices, kept, selected)

    def divergence(
        self,
        u: Float[Tensor, "b n d"],
        seen: Bool[Tensor, "#b n"],
        rows: Int[Tensor, " k"],
        P: Float[Tensor, "b h k n"],
    ) -> Float[Tensor, ""]:
        """KL(P_i, predicted P_i) on the tokens of candidate blocks, averaged over `rows` i.

        Both are normalised on these tokens, and each row is weighted by the sum of its P_ij over them.
        """
        assert self.sketches is not None
        Wu, Vu = self.sketches(u)
        open_ = self.candidates(u.shape[1] // self.blocks.size, u.device)[rows // self.blocks.size]
        open_ = open_.repeat_interleave(self.blocks.size, -1) & seen[:, None, None]
        guess = (Wu[:, :, rows] @ Vu.mT).masked_fill(~open_, torch.finfo(Wu.dtype).min).log_softmax(-1)
        P = P * open_
        weight = P.sum(-1)
        truth = P / weight.clamp(min=TINY)[..., None]
        lost = (torch.xlogy(truth, truth) - truth * guess.where(open_, 0.0)).sum(-1)
        return (weight * lost).sum() / weight.sum().clamp(min=TINY)


def whole_blocks(x: Float[Tensor, "*b n c"], size: int) -> Float[Tensor, "*b l c"]:
    """x with zeros appended, up to a multiple of `size` tokens."""
    return functional.pad(x, (0, 0, 0, -x.shape[-2] % size))
