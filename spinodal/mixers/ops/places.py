r"""Products with one matrix over the places of tokens, y_i = sum_j W_ij v_j, where padding takes no place.

The place of a token is the number of valid tokens before it. Values are scattered to their places,
multiplied by W and gathered back, so a padded text is mixed as the text alone is.

    symbol  meaning                     shape
    W       weights between places      h l m
    table   the value at each place     b m d
    place   the place of each token     b n
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.mixers.ops.tracing import Size, symbolic, traced


def naive_place_product(
    W: Float[Tensor, "h l m"], v: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"]
) -> Float[Tensor, "b n d"]:
    """y_i = sum_j W_ij v_j, head by head, over the valid tokens of each text alone; zero on padding."""
    y = torch.zeros_like(v)
    for sample, there in enumerate(valid):
        heads = v[sample, there].unflatten(-1, (len(W), -1)).transpose(0, 1)
        n = heads.shape[1]
        y = y.index_put(
            (torch.tensor(sample, device=v.device), there.nonzero()[:, 0]),
            (W[:, :n, :n] @ heads).transpose(0, 1).flatten(1),
        )
    return y


def places(
    x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None, start: Int[Tensor, " b"]
) -> tuple[Int[Tensor, "b n"], Int[Tensor, " b"]]:
    """place_i = start + valid tokens before i, and the first free place; padding has the place of its neighbour."""
    if valid is None:
        valid = x.new_ones(x.shape[:2], dtype=torch.bool)
    count = valid.long().cumsum(1)
    return start[:, None] + (count - 1).clamp(min=0), start + count[:, -1]


def places_taken(free: Int[Tensor, " b"], tokens: Size, length: int) -> int:
    """The most places taken in a sample; under tracing, where it is unknown, min(tokens, length).

    For a symbolic number of tokens it is max(tokens, length).
    """
    if symbolic(tokens):
        return tokens if tokens > length else length
    if traced():
        return min(tokens, length)
    return int(free.max()) if len(free) else 0


def scatter_to_places(
    v: Float[Tensor, "b n d"], place: Int[Tensor, "b n"], table: Float[Tensor, "b m d"]
) -> Float[Tensor, "b m d"]:
    """table_p + v_i at the place p of each token i; values of padding are zero, so they change nothing.

    In the table's type: under autocast tokens may be in half precision where it is not.
    """
    place = place.clamp(max=table.shape[1] - 1)
    return table.scatter_add(1, place[..., None].expand(v.shape), v.to(table.dtype))


def read_places(
    W: Float[Tensor, "h l m"], table: Float[Tensor, "b m d"], place: Int[Tensor, "b n"]
) -> Float[Tensor, "b n d"]:
    """y_i = sum_j W_{place_i j} table_j, head by head."""
    y = torch.einsum("hlm,bmhc->blhc", W, table.unflatten(-1, (len(W), -1))).flatten(2)
    place = place.clamp(max=y.shape[1] - 1)
    return y.gather(1, place[..., None].expand(-1, -1, y.shape[2]))


def read_place(rows: Float[Tensor, "h b m"], table: Float[Tensor, "b m d"]) -> Float[Tensor, "b 1 d"]:
    """y = sum_j W_j table_j, head by head, for one token a sample, whose row of W is given."""
    return torch.einsum("hbm,bmhc->bhc", rows, table.unflatten(-1, (len(rows), -1))).flatten(1)[:, None]
