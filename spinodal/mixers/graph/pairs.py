r"""Links between all pairs of tokens: fused attention, or a softmax formed once where a threshold drops links."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.mixers.graph.links import GraphInputs, LinkForm, Links, all_valid, possible_links
from spinodal.mixers.graph.scores import (
    Averages,
    allowed_links,
    fused_averages,
    link_bias,
    off_diagonal_bias,
    scores,
    softmax_averages,
)
from spinodal.mixers.graph.statistics import GraphStatistics


@dataclass(frozen=True)
class AllPairs(LinkForm):
    """Every token is linked to every other, or to every earlier one where the flow is causal."""

    def build(self, width: int, *, heads: int, causal: bool, threshold: float) -> Links:
        return PairLinks(causal, threshold, mutual=not causal)


class PairLinks(Links):
    """All pairs; a threshold drops weak links at both ends if `mutual`, else at each end on its own."""

    cacheable = True

    def __init__(self, causal: bool, threshold: float, *, mutual: bool):
        self.causal, self.threshold, self.mutual = causal, threshold, mutual

    @property
    def guarantee(self) -> str:
        return "energy" if self.mutual else "per-token"

    def averages(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Averages:
        if valid is None and not self.threshold:
            bias = None if self.causal else off_diagonal_bias(inputs.q.shape[2], inputs.q)
            return fused_averages(inputs.q, inputs.k, bias)
        return self.masked_averages(inputs.q, inputs.k, self.link_mask(inputs, valid))

    def averages_after(
        self, q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h m w"], valid: Bool[Tensor, "b m"]
    ) -> Averages:
        return self.masked_averages(q, k, allowed_links(q.shape[2], valid, causal=True))

    def masked_averages(
        self, q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h m w"], allowed: Bool[Tensor, "#b #h n m"]
    ) -> Averages:
        """The function x -> P x over allowed links: fused attention, or with a threshold a stored softmax."""
        if not self.threshold:
            return fused_averages(q, k, link_bias(allowed, q))
        return softmax_averages(scores(q, k, allowed, threshold=self.threshold, directed=self.directed))

    def link_mask(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "#b #h n n"]:
        n = inputs.q.shape[2]
        there = inputs.q.new_ones(1, n, dtype=torch.bool) if valid is None else valid
        return allowed_links(n, there, causal=self.causal)

    def statistics(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> GraphStatistics:
        allowed, there = self.link_mask(inputs, valid), all_valid(inputs.u, valid)
        q, k = inputs.q.double(), inputs.k.double()
        s = scores(q, k, allowed, threshold=self.threshold, directed=self.directed)
        return GraphStatistics(s, softmax_averages(s), possible_links(there, causal=self.causal), there)
