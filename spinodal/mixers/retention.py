r"""Retention: linear attention whose memory decays, in time linear in the number of tokens.

    y_i = sum_j g^|i-j| <q_i, k_j> v_j        one decay g a head [sun2023]

Causal, the sum runs over j <= i. Tokens are cut into chunks: within a chunk the sum is taken
as it stands, and what lies outside enters through one c-by-c state a chunk, itself a decayed
sum over chunks. Nothing of size n by n is formed.

    symbol  meaning                                        shape
    q k v   queries, keys, values                          b h n c
    g       decay, in (0, 1)                               h
    C       tokens a chunk                                 -
    U, S    what a chunk adds to the memory, the memory    b h t c c
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.attention import rotate
from spinodal.mixers.base import Mixer, Reduction, State
from spinodal.types import Mixed

CHUNK = 64


def retention_naive(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n c"],
    log_decay: Float[Tensor, " h"],
    *,
    causal: bool,
) -> Float[Tensor, "b h n c"]:
    """y_i = sum_j g^|i-j| <q_i, k_j> v_j, with the n-by-n matrix written out."""
    i = torch.arange(q.shape[2], device=q.device)
    lag = i[:, None] - i[None, :]
    weight = torch.exp(log_decay[:, None, None] * lag.abs())
    return (q @ k.mT * (weight.tril() if causal else weight)) @ v


def retention(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n c"],
    log_decay: Float[Tensor, " h"],
    *,
    causal: bool,
) -> Float[Tensor, "b h n c"]:
    """`retention_naive` in O(n): chunks of C tokens and one state between them."""
    n = q.shape[2]
    if n <= 2 * CHUNK:
        return retention_naive(q, k, v, log_decay, causal=causal)
    q, k, v = (functional.pad(x, (0, 0, 0, -n % CHUNK)).unflatten(2, (-1, CHUNK)) for x in (q, k, v))
    i = torch.arange(CHUNK, device=q.device)
    lag = (i[:, None] - i[None, :]).abs()

    def decay(steps: Tensor) -> Tensor:
        return torch.exp(log_decay.view(-1, *[1] * steps.ndim) * steps)

    within = decay(lag).tril() if causal else decay(lag)
    y = (q @ k.mT * within[:, None]) @ v
    age, rest = decay(i + 1)[:, None, :, None], decay(CHUNK - 1 - i)[:, None, :, None]
    y = y + age * (q @ memory((k * rest).mT @ v, log_decay))
    if not causal:
        age, rest = (weight.flip(2) for weight in (age, rest))
        y = y + age * (q @ memory(((k * rest).mT @ v).flip(2), log_decay).flip(2))
    return y.flatten(2, 3)[:, :, :n]


def memory(U: Float[Tensor, "b h t c c"], log_decay: Float[Tensor, " h"]) -> Float[Tensor, "b h t c c"]:
    """S_t = sum_{u < t} g^{C (t-1-u)} U_u, what chunk t finds; by doubling, in log2 of t sums."""
    S = functional.pad(U, (0, 0, 0, 0, 1, 0))[:, :, :-1]
    step = 1
    while step < S.shape[2]:
        older = S[:, :, :-step] * torch.exp(log_decay * CHUNK * step)[:, None, None, None]
        S = S + functional.pad(older, (0, 0, 0, 0, step, 0))
        step *= 2
    return S


def log_decays(heads: int) -> Float[Tensor, " h"]:
    """log g of half-lives 2, ..., 128 tokens, geometric over heads; fixed, as in [sun2023]."""
    return -math.log(2) / torch.logspace(1, 7, heads, base=2, dtype=torch.float64)


class Retention(Mixer):
    """out(y / m), y the retention of rotated q / sqrt(c) and k, m the sum of g^|i-j| in an endless context.

    So a head is a decayed average and as quiet at the start as attention is: scaled to unit size
    instead, as in [sun2023], what it sums up at random drowns the tokens.
    """

    def __init__(self, width: int, *, heads: int, causal: bool = False):
        super().__init__()
        if width % (2 * heads):
            raise InputError(
                f"retention needs an even number of features per head: width={width}, heads={heads}"
            )
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = Reduction(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        log_decay = log_decays(self.heads).to(x)
        y = retention(*self.maps(x, valid), log_decay, causal=self.causal)
        return Mixed(self.out(y.transpose(1, 2).flatten(2)), {})

    def maps(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None,
        start: Int[Tensor, " b"] | None = None,
    ) -> tuple[Float[Tensor, "b h n c"], Float[Tensor, "b h n c"], Float[Tensor, "b h n c"]]:
        """Rotated q / (m sqrt c) and k, and v; k is zero on padding."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
        if valid is not None:
            k = k.masked_fill(~valid[:, None, :, None], 0.0)
        g = log_decays(self.heads).exp()
        mass = (1 if self.causal else 1 + g) / (1 - g)  # in float64: bfloat16 would be off by a third
        scale = (mass * q.shape[-1] ** 0.5).to(x)
        return rotate(q, start) / scale[:, None, None], rotate(k, start), v

    def resumed(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the memory S, c by c a head, and the position."""
        b, n, d = x.shape
        c = d // self.heads
        S, start = state or (x.new_zeros(b, self.heads, c, c), x.new_zeros(b, dtype=torch.long))
        q, k, v = self.maps(x, valid, start)
        log_decay = log_decays(self.heads).to(x)
        steps = torch.arange(1, n + 1, device=x.device)
        age = torch.exp(log_decay[:, None] * steps)[..., None]
        rest = torch.exp(log_decay[:, None] * (n - steps))[..., None]
        y = retention(q, k, v, log_decay, causal=True) + age * (q @ S)
        S = age[:, -1:] * S + (k * rest).mT @ v
        return self.out(y.transpose(1, 2).flatten(2)), (S, start + n)
