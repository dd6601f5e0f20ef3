"""Precision of sums: float32 at least, also under autocast and where weights have half of it."""

import torch
from torch import Tensor


def full_precision(x: Tensor) -> torch.autocast:
    """A context without autocast: bfloat16 would lose decays that are summed, and distances from equilibrium."""
    return torch.autocast(x.device.type, enabled=False)


def exact_dtype(x: Tensor) -> torch.dtype:
    """float32 where x has fewer digits, else the type of x."""
    return torch.promote_types(x.dtype, torch.float32)


def at_least_float32(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in float32 where they have fewer digits, else as they are."""
    return tuple(x.to(exact_dtype(x)) for x in tensors)
