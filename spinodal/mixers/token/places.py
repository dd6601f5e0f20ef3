r"""Mixers over places: one dense matrix a head, from places to places, as in [qajar2024].

    y_i = sum_{j <= i} W_ij v_j       among the tokens of one text; all j where it is not causal
    y_i = sum_j W_ij v_j              from the source to the target        [qajar2024, Figure 6]

The weights depend on places and not on contents, so nothing can be looked up by its content, and there
are no more than `length` places. The place of a token is counted in valid tokens: padding takes none,
so a padded text is mixed like the text alone.

    symbol  meaning                                         shape
    W       weights; of the causal matrix, its lower half   h l m, h l(l+1)/2
    v       values, laid out by place                       b m d
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.padding import mask_padding
from spinodal.mixers.ops.places import places, places_taken, read_place, read_places, scatter_to_places
from spinodal.mixers.ops.tracing import Size
from spinodal.mixers.token.retention import log_decays
from spinodal.types import Mixed


class Triangular(Mixer):
    """y_i = sum_{j <= i} W_ij v_j: one learned matrix W a head over up to `length` tokens.

    What a token takes from another depends on their places alone; over all j where it is not causal. At the start
    the rows of W are the decayed averages of `Retention`.
    """

    length: int

    def __init__(self, width: int, *, heads: int, length: int, causal: bool = False):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        self.heads, self.length, self.causal = heads, length, causal
        self.value = nn.Linear(width, width, bias=False)
        self.out = OutputProjection(width, width)
        self.weight = nn.Parameter(torch.empty(heads, length * (length + 1) // 2 if causal else length**2))
        self.reset_parameters()

    def reset_parameters(self):
        lag = torch.arange(self.length)[:, None] - torch.arange(self.length)
        W = torch.exp(log_decays(self.heads)[:, None, None] * lag.abs())
        W = W.tril() if self.causal else W
        W = W / W.sum(-1, keepdim=True)
        if self.causal:
            i, j = torch.tril_indices(
                self.length, self.length
            )  # a mask would not do: its size is unknown on "meta"
            W = W[:, i, j]
        with torch.no_grad():
            self.weight.copy_(W.flatten(1))

    def matrix(self, n: int) -> Float[Tensor, "h n n"]:
        """W among the first n places."""
        if not self.causal:
            return self.weight.unflatten(1, (self.length, self.length))[:, :n, :n]
        i, j = torch.tril_indices(n, n, device=self.weight.device)
        W = self.weight.new_zeros(self.heads, n, n)
        W[:, i, j] = self.weight[:, : len(i)]
        return W

    def rows(self, place: Int[Tensor, " b"]) -> Float[Tensor, "h b l"]:
        """W_{place j} for all j of the causal matrix; entries j > place belong to later rows and meet zeros."""
        entry = (place * (place + 1) // 2)[:, None] + torch.arange(self.length, device=place.device)
        return self.weight[:, entry.clamp(max=self.weight.shape[1] - 1)]

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        place, free = places(x, valid, x.new_zeros(x.shape[0], dtype=torch.long))
        n = self.require(free, x.shape[1])
        table = scatter_to_places(
            mask_padding(self.value(x), valid), place, x.new_zeros(x.shape[0], n, x.shape[2])
        )
        return Mixed(self.out(read_places(self.matrix(n), table, place)), {})

    def require(self, free: Int[Tensor, " b"], tokens: Size) -> int:
        """The number of places taken. InputError for more than `length`."""
        if (n := places_taken(free, tokens, self.length)) > self.length:
            raise InputError(f"this mixer has places for length={self.length} tokens, got {n}")
        return n

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the value at every place, zero where none is yet, and the first place free."""
        empty = x.new_zeros(x.shape[0], self.length, x.shape[2]), x.new_zeros(x.shape[0], dtype=torch.long)
        table, start = state or empty
        place, free = places(x, valid, start)
        n = self.require(free, self.length if state else x.shape[1])
        table = scatter_to_places(mask_padding(self.value(x), valid), place, table)
        if x.shape[1] == 1:
            y = read_place(self.rows(place[:, 0].clamp(max=self.length - 1)), table)
        else:
            y = read_places(self.matrix(n), table[:, :n], place)
        return self.out(y), (table, free)


@dataclass(frozen=True)
class TriangularConfig(MixerConfig):
    """Triangular has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return Triangular(shape.width, heads=shape.heads, length=shape.length, causal=shape.causal)


TRIANGULAR = Entry(
    "triangular",
    Kind.TOKEN,
    "one learned matrix of places a head, as the PET paper draws it",
    TriangularConfig,
    Triangular,
)
