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
    k       log K, or K itself in the literal form              b n h c q
    L       phase fractions, reference last                     b n|1 h p
    x       phase compositions                                  b n h c p
    s       stoichiometry                                       b n h c *r
    omega   reaction constants                                  b n|1 h *r
"""

import warnings
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal import thermodynamics
from spinodal.errors import InputError
from spinodal.mixers.base import OutputProjection, PhaseMixer, Tokenwise
from spinodal.mixers.channel.gates import layer_norm
from spinodal.mixers.channel.partition_network import (
    DensePartitionNetwork,
    FactorisedPartitionNetwork,
    PartitionForm,
    Pathway,
    ReactionParameters,
    Reading,
)
from spinodal.mixers.channel.residuals import phase_residuals, report, root_mean_square, spread, weights
from spinodal.mixers.ops.precision import at_least_float32, full_precision
from spinodal.types import Mixed

LEAST = 1e-2  # of an equal share: the smallest fraction of a phase
LOG_EPSILON = 1e-2  # of log|z| in the loss: its slope at z = 0 stays below 50
LITERAL = (
    "the literal parameterisation has poles where u = 0: at the start 81% of its components have u <= 0 (P = 4), "
    "and 150 steps at lr 3e-3 reach 3.35 nats a character with gradients of 6e4, where exp K and softmax L reach "
    "2.20 with 2.4 (benchmarks/parameterisations.py, seed 0, 2026-11-22); channel=partition has no poles"
)


class PhaseParameterisation(ABC):
    """x_ij = z_i K_ij / u_i with K and L from a network's outputs k and l  [qajar2024, eqs. 8b, 9].

    A parameterisation says how: with positive K and L on the simplex, or as the paper has them.
    """

    @abstractmethod
    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        """L from its logits, reference last; sums to one."""

    @abstractmethod
    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c i q"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c i p"]:
        """x_ij, reference phase last."""

    @abstractmethod
    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c i q"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """{"F", "spread" of log K}, and the violation of each bound that does not hold by construction."""


class Simplex(PhaseParameterisation):
    """K = e^k, L = softmax(l), kept off zero: u > 0 everywhere, and no bound has to be learned.

    No phase falls below LEAST of an equal share, since x_ij may reach z_i / L_j.
    """

    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        return (1 - LEAST) * l.softmax(-1) + LEAST / l.shape[-1]

    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c i q"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c i p"]:
        return z.unsqueeze(-1) * thermodynamics.enrichment(k, L)

    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c i q"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        return phase_residuals(z, k, L, mask)


class Literal(PhaseParameterisation):
    """K raw and signed, L_j = sigmoid(l_j) each on its own  [qajar2024, eq. 10h]; poles where u = 0."""

    def fractions(self, l: Float[Tensor, "*c p"]) -> Float[Tensor, "*c p"]:
        (l,) = at_least_float32(l)
        L = l[..., :-1].sigmoid()
        return torch.cat([L, 1 - L.sum(-1, keepdim=True)], dim=-1)

    def phases(
        self, z: Float[Tensor, "*c i"], k: Float[Tensor, "*c i q"], L: Float[Tensor, "*#c p"]
    ) -> Float[Tensor, "*c i p"]:
        z, k, L = at_least_float32(z, k, L)  # with the digits of bfloat16 some u is exactly 0
        return thermodynamics.phase_compositions(z, k, L[..., :-1])

    def residuals(
        self,
        z: Float[Tensor, "*c i"],
        k: Float[Tensor, "*c i q"],
        L: Float[Tensor, "*#c p"],
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        z, k, L = at_least_float32(z, k, L)
        weight = weights(z, mask)
        F = thermodynamics.rachford_rice(z * weight, k, L[..., :-1])
        h = thermodynamics.fraction_excess(L[..., :-1]).clamp(min=0).unsqueeze(-1).expand_as(F[..., :1])
        return {
            "F": root_mean_square(F, mask),
            "spread": spread(thermodynamics.log_magnitude(k, eps=LOG_EPSILON), weight, mask),
            "h": root_mean_square(h, mask),
        }


def by_mixture(t: Tensor, reading: Reading) -> Tensor:
    """t [b n h c ...] with the components of a mixture on one axis.

    [b n h c ...] where mixtures are tokens, [b h c n ...] for features, [b h nc ...] for whole sequences.
    """
    if reading is Reading.TOKEN:
        return t
    return t.movedim(1, 3) if reading is Reading.FEATURE else t.movedim(1, 2).flatten(2, 3)


def per_mixture(t: Tensor, reading: Reading) -> Tensor:
    """t [b n|1 h ...], which has one value a mixture, in a shape that broadcasts against `by_mixture`."""
    if reading is Reading.TOKEN:
        return t
    return t[:, 0].unsqueeze(2) if reading is Reading.FEATURE else t[:, 0]


class Partition(Tokenwise, PhaseMixer):
    """x_ij = z_i K_ij / u_i, u_i = 1 + sum_j L_j (K_ij - 1); all phases are projected  [qajar2024, eqs. 8b, 9].

    Splits mixtures into phases whose K and L a network predicts: attentive, or generative with reactions of type
    I, II or III, which count in training alone.

    `length` asks for the paper's dense network over exactly that many tokens. Causal partitions
    read mixtures per token: any other reading pools the future.
    """

    parameterisation: PhaseParameterisation = Simplex()

    def __init__(self, width: int, form: PartitionForm, *, length: int | None = None, causal: bool = False):
        super().__init__()
        if width % form.heads:
            raise InputError(f"width={width} does not divide into heads={form.heads}")
        local = form.reading is Reading.TOKEN and length is None
        if causal and not local:
            raise InputError(
                f"a causal partition reads mixtures per token, without a dense network: "
                f"got reading={form.reading.value}, length={length}"
            )
        self.form, self.causal, self.length = form, local, length
        self.feed = (
            FactorisedPartitionNetwork(width, form)
            if length is None
            else DensePartitionNetwork(width, form, length=length)
        )
        self.out = OutputProjection(form.phases * width, width)
        if local or length is not None:
            self.degrees_of_freedom(length or 1)

    def degrees_of_freedom(self, tokens: int) -> int:
        """Components - P - R of one mixture among `tokens` tokens; InputError if negative."""
        c = self.feed.features
        components = {Reading.TOKEN: c, Reading.FEATURE: tokens, Reading.FLAT: tokens * c}[self.form.reading]
        reactions = 0 if self.form.pathway is Pathway.NONE else self.form.reactions
        per_phase = self.form.pathway is Pathway.INDEPENDENT
        return thermodynamics.degrees_of_freedom(components, self.form.phases, reactions, per_phase=per_phase)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        z, k, l, hidden = self.feed(x, valid)
        L = self.parameterisation.fractions(l)
        phases = self.parameterisation.phases(z, k, L)
        info = {}
        if residuals:
            self.degrees_of_freedom(x.shape[1])
            reading = self.form.reading
            mask = None if valid is None else by_mixture(valid[:, :, None, None].expand(z.shape), reading)
            L = per_mixture(L, reading)
            with full_precision(x):
                info = self.parameterisation.residuals(
                    by_mixture(z, reading), by_mixture(k, reading), L, mask
                )
            if self.form.pathway is not Pathway.NONE:
                reactions = self.feed.reactions(hidden, valid)
                info |= self.mass_action(by_mixture(z, reading), by_mixture(phases, reading), reactions, mask)
        return report(self.out(layer_norm(phases.flatten(2)).to(x)), info)

    def mass_action(
        self,
        z: Float[Tensor, "*c i"],
        x: Float[Tensor, "*c i p"],
        reactions: ReactionParameters,
        mask: Bool[Tensor, "*#c #i"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """g1 = RMS(sum_i s_i log|z_i| - log|Omega|), g2 = RMS(sum_i t_i - tau)  [qajar2024, eqs. 10d-f, 11].

        Distances from reaction equilibrium, of the overall composition (type I) or of each phase (II, III).
        """
        s, omega = by_mixture(reactions.s, self.form.reading), per_mixture(reactions.omega, self.form.reading)
        z, x, s, omega = at_least_float32(z, x, s, omega)
        weight = weights(z, mask)
        with full_precision(z):
            if self.form.pathway is Pathway.OVERALL:
                g = thermodynamics.mass_action(z, s * weight[..., None], omega, eps=LOG_EPSILON)
            else:
                if self.form.pathway is Pathway.SHARED:
                    s, omega = s.unsqueeze(-2), omega.unsqueeze(-2)
                g = thermodynamics.phase_mass_action(x, s * weight[..., None, None], omega, eps=LOG_EPSILON)
        magnitude, sign = (r.flatten(z.ndim - 1) for r in g)
        return {"g1": root_mean_square(magnitude, mask), "g2": root_mean_square(sign, mask)}

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        L = self.parameterisation.fractions(self.feed(x, valid).l)
        return L.mean(2).expand(-1, x.shape[1], -1)


class LiteralPartition(Partition):
    """x_ij = z_i K_ij / u_i with raw, signed K and L_j = sigmoid(l_j)  [qajar2024, eqs. 9, 10h].

    The partition as the paper states it, without a simplex; it has poles where u = 0, of which it warns.
    """

    parameterisation = Literal()

    def __init__(self, width: int, form: PartitionForm, *, causal: bool = False):
        super().__init__(width, form, causal=causal)
        warnings.warn(LITERAL, stacklevel=2)
