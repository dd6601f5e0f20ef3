"""The options of the graph mixer: over all tokens, over chosen blocks, or on levels of near links."""

from dataclasses import dataclass

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape, option
from spinodal.mixers.graph.blocks import Blocks
from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.mixers.graph.form import Descent, FlowForm
from spinodal.mixers.graph.levels import GraphLevels

BLOCK = 16  # tokens of a block where levels are asked for and no size is given


@dataclass(frozen=True)
class GraphConfig(MixerConfig):
    """The options of the graph mixer: its flow, and the graph of its tokens."""

    flow_steps: int = option(4, "steps down the energy")
    coupling: str = option(
        "sin", "the odd force between two tokens as a series, 'sin(y) - 0.2*sin(2*y)', or identity"
    )
    threshold: float = option(0.0, "share of the largest link of a token below which links are dropped")
    block_size: int = option(0, "tokens of a block; 0 for a dense graph")
    top_blocks: int = option(4, "blocks that each block looks at, beside its neighbours")
    dense_steps: int = option(0, "calls of training in which all blocks are looked at")
    levels: int = option(1, "nested levels of near links; 1 for the tokens alone")

    def __post_init__(self):
        if self.levels < 1:
            raise InputError(f"levels={self.levels}: a graph has 1 level or more")
        if self.block_size < 0:
            raise InputError(f"block_size={self.block_size}: tokens of a block, or 0 for a dense graph")

    def without_effect(self) -> dict[str, str]:
        if self.levels > 1:
            return dict.fromkeys(("top_blocks", "dense_steps"), "levels=1 and a block_size above 0")
        return {} if self.block_size else dict.fromkeys(("top_blocks", "dense_steps"), "a block_size above 0")

    def unreported(self) -> tuple[str, ...]:
        return () if self.block_size and self.levels == 1 else ("selection",)

    def build(self, shape: Shape) -> Mixer:
        width, heads, causal = shape.width, shape.heads, shape.causal
        form = FlowForm(self.coupling, threshold=self.threshold, descent=Descent(self.flow_steps))
        if self.levels > 1:
            size = self.block_size or BLOCK
            return GraphLevels(
                width, heads=heads, sharing=(0,) * self.levels, size=size, form=form, causal=causal
            )
        if not self.block_size:
            return GraphFlowAttention(width, heads=heads, form=form, causal=causal)
        blocks = Blocks(self.block_size, self.top_blocks, warmup=self.dense_steps)
        blocks.require_fit(shape.length)
        return GraphFlowAttention(width, heads=heads, form=form, causal=causal, links=blocks)


GRAPH = Entry(
    "graph",
    Kind.TOKEN,
    "tokens that descend an energy on their graph, dense, over chosen blocks or on levels",
    GraphConfig,
    GraphFlowAttention,
    residuals=("flow",),
    measures=("energy", "density", "l1", "selection"),
)
