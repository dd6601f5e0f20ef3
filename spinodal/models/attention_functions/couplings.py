"""Couplings: exponents, biases and masks of a call of attention, and the calls that are refused.

A mask may be boolean (True: the query may see the key) or additive. Of an additive mask, entries at or below
FORBIDDEN forbid, and all others are biases of the exponents. Exponents are float32 at least.
"""

import inspect
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.ops.precision import exact_dtype

FORBIDDEN = -5000.0  # the library adds a type's least number, float16's is -65504; older models add -10000
DEEPEST = -1e30  # a finite number in whose presence an exponent is lost

# What changes a model's attention and no interaction has a place for
REFUSED = {
    "s_aux": "lets tokens look away, at learned sinks",
    "sinks": "lets tokens look away, at learned sinks",
    "indices": "looks at the keys that an index of its own has chosen",
    "block_indices": "looks at the blocks of keys that an index of its own has chosen",
}
# Names under which a module's `forward` takes the sequence that it looks at
SOURCES = {
    "key_value_states", "encoder_hidden_states", "cross_attention_states", "context_hidden_states", "context",
    "key", "keys", "key_states", "key_hidden_states", "key_tensor", "k",
}  # fmt: skip


class Couplings(NamedTuple):
    """Exponents `e` without biases and their bound `most`; `allowed`, True where a query may see a key.

    `bias` None is zero. `blind` is True for queries that have no output, None where all have one.
    """

    e: Float[Tensor, "b h n m"]
    most: Float[Tensor, "b h n m"]
    allowed: Bool[Tensor, "#b #h n m"]
    bias: Float[Tensor, "#b #h n m"] | None
    blind: Bool[Tensor, "#b #h n 1"] | None


def couplings(
    module: nn.Module,
    query: Float[Tensor, "b h n c"],
    key: Float[Tensor, "b h m c"],
    mask: Tensor | None,
    scaling: float | None,
    kwargs: dict[str, Any],
) -> Couplings:
    """e_ij = s <q_i, k_j>, and what mask and keywords of a call add to it."""
    kind = exact_dtype(query)
    s = query.shape[-1] ** -0.5 if scaling is None else scaling
    e = (s * query @ key.mT).to(kind)
    most = s * query.norm(dim=-1, keepdim=True, dtype=kind) * key.norm(dim=-1, dtype=kind)[..., None, :]
    if (cap := kwargs.get("softcap")) is not None:
        e, most = cap * (e / cap).tanh(), cap * (most / cap).tanh()
    n, m = e.shape[-2:]
    if mask is None and is_causal(module, kwargs) and n > 1:
        mask = torch.ones(n, m, dtype=torch.bool, device=e.device).tril()[None, None]
    allowed, bias, blind = read_mask(mask, n, m, kind, e.device)
    if (position := kwargs.get("position_bias")) is not None:
        position = position.to(kind)
        bias = position if bias is None else bias + position
    if bias is not None:
        bias = bias.expand(*torch.broadcast_shapes(bias.shape, allowed.shape))
    return Couplings(e, most, allowed, bias, blind)


def read_mask(
    mask: Tensor | None, n: int, m: int, kind: torch.dtype, device: torch.device
) -> tuple[Bool[Tensor, "#b #h n m"], Float[Tensor, "#b #h n m"] | None, Bool[Tensor, "#b #h n 1"] | None]:
    """(allowed, bias, blind): which keys each query may see, biases of exponents, and queries without output.

    A query that may see no key is padding, and is given all keys so that its row stays finite. In
    transformers it averages over all keys where the mask adds a finite number, and has no output ("blind")
    where the mask is boolean or adds -inf. InputError for a mask of integers or of another shape.
    """
    if mask is None:
        return torch.ones(1, 1, n, m, dtype=torch.bool, device=device), None, None
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise InputError(
            f"a mask of {str(mask.dtype).removeprefix('torch.')} says neither who may be seen (boolean) nor what is "
            "added to the exponents (a floating type)"
        )
    mask = mask[(None,) * (4 - mask.ndim)][..., :m]
    if mask.shape[-2] not in (1, n) or mask.shape[-1] not in (1, m):
        raise InputError(
            f"a mask for {tuple(mask.shape[-2:])} queries and keys does not fit {n} queries on {m} keys"
        )
    mask = mask.expand(*mask.shape[:-2], n, m)
    if mask.dtype == torch.bool:
        blind = ~mask.any(-1, keepdim=True)
        return mask | blind, None, blind
    allowed, added = mask > FORBIDDEN, mask.to(kind)
    nothing = ~allowed.any(-1, keepdim=True)
    blind = nothing & (mask == -torch.inf).all(-1, keepdim=True)
    bias = torch.where(nothing, added.clamp(min=DEEPEST), added.masked_fill(~allowed, 0.0))
    return allowed | nothing, bias, blind


def is_causal(module: nn.Module, kwargs: dict[str, Any]) -> bool:
    """Whether a call without a mask is causal, as in transformers' own attention functions."""
    said = kwargs.get("is_causal")
    return bool(getattr(module, "is_causal", False) if said is None else said)


def check_call(module: nn.Module, name: str, kwargs: dict[str, Any]) -> None:
    """InputError for a keyword that changes the model's attention and that no interaction reads."""
    for keyword, what in REFUSED.items():
        if kwargs.get(keyword) is not None:
            raise InputError(
                f"{type(module).__name__} {what}; {name} has none, and without them it would be another model"
            )


def check_own(module: nn.Module, name: str, found: Couplings) -> None:
    """InputError unless queries and the last keys are the same tokens."""
    if may_be_cross(module):
        raise InputError(
            f"{name} couples tokens to themselves; {type(module).__name__} is cross-attention, or may be: it reads "
            "another sequence"
        )
    n, m = found.e.shape[-2:]
    if n < m:
        own = found.allowed.expand(*found.allowed.shape[:-2], n, m).diagonal(m - n, -2, -1)
        seeing = own if found.blind is None else own | found.blind[..., 0]
        if not seeing.all():
            raise InputError(
                f"{name} needs the values of {n} tokens of {m}, and the last ones are not theirs: a cache of fixed "
                "length; take one that grows, or use_cache=False"
            )


def may_be_cross(module: nn.Module) -> bool:
    """Whether an attention module may read another sequence, judged by its attributes and signature."""
    said = getattr(module, "is_cross_attention", None)
    if isinstance(said, bool):
        return said
    if "cross" in type(module).__name__.lower():
        return True
    if not SOURCES & set(inspect.signature(module.forward).parameters):
        return False
    return not getattr(module, "is_causal", False) and bool(getattr(module, "is_decoder", True))
