r"""The partition block: tokens split into phases whose fractions and factors a network predicts.

    x_ij = z_i K_ij / u_i,   u_i = 1 + sum_j L_j (K_ij - 1)        [qajar2024, eqs. 8b, 9]

and the phases of all heads, side by side, are reduced to the width of the token (Figure 4).
In training the block reports its distances from equilibrium: F of the phases (eq. 8a), g1 and
g2 of the reactions (eqs. 10d-e, 11). At inference a generative block evaluates phases alone:
its reaction heads are not run, and types I, II and III are one function (Figure 1).

By default K = e^k and L lies on the simplex, so u > 0 always, sum_j L_j x_ij = z_i exactly and
the split is a softmax over phases. `LiteralPartition` keeps the paper's raw K and independent
sigmoids.

    symbol  meaning                                             shape
    z       equilibrium composition (attentive: overall)        b n h c
    k       log K, or K itself in the literal form              b n h q c
    L       phase fractions, reference last                     b n|1 h p
    x       phase compositions                                  b n h p c
    s       stoichiometry                                       b n h *r c
    omega   reaction constants                                  b n|1 h *r
"""

import warnings
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal import thermodynamics
from spinodal.errors import InputError
from spinodal.mixers.base import PhaseMixer
from spinodal.mixers.feed import DenseFeed, FactorisedFeed, Feed, PartitionForm, Pathway, Reading
from spinodal.mixers.gates import normalised
from spinodal.mixers.residuals import mean, phase_functions, root_mean_square, spread
from spinodal.types import Mixed


class Separator(ABC):
    """How numbers of a network become phases: the parameterisation of K and L."""

    @abstractmethod
    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        """L from its logits, reference last; sums to one."""

    @abstractmethod
    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c q i"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c p i"]:
        """x_ij, reference phase last."""

    @abstractmethod
    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c q i"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """F and the spread of log K, and whatever bound the parameterisation does not keep."""


class Simplex(Separator):
    """K = e^k, L = softmax(l): u > 0 everywhere and no bound is left to be learned."""

    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        return l.softmax(-1)

    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c q i"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c p i"]:
        full = functional.pad(k, (0, 0, 0, 1))
        log_u = (full + L.log().unsqueeze(-1)).logsumexp(-2, keepdim=True)
        return z.unsqueeze(-2) * (full - log_u).exp()

    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c q i"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        return {"F": root_mean_square(phase_functions(z, k, L, mask), mask), "spread": spread(k, mask)}


class Literal(Separator):
    """K raw and signed, L_j = sigmoid(l_j) each on its own  [qajar2024, eq. 10h]; poles where u = 0."""

    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        L = l[..., :-1].sigmoid()
        return torch.cat([L, 1 - L.sum(-1, keepdim=True)], dim=-1)

    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c q i"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c p i"]:
        return thermodynamics.phase_compositions(z, k.mT, L[..., :-1]).mT

    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c q i"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        weight = z.new_full((), 1 / z.shape[-1]) if mask is None else mask / mask.sum(-1, keepdim=True).clamp(min=1)
        F = thermodynamics.rachford_rice(z * weight, k.mT, L[..., :-1])
        excess = (L[..., :-1].sum(-1, keepdim=True) - 1).clamp(min=0)
        present = None if mask is None else mask.any(-1, keepdim=True)
        return {
            "F": root_mean_square(F, mask),
            "spread": spread(thermodynamics.log_magnitude(k), mask),
            "h": root_mean_square(excess, present),
        }


def arranged(t: Tensor, reading: Reading) -> Tensor:
    """[b n h ... c] with the components of one mixture moved to the last axis: ... c, n or n c."""
    if reading is Reading.TOKEN:
        return t
    t = t.movedim(1, -2)
    return t.flatten(-2) if reading is Reading.FLAT else t.movedim(-1, 2)


def carried(t: Tensor, reading: Reading) -> Tensor:
    """[b n|1 h ...], one value a carrier, broadcast against arranged mixtures."""
    if reading is Reading.TOKEN:
        return t
    return t[:, 0] if reading is Reading.FLAT else t[:, 0].unsqueeze(2)


class Partition(PhaseMixer):
    """Attentive or generative partitioning behind any network; all readings, all reaction types.

    `length` asks for the paper's dense network over exactly that many tokens. Causal partitions
    read mixtures per token: any other reading pools the future.
    """

    separator: Separator = Simplex()

    def __init__(self, width: int, form: PartitionForm, *, length: int | None = None, causal: bool = False):
        super().__init__()
        if width % form.heads:
            raise InputError(f"width={width} does not divide into heads={form.heads}")
        if causal and (form.reading is not Reading.TOKEN or length is not None):
            raise InputError(
                f"a causal partition reads mixtures per token, without a dense network: "
                f"got reading={form.reading.value!r}, length={length}"
            )
        self.form, self.causal, self.length = form, causal or (form.reading is Reading.TOKEN and not length), length
        self.feed: Feed = DenseFeed(width, form, length=length) if length else FactorisedFeed(width, form)
        self.out = nn.Linear(form.phases * width, width, bias=False)
        if form.reading is Reading.TOKEN or length is not None:
            self.degrees_of_freedom(length or 1)

    def degrees_of_freedom(self, tokens: int) -> int:
        """Components - P - R of one mixture among `tokens` tokens; InputError if negative."""
        c = self.out.out_features // self.form.heads
        components = {Reading.TOKEN: c, Reading.FEATURE: tokens, Reading.FLAT: tokens * c}[self.form.reading]
        reactions = 0 if self.form.pathway is Pathway.NONE else self.form.reactions
        if self.form.pathway is Pathway.INDEPENDENT:
            reactions *= self.form.phases
        return thermodynamics.degrees_of_freedom(components, self.form.phases, reactions)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        z, k, l, hidden = self.feed(x, valid)
        L = self.separator.fractions(l)
        phases = self.separator.phases(z, k, L)
        info = {}
        if residuals:
            self.degrees_of_freedom(x.shape[1])
            info = self.residuals(z, k, L, hidden, valid)
        return Mixed(self.out(normalised(phases.flatten(2))), info)

    def residuals(
        self,
        z: Float[Tensor, "b n h c"],
        k: Float[Tensor, "b n h q c"],
        L: Float[Tensor, "b m h p"],
        hidden: Float[Tensor, "b ..."],
        valid: Bool[Tensor, "b n"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """RMS of F, and of g1 and g2 where there are reactions, over all mixtures of all heads."""
        reading = self.form.reading
        mask = None if valid is None else arranged(valid[:, :, None, None].expand(-1, -1, -1, z.shape[-1]), reading)
        z, k, L = arranged(z, reading), arranged(k, reading), carried(L, reading)
        info = self.separator.residuals(z, k, L, mask)
        if self.form.pathway is not Pathway.NONE:
            s, omega = self.feed.reactions(hidden, valid)
            info |= self.mass_action(z, k, L, (arranged(s, reading), carried(omega, reading)), mask)
        return info

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        L = self.separator.fractions(self.feed(x, valid).l)
        return L.mean(2).expand(-1, x.shape[1], -1)

    def mass_action(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c q i"],
        L: Float[Tensor, "*#c p"],
        reactions: tuple[Tensor, Tensor],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """RMS of g1 and g2 on the overall composition (type I) or on every phase (II, III)."""
        raise NotImplementedError


LITERAL_WARNING = "x"


class LiteralPartition(Partition):
    """The paper's letter: K raw and signed, L_j = sigmoid(theta_j) without a simplex."""

    separator = Literal()
