r"""Flows on nested levels: near links among tokens, far ones among fewer and fewer averages of tokens.

    O(v) = sum_{i in v} w_i x_i / sum_{i in v} w_i,   w_i = e^{<a, x_i>},  v a run of `ratio` vertices below
    y_l  = flow_l(x_l) + R y_{l+1}(v(i)),             x_0 the tokens, x_{l+1} = O(x_l)

Weights are divided by their sum, so a level averages the one below: without that its size would grow with the
level. Every flow links its own and the neighbouring blocks, so that all levels together have O(n) links; tokens
that lie farther apart are linked at a higher level. A causal vertex is read once it is complete, by the run
after its own.

Levels share flows by an index map: flow_l is flow number sharing[l], and the parameters are those of
max(sharing) + 1 flows however many levels there are. What a level adds to the one below is no force, so
GraphLevels descends no common energy. The idea is that of [preetham2023], whose formulas are lost; these are
reconstructions [derived].

    symbol  meaning                                       shape
    x_l     vertices of level l                           b n/ratio^l d
    w       weights of a level's vertices in the next     b n/ratio^l
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.graph.blocks import Blocks, whole_blocks
from spinodal.mixers.graph.flow import SIN, GraphFlowAttention
from spinodal.mixers.graph.form import FlowForm
from spinodal.mixers.ops.kv_cache import append_tokens
from spinodal.types import Mixed


def level_average(
    x: Float[Tensor, "b n d"], log_w: Float[Tensor, "b n"], there: Bool[Tensor, "b n"], ratio: int
) -> tuple[Float[Tensor, "b v d"], Bool[Tensor, "b v"]]:
    """sum_i w_i x_i / sum_i w_i over runs of `ratio` vertices, and which runs have one; 0 for those that have none."""
    gap = -x.shape[1] % ratio
    there = functional.pad(there, (0, gap)).unflatten(1, (-1, ratio))
    log_w = functional.pad(log_w, (0, gap)).unflatten(1, (-1, ratio)).masked_fill(~there, -torch.inf)
    some = there.any(-1)
    share = log_w.masked_fill(~some[..., None], 0.0).softmax(-1).masked_fill(~there, 0.0)
    return torch.einsum("bvk,bvkd->bvd", share, whole_blocks(x, ratio).unflatten(1, (-1, ratio))), some


class GraphLevels(Mixer):
    """y_l = flow_l(x_l) + R y_{l+1}: flows on nested levels of averages, each `ratio` times coarser than the last.

    There are as many levels as `sharing` is long; each flow links blocks of `size` vertices and their neighbours.
    """

    guarantee = "none"
    croppable = True

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        sharing: tuple[int, ...],
        ratio: int = 4,
        size: int = 16,
        form: FlowForm = SIN,
        causal: bool = False,
    ):
        super().__init__()
        if not sharing or sorted(set(sharing)) != list(range(max(sharing) + 1)):
            raise InputError(f"sharing={sharing}: it maps each level to 0, 1, ... without a gap")
        if ratio < 1:
            raise InputError(f"ratio={ratio}: a vertex of the next level stands for at least 1")
        self.sharing, self.ratio, self.causal = sharing, ratio, causal
        near = Blocks(size, top=0, window=1)
        self.flows = nn.ModuleList(
            GraphFlowAttention(width, heads=heads, form=form, causal=causal, links=near)
            for _ in range(max(sharing) + 1)
        )
        self.weigh = nn.Linear(width, 1, bias=False)
        self.down = OutputProjection(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        there = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
        return self.level(0, x, there, residuals=residuals)

    def level(
        self, l: int, x: Float[Tensor, "b n d"], there: Bool[Tensor, "b n"], *, residuals: bool
    ) -> Mixed:
        """Level l and those above it; residuals and measures are means over levels."""
        mixed = self.flows[self.sharing[l]](x, there, residuals=residuals)
        if l + 1 == len(self.sharing):
            return mixed
        above, some = level_average(x, self.weigh(x)[..., 0], there, self.ratio)
        higher = self.level(l + 1, above, some, residuals=residuals)
        share = 1 / (len(self.sharing) - l)
        residual, measure = (
            {name: share * value + (1 - share) * above[name] for name, value in own.items()}
            for own, above in ((mixed.residuals, higher.residuals), (mixed.measures, higher.measures))
        )
        read = self.down(higher.tokens).repeat_interleave(self.ratio, 1)
        if self.causal:
            read = functional.pad(read, (0, 0, self.ratio, 0))
        read = read[:, : x.shape[1]].masked_fill(~there[..., None], 0.0)
        return Mixed(mixed.tokens + read, residual, measure)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the tokens so far and which are valid; their levels are formed again."""
        every, there, state = append_tokens(x, state, valid)
        y = self.level(0, every, there, residuals=False).tokens
        return y[:, -x.shape[1] :], state
