r"""Gates: partitions of a token's own features with fixed phase fractions.

A gate is a flash that needs no solver: with L_j = 1/P the dilution is known, and the phases
of a feature z are z times a softmax. SwiGLU is the case of two phases of which one is read;
the other two read how far the phases *depart from the feed*, without which a linear z leaves
a linear term that swamps the gate [derived; docs/partition.md].

    symbol  meaning                                      shape
    z       overall composition                          b n e
    k       log K, log partition factors                 b n q e     phases before features:
    r       share of a feature in each phase             b n p e     softmax runs over them fast
    y       departure of each phase from the feed        b n p e

Every gate ends in W_o LN(y), LN a layer norm without gain or bias: the scale of the hidden
vector is a confound between gates, so none is left to choose its own.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, PhaseMixer
from spinodal.mixers.residuals import phase_residuals
from spinodal.types import Mixed

STEEPNESS = 2.0  # of a gate as a function of its linear map; the same for all three


def normalised(y: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
    """(y - mean y) / sd y over features, nothing learned."""
    return functional.layer_norm(y, y.shape[-1:])


class SwiGLU(Mixer):
    """W_o LN(v * a sigmoid(2a))  [shazeer2020]: with K = e^{2a} and L = 1/2 the half phase of z = a v."""

    causal = True

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        a, v = self.inner(x).chunk(2, dim=-1)
        return Mixed(self.out(normalised(functional.silu(STEEPNESS * a) * v)), {})


class DrivingForce(PhaseMixer):
    """W_o LN(y), y = z (K-1) / (1 + (K-1)/2): two phases, the summand of Rachford-Rice [derived].

    y = x_1 - x_2 = 2 z tanh(k/2) with K = e^k, so the gate is the tension between the phases.
    """

    causal = True

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        z, a = self.inner(x).chunk(2, dim=-1)
        y = z * torch.tanh(STEEPNESS / 2 * a)
        info = {}
        if residuals:
            k = (STEEPNESS * a).unsqueeze(-2)
            info = phase_residuals(z, k, z.new_full((2,), 0.5), valid)
        return Mixed(self.out(normalised(y)), info)

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        z, a = self.inner(x).chunk(2, dim=-1)
        r = torch.sigmoid(STEEPNESS * a)
        return occupancy(z, torch.stack([r, 1 - r], dim=-2))


class PhaseCompetition(PhaseMixer):
    """W_o LN(concat_j y_j), y_j = x_j - z, x_j = z r_j / L_j, r = softmax_j(k_j), L_j = 1/P.

    P phases compete for every feature and sum_j L_j x_j = z holds exactly, so the departures
    y_j sum to zero over phases: nothing linear in z is left to pass through [derived].
    """

    causal = True

    def __init__(self, width: int, *, hidden: int, phases: int):
        super().__init__()
        if phases < 2:
            raise InputError(f"phases compete from two on, got phases={phases}")
        self.phases = phases
        self.inner = nn.Linear(width, phases * hidden, bias=False)
        self.out = nn.Linear(phases * hidden, width, bias=False)

    def split(self, x: Float[Tensor, "b n d"]) -> tuple[Float[Tensor, "b n e"], Float[Tensor, "b n p e"]]:
        """z and log K of every phase, that of the reference, the last, being 0."""
        z, a = self.inner(x).unflatten(-1, (self.phases, -1)).split([1, self.phases - 1], dim=-2)
        return z.squeeze(-2), functional.pad(STEEPNESS * a, (0, 0, 0, 1))

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        z, k = self.split(x)
        r = k.softmax(dim=-2)
        y = z.unsqueeze(-2) * (self.phases * r - 1)
        info = {}
        if residuals:
            info = phase_residuals(z, k[..., :-1, :], z.new_full((self.phases,), 1 / self.phases), valid)
        return Mixed(self.out(normalised(y.flatten(-2))), info)

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        z, k = self.split(x)
        return occupancy(z, k.softmax(dim=-2))


def occupancy(z: Float[Tensor, "b n e"], r: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p"]:
    """sum_i |z_i| r_ij / sum_i |z_i|: where a token's features went, by weight."""
    weight = z.abs() / z.abs().sum(-1, keepdim=True).clamp(min=1e-12)
    return torch.einsum("bne,bnpe->bnp", weight, r)
