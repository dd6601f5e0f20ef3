r"""Padding takes no part in sums over tokens."""

from jaxtyping import Bool, Float
from torch import Tensor


def mask_padding(x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """x with padding set to zero, so that sums over tokens leave it out."""
    return x if valid is None else x.masked_fill(~valid[..., None], 0.0)
