r"""Phase memory: the past split into phases, each with a fraction and a composition that decay.

Every token i is spread over P phases by r_i = softmax(k_i), as a flash spreads a component. What a
phase holds of the past are its amount w and, summed likewise, the values S; a token reads the mean
composition S / w of the phases that its own softmax q picks out:

    w_nj = sum_i g^{n-i} r_ij,   S_nj = sum_i g^{n-i} r_ij v_i,   y_n = sum_j q_nj S_nj / w_nj

w is one step of the EM that solves Rachford--Rice for the phase fractions of the prefix, so the
read is a mean over each phase, whose size does not depend on how much the phase holds  [derived].

    symbol  meaning                                     shape
    q r     shares of a token in each phase, to read and to write, sums 1      b h n p
    v       what is written                              b h n c
    w S     amount and content of each phase: the state  b h p, b h p c
    g       decay of a head                              h
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape, option
from spinodal.mixers.ops.decayed_linear_attention import decayed_linear_attention
from spinodal.mixers.ops.decayed_sum import decayed_sum, decayed_sum_both_ways
from spinodal.mixers.ops.fixed_decay import fixed_decay_attention
from spinodal.mixers.ops.precision import exact_dtype
from spinodal.mixers.token.retention import log_decays
from spinodal.types import Mixed

LEAST = 1e-3  # of an equal share: what every token writes into every phase, so that none is empty


class PhaseMemory(Mixer):
    """y_n = sum_j q_nj S_nj / w_nj, w and S the decayed sums of r and of r v^T  [derived].

    Every token is split over P phases a head, and reads the mean composition of the phases that it selects. Heads
    decay at the rates of `Retention`.
    """

    def __init__(self, width: int, *, heads: int, phases: int, causal: bool = False):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        if phases < 2:
            raise InputError(f"a phase memory needs two phases or more, got phases={phases}")
        self.heads, self.phases, self.causal = heads, phases, causal
        self.log_g = log_decays(heads, "cpu").tolist()  # numbers, so that no graph records their making
        self.value = nn.Linear(width, width, bias=False)
        self.shares = nn.Linear(width, 2 * heads * phases, bias=False)
        self.out = OutputProjection(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        q, r, v, log_g = self.maps(x, valid)
        w = nonzero_amounts(decayed_sum_both_ways(r, log_g), valid)
        y = fixed_decay_attention(q / w, r, v, q.new_tensor(self.log_g))
        return Mixed(self.merge_heads(y, x), {})

    def maps(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b h n p"], Float[Tensor, "b h n p"], Tensor, Float[Tensor, "#b h n 1"]]:
        """q, r, v and log g; padding adds nothing to the phases, and if causal lets nothing decay."""
        exact = exact_dtype(x)
        shares = self.shares(x).to(exact).unflatten(-1, (2, self.heads, self.phases)).softmax(-1)
        q, r = shares.permute(2, 0, 3, 1, 4).contiguous()
        r = r.lerp(r.new_tensor(1 / self.phases), LEAST)
        if valid is not None:
            r = r.masked_fill(~valid[:, None, :, None], 0.0)
        v = self.value(x).to(exact).unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()
        log_g = r.new_tensor(self.log_g)[None, :, None, None].expand(-1, -1, x.shape[1], -1)
        if self.causal and valid is not None:
            log_g = log_g.masked_fill(~valid[:, None, :, None], 0.0)
        return q, r, v, log_g

    def merge_heads(self, y: Float[Tensor, "b h n c"], x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.out(y.transpose(1, 2).flatten(2).to(x))

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the amount w and the content S of every phase."""
        q, r, v, log_g = self.maps(x, valid)
        w, S = state or (torch.zeros_like(r[:, :, 0]), r.new_zeros(*r.shape[:2], self.phases, v.shape[3]))
        amounts, w = decayed_sum(r, log_g, w)
        y, S = decayed_linear_attention(q / nonzero_amounts(amounts, valid), r, v, log_g, S)
        return self.merge_heads(y, x), (w, S)


def nonzero_amounts(
    w: Float[Tensor, "b h n p"], valid: Bool[Tensor, "b n"] | None
) -> Float[Tensor, "b h n p"]:
    """w, and 1 on padding, where it may be zero; a valid token puts a share into every phase."""
    return w if valid is None else w.masked_fill(~valid[:, None, :, None], 1.0)


@dataclass(frozen=True)
class PhaseMemoryConfig(MixerConfig):
    """How many phases a phase memory has."""

    phases: int = option(16, "phases that tokens, features or memories split into")

    def __post_init__(self):
        if self.phases < 2:
            raise InputError(f"a phase memory needs two phases or more, got phases={self.phases}")

    def build(self, shape: Shape) -> Mixer:
        return PhaseMemory(shape.width, heads=shape.heads, phases=self.phases, causal=shape.causal)


PHASE_MEMORY = Entry(
    "phase-memory",
    Kind.TOKEN,
    "a memory for each phase that tokens are split into",
    PhaseMemoryConfig,
    PhaseMemory,
)
