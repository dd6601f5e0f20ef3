r"""Padding takes no part in sums over tokens, and no position among them."""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


def mask_padding(x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """x with padding set to zero, so that sums over tokens leave it out."""
    return x if valid is None else x.masked_fill(~valid[..., None], 0.0)


def token_places(valid: Bool[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """The number of valid tokens before each token; padding has the number of its neighbour."""
    return (valid.long().cumsum(1) - 1).clamp(min=0)


def padding_first(valid: Bool[Tensor, "b n"]) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]:
    """The permutation that puts all padding before the valid tokens, and its inverse."""
    order = valid.long().argsort(dim=1, stable=True)
    return order, order.argsort(1)


def reorder_tokens(x: Shaped[Tensor, "b n d"], order: Int[Tensor, "b m"]) -> Shaped[Tensor, "b m d"]:
    """x_{order_i} of each sample."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
