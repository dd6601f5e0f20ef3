r"""Links between blocks of tokens that a router selects, once for all steps of a flow.

    P_ij over the tokens j of the blocks that the block of i is linked to     [n, m size] numbers instead of [n, n]

Averages over them are gathered (on a CPU, or with a threshold of links) or left to FlexAttention, which
skips the other blocks on a GPU; both are attention under a mask of blocks. Blocks are counted from the
first token given, padding or not.

    symbol  meaning                                       shape
    s       scores of the links of each block             b h I size m*size
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.graph.blocks import BlockRouter, RoutedBlocks, whole_blocks
from spinodal.mixers.graph.flex import block_mask, flex_averages, flex_supported
from spinodal.mixers.graph.links import GraphInputs, Links, all_valid, possible_links
from spinodal.mixers.graph.pairs import PairLinks
from spinodal.mixers.graph.scores import Averages, add_self_links, allowed_links, scale, scores, strong_links
from spinodal.mixers.graph.statistics import GraphStatistics
from spinodal.mixers.ops.block_gather import gathered_averages, gathered_products
from spinodal.mixers.ops.tracing import traced

ROWS = 64
GOLDEN = 0.5 * (5**0.5 - 1)  # its multiples fall evenly into [0, 1), in step with no period of the text


class BlockLinks(Links):
    """Links to the tokens of the blocks that `router` selects; to all tokens for its first `warmup` training calls."""

    router: BlockRouter
    counts_calls = True

    def __init__(self, router: BlockRouter, threshold: float):
        self.router, self.threshold, self.causal = router, threshold, router.causal
        self.size, self.warmup = router.blocks.size, router.blocks.warmup
        self.pairs = PairLinks(self.causal, threshold, mutual=not self.directed)

    @property
    def guarantee(self) -> str:
        """What every step descends: "energy" for mutual links without a threshold, else "per-token"."""
        mutual = self.router.blocks.mutual and not self.threshold
        return "energy" if mutual and not self.causal else "per-token"

    def at(self, call: int) -> Links:
        return self.pairs if call < self.warmup else self

    def route(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> RoutedBlocks:
        """The blocks that each block is linked to."""
        return self.router.route(whole_blocks(inputs.u, self.size), self.valid_in_blocks(inputs, valid))

    def valid_in_blocks(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b l"]:
        """`valid` with False appended, up to whole blocks."""
        return functional.pad(all_valid(inputs.u, valid), (0, -inputs.u.shape[1] % self.size))

    def averages(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Averages:
        routed, there = self.route(inputs, valid), self.valid_in_blocks(inputs, valid)
        if flex_supported(inputs.q, self.size) and not self.threshold:
            return self.flex_averages(inputs, routed, there)
        s = self.gathered_scores(inputs, routed, there)
        return self.gathered_averages(s, routed, inputs.q.shape[2])

    def link_mask(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "#b #h n n"]:
        n = inputs.u.shape[1]
        selected = self.route(inputs, valid).selected
        selected = selected.repeat_interleave(self.size, 2).repeat_interleave(self.size, 3)[:, :, :n, :n]
        own = torch.eye(n, dtype=torch.bool, device=selected.device)
        return add_self_links(self.pairs.link_mask(inputs, valid) & selected, own)

    def statistics(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> GraphStatistics:
        routed, there = self.route(inputs, valid), all_valid(inputs.u, valid)
        double = inputs._replace(q=inputs.q.double(), k=inputs.k.double())
        s = self.gathered_scores(double, routed, self.valid_in_blocks(inputs, valid))
        rows = s.flatten(2, 3)[:, :, : there.shape[1]]
        averages = self.gathered_averages(s, routed, there.shape[1])
        return GraphStatistics(rows, averages, possible_links(there, causal=self.causal), there)

    def gathered_scores(
        self, inputs: GraphInputs, routed: RoutedBlocks, there: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b h I k j"]:
        """s_ij over the tokens j of the linked blocks, the own one first.

        A token's score with itself is half the least finite number: weight 0 beside other links, 1 without.
        """
        size = self.size
        q, k = in_blocks(scale(inputs.q) * inputs.q, size), in_blocks(inputs.k, size)
        s = gathered_products(q, k, routed.index)
        hidden = ~routed.kept.repeat_interleave(size, -1)[:, :, :, None]
        if traced() or not there.all():
            place = routed.index[..., None] * size + torch.arange(size, device=there.device)
            linked = there.gather(1, place.flatten(1)).view(hidden.shape)
            hidden = hidden | ~linked | ~there.unflatten(1, (-1, size))[:, None, :, :, None]
        s = s.masked_fill_(hidden, -torch.inf)
        own = s[..., :size]
        if self.causal:
            own.masked_fill_(own.new_ones(size, size, dtype=torch.bool).triu(1), -torch.inf)
        own.diagonal(dim1=-2, dim2=-1).fill_(torch.finfo(s.dtype).min / 2)
        if self.threshold:
            s = s.masked_fill(~strong_links(s, self.threshold), -torch.inf)
        return s

    def gathered_averages(self, s: Float[Tensor, "b h I k j"], routed: RoutedBlocks, n: int) -> Averages:
        """The function x -> softmax(s) x, the softmax formed once; a call gathers the x of linked tokens."""
        P, size = s.softmax(-1), self.size

        def averages(values: Tensor) -> Tensor:
            return gathered_averages(P, in_blocks(values, size), routed.index).flatten(2, 3)[:, :, :n]

        return averages

    def flex_averages(
        self, inputs: GraphInputs, routed: RoutedBlocks, there: Bool[Tensor, "b l"]
    ) -> Averages:
        """The function x -> softmax(s) x by FlexAttention under the mask of linked blocks."""
        size, n = self.size, inputs.q.shape[2]
        counts = there.unflatten(1, (-1, size)).sum(-1)
        others = (routed.selected * counts[:, None, None]).sum(-1).repeat_interleave(size, -1)
        if self.causal:  # of the own block the tokens before this one
            earlier = there.unflatten(1, (-1, size)).long().cumsum(-1).flatten(1) - there.long()
            others = others + (earlier - counts.repeat_interleave(size, -1))[:, None]
        else:
            others = others - 1
        alone = (others <= 0) | ~there[:, None]
        mask = block_mask(routed, there, alone, size=size, causal=self.causal)
        averages = flex_averages(whole_blocks(inputs.q, size), whole_blocks(inputs.k, size), mask)
        return lambda values: averages(whole_blocks(values, size))[:, :, :n]

    def measures(
        self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None, *, call: int
    ) -> dict[str, Float[Tensor, ""]]:
        """{"selection": KL(P, predicted P)} over up to ROWS rows, which change with every training call.

        Its gradient reaches the router alone.
        """
        if self.router.sketches is None:
            return {}
        n = inputs.u.shape[1]
        u, there = whole_blocks(inputs.u.detach(), self.size), self.valid_in_blocks(inputs, valid)
        turn = ROWS * call + torch.arange(min(ROWS, n), device=u.device)
        rows = (n * (turn.double() * GOLDEN).frac()).long()
        with torch.no_grad():
            pairs = allowed_links(n, there[:, :n], causal=self.causal)[:, :, rows]
            P = scores(inputs.q[:, :, rows], inputs.k, pairs).softmax(-1)
            P = P.masked_fill(~there[:, None, rows, None], 0.0)
            P = functional.pad(P, (0, u.shape[1] - n))
        return {"selection": self.router.divergence(u, there, rows, P)}


def in_blocks(x: Float[Tensor, "b h n c"], size: int) -> Float[Tensor, "b h I k c"]:
    """x cut into blocks of `size` tokens."""
    return whole_blocks(x, size).unflatten(2, (-1, size))
