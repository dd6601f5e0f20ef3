r"""The links of a flow: the part that says which tokens are linked and how averages over links are computed.

    y_i = sum_j P_ij x_j,  P = D^-1 A,  a_ij = m_ij e^{s_ij}

A flow takes any `Links`: all pairs (`pairs`), or blocks that a router selects (`block_links`). `LinkForm`
is a description of links, a frozen value that builds them.

    symbol  meaning                                       shape
    q, k    q' and k' of `scores`                         b h n w, b h m w
    m       which pairs may be linked                     #b #h n m
    P       weights of the links, rows sum to one         b h n m
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.mixers.graph.scores import Averages
from spinodal.mixers.graph.statistics import GraphStatistics


class GraphInputs(NamedTuple):
    """What a flow reads from the tokens u: q' and k', values v and anchors rho."""

    u: Float[Tensor, "b n d"]
    q: Float[Tensor, "b h n w"]
    k: Float[Tensor, "b h n w"]
    v: Float[Tensor, "b h n c"]
    rho: Float[Tensor, "b h n 1"]


class Links(ABC):
    """Which tokens are linked, and averages over their links with the weights P.

    `router`, where there is one, has the learned parameters that choose the links; the flow registers it.
    """

    causal: bool
    threshold: float
    router: nn.Module | None = None
    counts_calls: bool = False  # whether `at` and `measures` depend on the number of training calls
    cacheable: bool = False  # whether links of new tokens follow from cached keys alone, by `averages_after`

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """What every step of a flow descends: "energy", one of all tokens, or "per-token", each token its own."""

    @property
    def directed(self) -> bool:
        """Whether i may be linked to j and j not to i."""
        return self.guarantee != "energy"

    def at(self, call: int) -> "Links":
        """The links at training call number `call`."""
        return self

    @abstractmethod
    def averages(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Averages:
        """The function x -> y, y_i = sum_j P_ij x_j over the links of whole texts."""

    @abstractmethod
    def link_mask(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "#b #h n n"]:
        """m_ij, the links as a mask of all pairs."""

    @abstractmethod
    def statistics(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> GraphStatistics:
        """The `GraphStatistics` of all links, in float64."""

    def averages_after(
        self, q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h m w"], valid: Bool[Tensor, "b m"]
    ) -> Averages:
        """As `averages`, for the last n tokens over all m of a causal text; for `cacheable` links only."""
        raise NotImplementedError(f"{type(self).__name__} needs whole texts")

    def measures(
        self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None, *, call: int
    ) -> dict[str, Float[Tensor, ""]]:
        """Measures of the links by name, which are reported beside those of the flow."""
        return {}


class LinkForm(ABC):
    """The description of links: a frozen value that builds them."""

    @abstractmethod
    def build(self, width: int, *, heads: int, causal: bool, threshold: float) -> Links:
        """The links of a flow of this shape. InputError where they do not fit it."""


def all_valid(u: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b n"]:
    """`valid`, or all tokens where it is None."""
    return u.new_ones(u.shape[:2], dtype=torch.bool) if valid is None else valid


def possible_links(valid: Bool[Tensor, "b n"], *, causal: bool) -> Int[Tensor, "b n"]:
    """How many links each token might have; one, to itself, where there is no other."""
    others = valid.cumsum(-1) if causal else valid.sum(-1, keepdim=True)
    return (others - valid.long()).clamp(min=1)
