r"""Attention functions: a physical interaction inside an existing model, in place of softmax attention.

    name                weights w_ij of token j on token i, e_ij = s <q_i, k_j>     what it is
    spinodal_beta       softmax over j of beta e_ij                                 temperature
    spinodal_usa        e^{beta (e_ij - s |q_i| |k_j|)} / n_i                       unnormalised
    spinodal_threshold  softmax over the keys with e_ij >= max_k e_ik - width       bounded range
    spinodal_sin        softmax, and v_i + sum_j w_ij sin(v_j - v_i) for output     odd coupling
    spinodal_graph      softmax of (e_ij + e_ji) / 2, j != i, anchored sin flow     energy descent

n_i counts the keys that token i may see. On the unit sphere the second is [gkpr2024]'s e^{beta (<x,y> - 1)} / n. For
beta = 1 and for an infinite width the first and third are attention itself, and so is the fourth where values are
near each other.

`from_pretrained(..., attn_implementation="spinodal_usa")` takes the defaults, after `import spinodal.models`.
`replaced_attention` takes any parameters, counts calls, and refuses a model that never asks for its attention. Masks
are registered with the interactions: without that the library drops them, the causal one too, and says nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from spinodal.errors import InputError
from spinodal.mixers.graph.scores import add_self_links

Weights = Float[Tensor, "b h n m"]
Allowed = Bool[Tensor, "#b #h n m"]
Values = Float[Tensor, "b h m c"]


@runtime_checkable
class Interaction(Protocol):
    """What takes the place of attention: weights from exponents, and an output from weights.

    `name` is its name in the library.
    `most` is s |q_i| |k_j|, which an exponent without position bias cannot exceed.
    """

    @property
    def name(self) -> str: ...

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights: ...

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]: ...


class Average:
    """sum_j w_ij v_j."""

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        return w @ v


@dataclass(frozen=True)
class Temperature(Average):
    """Softmax of beta e_ij."""

    beta: float = 1.0
    name: str = field(default="spinodal_beta", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights:
        return (self.beta * e).masked_fill(~allowed, -torch.inf).softmax(-1)


@dataclass(frozen=True)
class Unnormalised(Average):
    """USA: each pair by itself, so that neither padding nor a later token sets the clock; parallel ones have 1 / n."""

    beta: float = 1.0
    name: str = field(default="spinodal_usa", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights:
        pull = (self.beta * (e - most)).exp().masked_fill(~allowed, 0.0)
        return pull / allowed.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Threshold(Average):
    """Softmax over the keys within `width` of the row's largest exponent: a threshold of its own for each token."""

    width: float = 3.0
    name: str = field(default="spinodal_threshold", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights:
        seen = e.masked_fill(~allowed, -torch.inf)
        return seen.masked_fill(seen < seen.amax(-1, keepdim=True) - self.width, -torch.inf).softmax(-1)


@dataclass(frozen=True)
class SinFlow:
    """v_i + strength sum_j w_ij sin(v_j - v_i), by the addition theorem two products with w; self-attention alone."""

    strength: float = 1.0
    name: str = field(default="spinodal_sin", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights:
        return e.masked_fill(~allowed, -torch.inf).softmax(-1)

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        if w.shape[-1] != w.shape[-2]:
            raise InputError(
                f"spinodal_sin couples tokens to themselves; {w.shape[-2]} queries on {w.shape[-1]} keys are cross-"
                f"attention, or a step with a cache"
            )
        return v + self.strength * (v.cos() * (w @ v.sin()) - v.sin() * (w @ v.cos()))


@dataclass(frozen=True)
class GraphFlow:
    """x(steps) of the graph flow from x(0) = v, one anchor for all tokens; no token weighs itself, if it sees others.

    A model's own values may differ by more than pi/2, beyond which sin lets go. See `spinodal.mixers.graph.flow`.
    """

    anchor: float = 1.0
    steps: int = 4
    name: str = field(default="spinodal_graph", init=False, repr=False)

    def __post_init__(self):
        if self.anchor < 0 or self.steps < 1:
            raise InputError(
                f"anchor={self.anchor}, steps={self.steps}: an anchor is >= 0, and steps are >= 1"
            )

    def weights(self, e: Weights, most: Weights, allowed: Allowed) -> Weights:
        n, m = e.shape[-2:]
        if n != m:
            raise InputError(
                f"spinodal_graph couples tokens to themselves; {n} queries on {m} keys are cross-attention, or a step "
                f"with a cache: set use_cache=False"
            )
        own = torch.eye(n, dtype=torch.bool, device=e.device)
        return ((e + e.mT) / 2).masked_fill(~add_self_links(allowed & ~own, own), -torch.inf).softmax(-1)

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        x = v
        for _ in range(self.steps):
            pull = x.cos() * (w @ x.sin()) - x.sin() * (w @ x.cos())
            x = x + (pull + self.anchor * (v - x)) / (1 + self.anchor)
        return x


INTERACTIONS: dict[str, Callable[..., Any]] = {
    kind().name: kind for kind in (Temperature, Unnormalised, Threshold, SinFlow, GraphFlow)
}  # to add an interaction, put its class here; `register_interaction` then has it


@dataclass
class Calls:
    """How often a model asked for its attention."""

    count: int = 0


def attention_function(interaction: Interaction, calls: Calls) -> Callable[..., tuple[Tensor, Tensor]]:
    """The library's attention function of an interaction."""

    def forward(
        module: nn.Module,
        query: Float[Tensor, "b h n c"],
        key: Float[Tensor, "b g m c"],
        value: Float[Tensor, "b g m k"],
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **kwargs,  # the library's: sliding windows and the like are in the mask already
    ) -> tuple[Tensor, Tensor]:
        calls.count += 1
        if kwargs.get("s_aux") is not None:
            raise InputError(
                f"{type(module).__name__} lets tokens look away, at learned sinks; {interaction.name} has none, and "
                "without them it would be another model"
            )
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        s = query.shape[-1] ** -0.5 if scaling is None else scaling
        e, most = s * query @ key.mT, s * query.norm(dim=-1, keepdim=True) * key.norm(dim=-1)[..., None, :]
        if (cap := kwargs.get("softcap")) is not None:
            e, most = cap * (e / cap).tanh(), cap * (most / cap).tanh()
        if (bias := kwargs.get("position_bias")) is not None:
            e = e + bias
        if attention_mask is None:
            allowed = torch.ones(e.shape[-2:], dtype=torch.bool, device=e.device)[None, None]
        else:
            allowed = attention_mask[..., : e.shape[-1]] > torch.finfo(e.dtype).min / 2
        # a row of padding may see nothing: left to see all, it stays finite and is read by nobody
        allowed = allowed | ~allowed.any(-1, keepdim=True)
        w = functional.dropout(interaction.weights(e, most, allowed), dropout, training=module.training)
        return interaction.output(w, value).transpose(1, 2).contiguous(), w

    return forward


def register_interaction(interaction: Interaction, *, name: str | None = None) -> Calls:
    """Makes an interaction known to the library, with masks, under its own name or another; returns its counter."""
    calls = Calls()
    AttentionInterface.register(name or interaction.name, attention_function(interaction, calls))
    AttentionMaskInterface.register(name or interaction.name, eager_mask)
    return calls


for make in INTERACTIONS.values():
    register_interaction(make())


def interaction(text: str) -> Interaction:
    """The interaction that "spinodal_usa" or, with its parameter, "spinodal_beta:2" names; InputError for any other."""
    name, _, number = text.partition(":")
    if name not in INTERACTIONS:
        raise InputError(f"no interaction is called {name!r}: {', '.join(INTERACTIONS)}")
    try:
        value = [float(number)] if number else []
    except ValueError:
        value = [math.nan]
    if not all(0 <= v < math.inf for v in value):
        parameter = fields(INTERACTIONS[name])[0].name  # type: ignore[arg-type]
        raise InputError(f"{text!r}: {parameter} of {name} is a number >= 0, as in {name}:2")
    return INTERACTIONS[name](*value)


@contextmanager
def replaced_attention(
    model: PreTrainedModel, what: Interaction, inputs: Mapping[str, Tensor]
) -> Iterator[Calls]:
    """The model with an interaction for its attention, for as long as the context lasts.

    A pass on `inputs` counts the calls at the door: InputError for an architecture that never makes one, which
    would go on as before without a word.
    """
    kind, before = type(model).__name__, model.config._attn_implementation or "eager"
    name = f"{what!r}".replace("/", "_")
    calls = register_interaction(what, name=name)
    try:
        if not model._can_set_attn_implementation():
            raise InputError(f"{kind} ignores attention plug-ins: it has an attention of its own")
        model.set_attn_implementation(name)
        with torch.no_grad():
            model(**inputs)
        if not calls.count:
            raise InputError(f"{kind} ignores attention plug-ins: a pass made no call to {what.name}")
        yield calls
    finally:
        model.set_attn_implementation(before)
