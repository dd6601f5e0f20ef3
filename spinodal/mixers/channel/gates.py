r"""Gates: partitions of a token's own features with fixed phase fractions.

A gate is a flash that needs no solver: with L_j = 1/P the dilution is known, and the phases
of a feature z are z times a softmax. SwiGLU is the case of two phases of which one is read;
the other two read how far the phases *depart from the feed*, without which a linear z leaves
a linear term much larger than the gate [derived; docs/partition.md].

    symbol  meaning                                      shape
    z       overall composition                          b n e
    a       log K of all phases but the last, halved     b n q e     phases before features:
    r       share of a feature in each phase             b n p e     softmax runs over them fast
    y       departure of each phase from the feed        b n p e

Every gate ends in W_o LN(y), LN a layer norm without gain or bias: the scale of the hidden
vector would confound a comparison of gates, so it is the same in all.
"""

from abc import ABC
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, PhaseMixer, Tokenwise
from spinodal.mixers.channel.residuals import phase_residuals, report
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape, option
from spinodal.mixers.ops.tracing import LEAST, TOKENS, is_plain, traced
from spinodal.types import Mixed

STEEPNESS = 2.0  # of a gate as a function of its linear map; the same for all three


def layer_norm(y: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
    """(y - mean y) / sd y over features, nothing learned."""
    return functional.layer_norm(y, y.shape[-1:])


class SwiGLU(Tokenwise):
    """W_o LN(v SiLU(2a)), a = W_a x and v = W_v x of `hidden` features  [shazeer2020].

    The gated feed-forward layer in common use; it is the phase x_1 of z = a v with K = e^{2a} and L = 1/2 [derived].
    LN is a layer norm without parameters.
    """

    causal = True

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden, bias=False)
        self.out = OutputProjection(hidden, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        a, v = self.inner(x).chunk(2, dim=-1)
        return Mixed(self.out(layer_norm(functional.silu(STEEPNESS * a) * v)), {})


class DrivingForce(Tokenwise, PhaseMixer):
    """W_o LN(y), y = z (K-1) / (K+1), z = W_z x and K = e^{2a}, a = W_a x, of `hidden` features  [derived].

    Each feature z splits into two phases of equal fractions, L = 1/2, and the layer reads half their difference,
    y = (x_1 - x_2) / 2 = z tanh(a): half the summand of the Rachford-Rice equation, which drives a phase to grow.
    """

    causal = True

    def __init__(self, width: int, *, hidden: int):
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden, bias=False)
        self.out = OutputProjection(hidden, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        z, a = self.inner(x).chunk(2, dim=-1)
        y = z * torch.tanh(STEEPNESS / 2 * a)
        info = {}
        if residuals:
            k = (STEEPNESS * a).unsqueeze(-1)
            info = phase_residuals(z, k, z.new_full((2,), 0.5), present(valid))
        return report(self.out(layer_norm(y)), info)

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        z, a = self.inner(x).chunk(2, dim=-1)
        r = torch.sigmoid(STEEPNESS * a)
        return occupancy(z, torch.stack([r, 1 - r], dim=-2))


class PhaseCompetition(Tokenwise, PhaseMixer):
    """W_o LN(concat_j y_j), y_j = x_j - z, x_j = z r_j / L_j, r = softmax_j(2 a_j), L_j = 1/P  [derived].

    Each of `hidden` features z = W_z x splits into P = `phases` phases by log partition factors 2 a_j, a_j = W_j x and
    a_P = 0, and the layer reads how far each phase departs from z. sum_j L_j x_j = z holds exactly, so that the
    departures y_j sum to zero over phases: nothing linear in z passes. InputError for fewer than two phases.

    >>> import torch
    >>> from spinodal.mixers import PhaseCompetition
    >>> mixer = PhaseCompetition(8, hidden=16, phases=3)
    >>> shares = mixer.phase_fractions(torch.randn(1, 5, 8))
    >>> shares.shape, torch.allclose(shares.sum(-1), torch.ones(1, 5))
    (torch.Size([1, 5, 3]), True)
    """

    causal = True

    def __init__(self, width: int, *, hidden: int, phases: int):
        super().__init__()
        if phases < 2:
            raise InputError(f"phases compete from two on, got phases={phases}")
        self.phases = phases
        self.inner = nn.Linear(width, phases * hidden, bias=False)
        self.out = OutputProjection(phases * hidden, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        za = self.inner(x).unflatten(-1, (self.phases, -1))
        info = {}
        if residuals:
            z, k = za[..., 0, :], STEEPNESS * za[..., 1:, :].mT
            info = phase_residuals(z, k, z.new_full((self.phases,), 1 / self.phases), present(valid))
        return report(self.out(competition(za)), info)

    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        za = self.inner(x).unflatten(-1, (self.phases, -1))
        return occupancy(za[..., 0, :], phase_shares(za[..., 1:, :]))


def phase_shares(a: Float[Tensor, "b n q e"]) -> Float[Tensor, "b n p e"]:
    """r_j = softmax_j(2 a_j) over phases; the reference phase, the last, has a = 0."""
    return functional.pad(STEEPNESS * a, (0, 0, 0, 1)).softmax(dim=-2)


def naive_departure(za: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
    """y_j = z (P r_j - 1), z and the q maps a stacked in `za`."""
    return za[..., :1, :] * (za.shape[-2] * phase_shares(za[..., 1:, :]) - 1)


class Departure(torch.autograd.Function):
    """y_j = z (P r_j - 1), as `naive_departure`, in half the passes over memory, which are its cost on a CPU.

    With g the gradient in y and A = P sum_j r_j g_j: dz = A - sum_j g_j and da_j = 2 z r_j (P g_j - A).
    """

    @staticmethod
    def forward(ctx, za: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
        z, r = za[..., :1, :], phase_shares(za[..., 1:, :])
        ctx.save_for_backward(z, r)
        return torch.addcmul(-z, r, z, value=za.shape[-2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
        z, r = ctx.saved_tensors
        phases = r.shape[-2]
        A = phases * (r * g).sum(-2)
        da = phases * g[..., :-1, :] - A.unsqueeze(-2)
        da.mul_(r[..., :-1, :]).mul_(STEEPNESS * z)
        return torch.cat([(A - g.sum(-2)).unsqueeze(-2), da], dim=-2)


def naive_competition(za: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n pe"]:
    """LN(concat_j y_j) of `naive_departure`."""
    return layer_norm(naive_departure(za).flatten(-2))


def competition(za: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n pe"]:
    """LN(concat_j y_j), y_j = z (P r_j - 1): by compiled loops for large float32 tensors on the CPU.

    By tensor operations elsewhere, and where torch traces, transforms or intercepts them.
    """
    if not traced() and torch._C._are_functorch_transforms_active():
        return naive_competition(za)
    if is_plain(za) and za.numel() >= LEAST:
        return CompiledCompetition.apply(za).flatten(-2)
    return layer_norm(Departure.apply(za).flatten(-2))


class CompiledCompetition(torch.autograd.Function):
    """`naive_competition` and its gradient, each in one pass over memory; only z and a are saved for it.

    Second derivatives are computed from `naive_competition`.
    """

    @staticmethod
    def forward(ctx, za: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
        ctx.save_for_backward(za)
        return over_tokens("forward", za)

    @staticmethod
    def backward(ctx, g: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
        (za,), again = ctx.saved_tensors, torch.is_grad_enabled()
        if is_plain(g) and not again:
            return over_tokens("backward", za, g)
        with torch.enable_grad():
            y = naive_competition(za).view(g.shape)
            return torch.autograd.grad(y, za, g, create_graph=again)[0]


def over_tokens(loop: str, *given: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p e"]:
    """The output of the loop of this name in `competition_kernels`, run over all tokens of these tensors."""
    from spinodal.loops import in_parts  # here, since networks elsewhere do without a compiler
    from spinodal.mixers.channel import competition_kernels

    made = torch.empty_like(given[0], memory_format=torch.contiguous_format)
    arrays = [x.detach().contiguous().flatten(0, -3).numpy() for x in (*given, made)]
    in_parts(partial(getattr(competition_kernels, loop), *arrays), len(arrays[0]), TOKENS)
    return made


def present(valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b n 1"] | None:
    """The mask of components of mixtures that are tokens: True for all features of a valid token."""
    return None if valid is None else valid.unsqueeze(-1)


def occupancy(z: Float[Tensor, "b n e"], r: Float[Tensor, "b n p e"]) -> Float[Tensor, "b n p"]:
    """sum_i |z_i| r_ij / sum_i |z_i|: the share of each phase, features weighted by |z_i|."""
    weight = z.abs() / z.abs().sum(-1, keepdim=True).clamp(min=1e-12)
    return torch.einsum("bne,bnpe->bnp", weight, r)


@dataclass(frozen=True)
class GateConfig(MixerConfig, ABC):
    """The options that all gates have. InputError for `hidden` below 1."""

    hidden: int = option(26, "inner size of the channel mixer")

    def __post_init__(self):
        if self.hidden < 1:
            raise InputError(f"hidden={self.hidden}: a model needs at least 1")


@dataclass(frozen=True)
class SwiGLUConfig(GateConfig):
    """The options of `SwiGLU`."""

    def build(self, shape: Shape) -> Mixer:
        return SwiGLU(shape.width, hidden=self.hidden)


@dataclass(frozen=True)
class DrivingForceConfig(GateConfig):
    """The options of `DrivingForce`."""

    def build(self, shape: Shape) -> Mixer:
        return DrivingForce(shape.width, hidden=self.hidden)


@dataclass(frozen=True)
class PhaseCompetitionConfig(GateConfig):
    """The options of `PhaseCompetition`. InputError for fewer than two phases."""

    phases: int = option(16, "phases that tokens, features or memories split into")

    def __post_init__(self):
        super().__post_init__()
        if self.phases < 2:
            raise InputError(f"phases compete from two on, got phases={self.phases}")

    def build(self, shape: Shape) -> Mixer:
        return PhaseCompetition(shape.width, hidden=self.hidden, phases=self.phases)


SWIGLU = Entry("swiglu", Kind.CHANNEL, "the gate of Transformers: the baseline", SwiGLUConfig, SwiGLU)
DRIVING_FORCE = Entry(
    "driving-force", Kind.CHANNEL, "the tension between two phases", DrivingForceConfig, DrivingForce,
    residuals=("F",), measures=("spread",), detached=("spread",),
)  # fmt: skip
COMPETITION = Entry(
    "competition", Kind.CHANNEL, "phases that compete for every feature", PhaseCompetitionConfig, PhaseCompetition,
    residuals=("F",), measures=("spread",), detached=("spread",),
)  # fmt: skip
