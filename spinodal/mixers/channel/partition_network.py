r"""FF-Partition: the network that predicts what a partition needs (Figure 2 of [qajar2024]).

Five outputs from one hidden layer: the equilibrium composition z-hat, the partition factors K
and the phase fractions L; and, for training alone, the stoichiometry s and the reaction
constants Omega. Two networks offer them: `FactorisedPartitionNetwork` acts on each token and leaves mixing
over tokens to the layer before it; `DensePartitionNetwork` is the paper's, one matrix over all tokens and
features of a head, for a small fixed number of tokens.

    symbol  meaning                                          shape         Figure 2
    z       composition at equilibrium                       b n h c       z-hat  N d
    k       log K (or K) of the phases but the reference     b n h c q     K      N d (P-1)
    l       logits of the phase fractions                    b n|1 h p     L      P
    s       stoichiometry, signed                            b n h c *r    s      N d R
    omega   reaction constants, signed                       b n|1 h *r    Omega  R

*r is r for reactions of types I and II and p r for type III; n|1 is n where each token is a
mixture and 1 where the sequence is. Omega is learned as its difference from 1, where reactants
and products balance.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.ops.padding import mask_padding


class Reading(StrEnum):
    """What a mixture is, and so what its components are: a token, a feature or the sequence  [qajar2024]."""

    TOKEN = "token"  # each token is a mixture of its features; the only causal one
    FEATURE = "feature"  # each feature is a mixture of the tokens, as the sums of eqs. 8-11 run
    FLAT = "flat"  # the sequence is one mixture of tokens times features


class Pathway(StrEnum):
    """Where reactions take place; `NONE` is attentive partitioning, the rest is generative  [qajar2024]."""

    NONE = "none"
    OVERALL = "I"  # in the overall composition z
    SHARED = "II"  # in every phase, the same reactions in all
    INDEPENDENT = "III"  # in every phase, each with reactions of its own


@dataclass(frozen=True)
class PartitionForm:
    """The sizes of a partition and of its network, what a mixture is, and where reactions take place.

    InputError for sizes below one and for fewer than two phases.
    """

    heads: int = 4  # features are divided among heads, each a mixture of its own
    phases: int = 4  # P, the reference phase among them
    hidden: int = 128  # features of the network that predicts K and L
    reading: Reading = Reading.TOKEN  # what is a mixture
    pathway: Pathway = Pathway.NONE  # where reactions take place
    reactions: int = 2  # per mixture (types I and II) or per phase (III); unused when attentive

    def __post_init__(self):
        for name in ("heads", "phases", "hidden", "reactions"):
            if getattr(self, name) < 1:
                raise InputError(f"a partition needs {name} of at least 1, got {getattr(self, name)}")
        if self.phases < 2:
            raise InputError(f"a partition needs two phases or more, got phases={self.phases}")

    @property
    def reaction_shape(self) -> tuple[int, ...]:
        """() if attentive, (r,) for types I and II, (p, r) for type III."""
        if self.pathway is Pathway.NONE:
            return ()
        return (self.phases, self.reactions) if self.pathway is Pathway.INDEPENDENT else (self.reactions,)


class PhaseParameters(NamedTuple):
    """z, k and l as in the file's table, and the hidden layer that reactions are read from."""

    z: Float[Tensor, "b n h c"]
    k: Float[Tensor, "b n h c q"]
    l: Float[Tensor, "b m h p"]
    hidden: Float[Tensor, "b ..."]


class ReactionParameters(NamedTuple):
    """s and omega as in the file's table."""

    s: Float[Tensor, "b n h c *r"]
    omega: Float[Tensor, "b m h *r"]


class PartitionNetwork(Protocol):
    """The interface of a partition's network: phase parameters, and `reactions` for residuals alone."""

    length: int | None

    def __call__(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> PhaseParameters: ...

    def reactions(
        self, hidden: Float[Tensor, "b ..."], valid: Bool[Tensor, "b n"] | None = None
    ) -> ReactionParameters: ...


def pool_hidden(
    hidden: Float[Tensor, "b n e"], valid: Bool[Tensor, "b n"] | None, reading: Reading
) -> Float[Tensor, "b m e"]:
    """The hidden layer that L and Omega are read from, one a mixture: of the token, or the mean over valid tokens."""
    if reading is Reading.TOKEN:
        return hidden
    if valid is None:
        return hidden.mean(1, keepdim=True)
    return mask_padding(hidden, valid).sum(1, keepdim=True) / valid.sum(1).clamp(min=1)[:, None, None]


class FactorisedPartitionNetwork(nn.Module):
    """hidden = SiLU(W x + b) of each token; outputs are linear in it, but z in x without reactions."""

    length = None

    def __init__(self, width: int, form: PartitionForm):
        super().__init__()
        self.form, self.features = form, width // form.heads
        h, p, c, e = form.heads, form.phases, self.features, form.hidden
        generative = form.pathway is not Pathway.NONE
        self.hidden = nn.Linear(width, e)
        self.composition = nn.Linear(e if generative else width, width, bias=False)
        self.factors = nn.Linear(e, h * (p - 1) * c, bias=False)
        self.fractions = nn.Linear(e, h * p)
        if generative:
            r = math.prod(form.reaction_shape)
            self.stoichiometry = nn.Linear(e, h * r * c, bias=False)
            self.constants = nn.Linear(e, h * r)

    def forward(self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None) -> PhaseParameters:
        h, p, c = self.form.heads, self.form.phases, self.features
        hidden = functional.silu(self.hidden(x))
        z = self.composition(x if self.form.pathway is Pathway.NONE else hidden).unflatten(-1, (h, c))
        k = self.factors(hidden).unflatten(-1, (h, c, p - 1))
        l = self.fractions(pool_hidden(hidden, valid, self.form.reading)).unflatten(-1, (h, p))
        return PhaseParameters(z, k, l, hidden)

    def reactions(
        self, hidden: Float[Tensor, "b n e"], valid: Bool[Tensor, "b n"] | None = None
    ) -> ReactionParameters:
        h, shape = self.form.heads, self.form.reaction_shape
        s = self.stoichiometry(hidden).unflatten(-1, (h, self.features, *shape))
        omega = 1 + self.constants(pool_hidden(hidden, valid, self.form.reading)).unflatten(-1, (h, *shape))
        return ReactionParameters(s, omega)


class HeadLinear(nn.Module):
    """One dense matrix a head: y_hf = sum_e W_hfe x_he + b_hf."""

    def __init__(self, heads: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(heads, outputs))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.weight, -(self.weight.shape[1] ** -0.5), self.weight.shape[1] ** -0.5)
        nn.init.zeros_(self.bias)

    def forward(self, x: Float[Tensor, "b h e"]) -> Float[Tensor, "b h f"]:
        return torch.einsum("bhe,hef->bhf", x, self.weight) + self.bias


class DensePartitionNetwork(nn.Module):
    """The paper's network: n c -> n c p -> n c p r -> outputs, dense over tokens and features of a head.

    Exactly `length` tokens, no causal form, (n c p)^2 r parameters a head: 2.4e9 at n = 128,
    c = 64, p = 4, so for small sequences only. Padding enters as zeros.
    """

    def __init__(self, width: int, form: PartitionForm, *, length: int):
        super().__init__()
        self.form, self.length, self.features = form, length, width // form.heads
        h, p, c, n = form.heads, form.phases, self.features, length
        carriers = n if form.reading is Reading.TOKEN else 1
        generative = form.pathway is not Pathway.NONE
        inner = n * c * p * (form.reactions if generative else 1)
        self.expansion = HeadLinear(h, n * c, n * c * p)
        self.hidden = HeadLinear(h, n * c * p, inner)
        self.composition = HeadLinear(h, inner if generative else n * c, n * c)
        self.factors = HeadLinear(h, inner, n * (p - 1) * c)
        self.fractions = HeadLinear(h, inner, carriers * p)
        if generative:
            r = math.prod(form.reaction_shape)
            self.stoichiometry = HeadLinear(h, inner, n * r * c)
            self.constants = HeadLinear(h, inner, carriers * r)

    def forward(self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None) -> PhaseParameters:
        p, c, n = self.form.phases, self.features, self.length
        if x.shape[1] != n:
            raise InputError(f"the dense FF-Partition mixes exactly length={n} tokens, got {x.shape[1]}")
        flat = mask_padding(x, valid).unflatten(-1, (self.form.heads, c)).transpose(1, 2).flatten(2)
        hidden = functional.silu(self.hidden(functional.silu(self.expansion(flat))))
        source = flat if self.form.pathway is Pathway.NONE else hidden
        z = self.composition(source).unflatten(-1, (n, c)).transpose(1, 2)
        k = self.factors(hidden).unflatten(-1, (n, c, p - 1)).transpose(1, 2)
        l = self.fractions(hidden).unflatten(-1, (-1, p)).transpose(1, 2)
        return PhaseParameters(z, k, l, hidden)

    def reactions(
        self, hidden: Float[Tensor, "b h e"], valid: Bool[Tensor, "b n"] | None = None
    ) -> ReactionParameters:
        shape = self.form.reaction_shape
        s = self.stoichiometry(hidden).unflatten(-1, (self.length, self.features, *shape)).transpose(1, 2)
        omega = 1 + self.constants(hidden).unflatten(-1, (-1, *shape)).transpose(1, 2)
        return ReactionParameters(s, omega)
