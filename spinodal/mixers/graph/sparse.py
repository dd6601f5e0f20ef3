r"""Graph flow attention over chosen blocks: what is gathered once carries every step.

    P_ij over the tokens j of the blocks that the block of i chose     [n, m size] numbers instead of [n, n]

The choice (`graph_blocks`) is a mask of blocks; how it is carried out is another matter: gathered (a CPU, or a
threshold of links), by FlexAttention (a GPU, which skips the other blocks) or densely under the mask (warm-up,
descriptions). All are one function. Blocks are counted from the first token given, padding or not.

    symbol  meaning                                       shape
    s       scores of the links of each block             b h I size m*size
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import State
from spinodal.mixers.graph.blocks import BlockRouter, Blocks, RoutedBlocks, whole_blocks
from spinodal.mixers.graph.flex import block_mask, flex_averages, flex_supported
from spinodal.mixers.graph.flow import SIN, GraphFlowAttention, GraphInputs
from spinodal.mixers.graph.form import FlowForm
from spinodal.mixers.graph.links import Averages, add_self_links, allowed_links, scale, scores, strong
from spinodal.mixers.graph.statistics import GraphStatistics
from spinodal.mixers.ops.block_gather import gathered_averages, gathered_products
from spinodal.mixers.ops.kv_cache import append_tokens
from spinodal.types import Mixed

ROWS = 64
GOLDEN = 0.5 * (5**0.5 - 1)  # its multiples fall evenly into [0, 1), in step with no period of the text


class BlockGraphAttention(GraphFlowAttention):
    """The flow on the graph of chosen blocks; `context`, if given, is the length of text that must have `top` blocks.

    Residuals hold "selection" besides: how far the predicted links are from the true ones, for a loss
    (method=penalty constrain=selection tolerance=0) that teaches the choice.
    """

    calls: Tensor

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        blocks: Blocks,
        form: FlowForm = SIN,
        causal: bool = False,
        context: int | None = None,
    ):
        self.blocks = blocks
        super().__init__(width, heads=heads, form=form, causal=causal)
        if context is not None:
            blocks.require_fit(context)
        if blocks.mutual and causal:
            raise InputError("mutual=True: in a causal graph no link has two ends that chose it")
        self.coarse = BlockRouter(width, heads=heads, blocks=blocks, causal=causal)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    @property
    def guarantee(self) -> str:
        """One energy falls only if links are mutual; chosen by one end they are directed."""
        mutual = self.blocks.mutual and not self.form.threshold
        return "energy" if mutual and not self.causal else "per-token"

    @property
    def dense(self) -> bool:
        """Whether the choice is still to be learned."""
        return self.training and int(self.calls) < self.blocks.warmup

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        found = super().forward(x, valid, residuals=residuals)
        if residuals and self.blocks.top:
            found = Mixed(found.tokens, found.residuals | {"selection": self.selection(x, valid)})
        if self.training:
            self.calls += 1
        return found

    def choice(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> RoutedBlocks:
        u = whole_blocks(inputs.u, self.blocks.size)
        return self.coarse.choice(u.to(self.qkv.weight), self.seen(inputs.u, valid))

    def seen(self, u: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b l"]:
        """The tokens that are there, up to whole blocks."""
        there = u.new_ones(u.shape[:2], dtype=torch.bool) if valid is None else valid
        return functional.pad(there, (0, -u.shape[1] % self.blocks.size))

    def allowed(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "#b #h n n"]:
        """Links as a mask of all pairs."""
        pairs = super().allowed(inputs, valid)
        if self.dense:
            return pairs
        n, size = inputs.u.shape[1], self.blocks.size
        chosen = self.choice(inputs, valid).selected
        chosen = chosen.repeat_interleave(size, 2).repeat_interleave(size, 3)[:, :, :n, :n]
        return add_self_links(pairs & chosen, torch.eye(n, dtype=torch.bool, device=chosen.device))

    def links(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Averages:
        if self.dense:
            return super().links(inputs, valid)
        choice, seen = self.choice(inputs, valid), self.seen(inputs.u, valid)
        if flex_supported(inputs.q, self.blocks.size) and not self.form.threshold:
            return self.flexed(inputs, choice, seen)
        return self.gathered(self.gathered_scores(inputs, choice, seen), choice, inputs.q.shape[2])

    def described(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> GraphStatistics:
        if self.dense:
            return super().described(inputs, valid)
        choice, there = self.choice(inputs, valid), self.there(inputs, valid)
        double = inputs._replace(q=inputs.q.double(), k=inputs.k.double())
        s = self.gathered_scores(double, choice, self.seen(inputs.u, valid))
        rows = s.flatten(2, 3)[:, :, : there.shape[1]]
        return GraphStatistics(rows, self.gathered(s, choice, there.shape[1]), self.neighbours(there), there)

    def gathered_scores(
        self, inputs: GraphInputs, choice: RoutedBlocks, seen: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b h I k j"]:
        """s over the tokens j of the chosen blocks, the own one first.

        A token's link to itself has the least number there is: nothing beside any other link, all where it is alone.
        """
        size = self.blocks.size
        s = gathered_products(
            in_blocks(scale(inputs.q) * inputs.q, size), in_blocks(inputs.k, size), choice.index
        )
        hidden = ~choice.kept.repeat_interleave(size, -1)[:, :, :, None]
        if not seen.all():
            place = choice.index[..., None] * size + torch.arange(size, device=seen.device)
            there = seen.gather(1, place.flatten(1)).view(hidden.shape)
            hidden = hidden | ~there | ~seen.unflatten(1, (-1, size))[:, None, :, :, None]
        s = s.masked_fill_(hidden, -torch.inf)
        own = s[..., :size]
        if self.causal:
            own.masked_fill_(own.new_ones(size, size, dtype=torch.bool).triu(1), -torch.inf)
        own.diagonal(dim1=-2, dim2=-1).fill_(torch.finfo(s.dtype).min / 2)
        if self.form.threshold:
            s = s.masked_fill(~strong(s, self.form.threshold), -torch.inf)
        return s

    def gathered(self, s: Float[Tensor, "b h I k j"], choice: RoutedBlocks, n: int) -> Averages:
        """P over the chosen blocks, formed once; a step gathers the values of their tokens."""
        P, size = s.softmax(-1), self.blocks.size
        return lambda values: gathered_averages(P, in_blocks(values, size), choice.index).flatten(2, 3)[
            :, :, :n
        ]

    def flexed(self, inputs: GraphInputs, choice: RoutedBlocks, seen: Bool[Tensor, "b l"]) -> Averages:
        size, n = self.blocks.size, inputs.q.shape[2]
        counts = seen.unflatten(1, (-1, size)).sum(-1)
        others = (choice.selected * counts[:, None, None]).sum(-1).repeat_interleave(size, -1)
        if self.causal:  # of the own block the tokens before this one
            earlier = seen.unflatten(1, (-1, size)).long().cumsum(-1).flatten(1) - seen.long()
            others = others + (earlier - counts.repeat_interleave(size, -1))[:, None]
        else:
            others = others - 1
        lonely = (others <= 0) | ~seen[:, None]
        mask = block_mask(choice, seen, lonely, size=size, causal=self.causal)
        averages = flex_averages(whole_blocks(inputs.q, size), whole_blocks(inputs.k, size), mask)
        return lambda values: averages(whole_blocks(values, size))[:, :, :n]

    def selection(self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Float[Tensor, ""]:
        """KL of the true links to the predicted ones, in up to ROWS rows: others at every training call.

        The gradient reaches the sketches alone.
        """
        u, seen = whole_blocks(x.detach(), self.blocks.size), self.seen(x, valid)
        turn = ROWS * int(self.calls) + torch.arange(min(ROWS, x.shape[1]), device=x.device)
        rows = (x.shape[1] * (turn.double() * GOLDEN).frac()).long()
        with torch.no_grad():
            inputs = self.inputs(x, valid)
            pairs = allowed_links(x.shape[1], seen[:, : x.shape[1]], causal=self.causal)[:, :, rows]
            P = scores(inputs.q[:, :, rows], inputs.k, pairs).softmax(-1)
            P = P.masked_fill(~seen[:, None, rows, None], 0.0)
            P = functional.pad(P, (0, u.shape[1] - x.shape[1]))
        return self.coarse.divergence(u, seen, rows, P)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the tokens themselves, and which are valid: what they chose is found again."""
        u, there, state = append_tokens(x, state, valid)
        inputs = self.inputs(u, there)
        last = self.states(inputs, self.links(inputs, there))[-1]
        return self.read(last[:, :, -x.shape[1] :]), state


def in_blocks(x: Float[Tensor, "b h n c"], size: int) -> Float[Tensor, "b h I k c"]:
    return whole_blocks(x, size).unflatten(2, (-1, size))
