r"""Statistics of a graph of tokens, over all its links: terms of a loss, or numbers to report.

    energy   E / sum_i d_i, a feature                                       row 13 of docs/graphs.md
    density  the effective number of links, 1 / sum_j P_ij^2, as a share of those possible; in (0, 1]
    l1       mean |x_i|, a feature
    flow     |M^-1 grad E| / |v|, the relative residual

Means are over the valid tokens of a sample, then over samples and heads. The energy weighs tokens by their
degree; in a causal graph, which has no common energy, all tokens weigh the same.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.mixers.graph.scores import Averages


class GraphStatistics:
    """Scores s of each token's links (minus infinity where there is none), averages with the weights that they give,
    how many links a token might have, and which tokens are valid."""

    def __init__(
        self,
        s: Float[Tensor, "b h n m"],
        averages: Averages,
        most: Int[Tensor, "b n"],
        there: Bool[Tensor, "b n"],
    ):
        self.s, self.averages, self.most, self.there = s, averages, most, there

    def degree_shares(self) -> Float[Tensor, "b h n"]:
        """d_i / sum_j d_j, over valid tokens; zero on padding."""
        log_d = self.s.logsumexp(-1).masked_fill(~self.there[:, None], -torch.inf)
        return log_d.softmax(-1).where(self.there[:, None], 0.0)

    def mean(self, values: Float[Tensor, "b h n"], *, by_degree: bool = False) -> Float[Tensor, ""]:
        """Mean over tokens, by degree or all alike, then over heads and samples that have tokens."""
        if by_degree:
            weight = self.degree_shares()
        else:
            weight = (self.there / self.there.sum(-1, keepdim=True).clamp(min=1))[:, None]
        return (values * weight).sum(-1)[self.there.any(-1)].mean()

    def density(self) -> Float[Tensor, ""]:
        """Mean over tokens of 1 / sum_j P_ij^2, as a share of the links that a token might have."""
        return self.mean(1 / (self.s.softmax(-1).square().sum(-1) * self.most[:, None]))
