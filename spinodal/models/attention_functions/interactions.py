r"""Interactions: what may take the place of softmax attention in an existing model.

    name                weights w_ij of token j on token i, e_ij = s <q_i, k_j> + b_ij      what it is
    spinodal_beta       softmax over j of beta e_ij                                         temperature
    spinodal_usa        e^{beta (e_ij - s |q_i| |k_j|)} / n_i                               unnormalised
    spinodal_threshold  softmax over the keys with e_ij >= max_k e_ik - width               bounded range
    spinodal_sin        softmax, and v_i + sum_j w_ij sin(v_j - v_i) for output             odd coupling
    spinodal_graph      softmax of (e_ij + e_ji) / 2, j != i, anchored sin flow             energy descent

    symbol  meaning
    s       the model's own scale of exponents
    b_ij    its biases: relative positions, ALiBi, finite entries of an additive mask
    n_i     how many keys token i may see

A bias is part of the exponent: beta = 2 squares a model's own weights and normalises them again, wherever its positions
stand. On the unit sphere, without a bias, the second is [gkpr2024]'s e^{beta (<x,y> - 1)} / n. For beta = 1 and for an
infinite width the first and third are attention itself, and so is the fourth where values are near each other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.mixers.graph.scores import add_self_links

Weights = Float[Tensor, "b h n m"]
Allowed = Bool[Tensor, "#b #h n m"]
Bias = Float[Tensor, "#b #h n m"]
Values = Float[Tensor, "b h m c"]


@runtime_checkable
class Interaction(Protocol):
    """What takes the place of attention: weights from exponents, and an output from weights.

    `name` is its name in transformers.
    `e` are exponents without `bias`, and `most` is s |q_i| |k_j|, their upper bound; bias None is zero.
    An interaction with `own_values` reads the values of the queries' own tokens: no cross-attention is given to it.
    One whose weights depend on beta e_ij has that number as `beta`, and `spinodal.watch` reads it with the exponents.
    """

    @property
    def name(self) -> str: ...

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights: ...

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]: ...


class Average:
    """sum_j w_ij v_j."""

    own_values = False

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        return w @ v


@dataclass(frozen=True)
class Temperature(Average):
    """Softmax of beta e_ij."""

    beta: float = 1.0
    name: str = field(default="spinodal_beta", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights:
        return (self.beta * biased(e, bias)).masked_fill(~allowed, -torch.inf).softmax(-1)


@dataclass(frozen=True)
class Unnormalised(Average):
    """w_ij = e^{beta (e_ij - s |q_i| |k_j|)} / n_i, n_i the number of keys that token i may see (USA).

    Other tokens enter through n_i alone. Without a bias, parallel q_i and k_j have the weight 1 / n_i.
    """

    beta: float = 1.0
    name: str = field(default="spinodal_usa", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights:
        pull = (self.beta * biased(e - most, bias)).exp().masked_fill(~allowed, 0.0)
        return pull / allowed.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Threshold(Average):
    """w_ij = softmax_j(e_ij) over the keys with e_ij >= max_k e_ik - `width`, for each token i."""

    width: float = 3.0
    beta: ClassVar[float] = 1.0
    name: str = field(default="spinodal_threshold", init=False, repr=False)

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights:
        seen = biased(e, bias).masked_fill(~allowed, -torch.inf)
        return seen.masked_fill(seen < seen.amax(-1, keepdim=True) - self.width, -torch.inf).softmax(-1)


@dataclass(frozen=True)
class SinFlow:
    """v_i + strength sum_j w_ij sin(v_j - v_i), w the softmax of e; for self-attention alone.

    Fewer queries than keys, as in a step with a cache, are taken for the last tokens.
    """

    strength: float = 1.0
    beta: ClassVar[float] = 1.0
    name: str = field(default="spinodal_sin", init=False, repr=False)
    own_values = True

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights:
        return biased(e, bias).masked_fill(~allowed, -torch.inf).softmax(-1)

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        n, m = w.shape[-2:]
        if n > m:
            raise InputError(
                f"spinodal_sin couples tokens to themselves; {n} queries on {m} keys are cross-attention"
            )
        own = v[..., m - n :, :]
        return own + self.strength * (own.cos() * (w @ v.sin()) - own.sin() * (w @ v.cos()))


@dataclass(frozen=True)
class GraphFlow:
    """x(steps) of the graph flow from x(0) = v, one anchor for all tokens; no token weighs itself, if it sees others.

    A model's own values may differ by more than pi/2, beyond which the force decreases. See
    `spinodal.mixers.graph.flow`. A bias is symmetrised where both tokens see each other, and kept where one
    alone does.
    """

    anchor: float = 1.0
    steps: int = 4
    name: str = field(default="spinodal_graph", init=False, repr=False)
    own_values = True

    def __post_init__(self):
        if self.anchor < 0 or self.steps < 1:
            raise InputError(
                f"anchor={self.anchor}, steps={self.steps}: an anchor is >= 0, and steps are >= 1"
            )

    def weights(self, e: Weights, most: Weights, allowed: Allowed, bias: Bias | None = None) -> Weights:
        n, m = e.shape[-2:]
        if n != m:
            raise InputError(
                f"spinodal_graph couples tokens to themselves; {n} queries on {m} keys are cross-attention, or a step "
                f"with a cache: set use_cache=False"
            )
        own = torch.eye(n, dtype=torch.bool, device=e.device)
        if bias is not None:
            bias = torch.where(allowed & allowed.mT, (bias + bias.mT) / 2, bias)
        exponents = biased((e + e.mT) / 2, bias)
        return exponents.masked_fill(~add_self_links(allowed & ~own, own), -torch.inf).softmax(-1)

    def output(self, w: Weights, v: Values) -> Float[Tensor, "b h n c"]:
        x = v
        for _ in range(self.steps):
            pull = x.cos() * (w @ x.sin()) - x.sin() * (w @ x.cos())
            x = x + (pull + self.anchor * (v - x)) / (1 + self.anchor)
        return x


def biased(e: Weights, bias: Bias | None) -> Weights:
    """e + b, or e where there is no bias."""
    return e if bias is None else e + bias


INTERACTIONS: dict[str, Callable[..., Any]] = {
    kind().name: kind for kind in (Temperature, Unnormalised, Threshold, SinFlow, GraphFlow)
}  # to add an interaction, put its class here; `register_interaction` then has it


def interaction(text: str) -> Interaction:
    """The interaction that a text names, with its parameters: "spinodal_usa", "spinodal_beta:2", "spinodal_graph:1:8".

    InputError for any other name, and for parameters that it does not have.
    """
    name, *numbers = text.split(":")
    if name not in INTERACTIONS:
        raise InputError(f"no interaction is called {name!r}: {', '.join(INTERACTIONS)}")
    parameters = _parameters(INTERACTIONS[name])
    if len(numbers) > len(parameters):
        raise InputError(f"{text!r}: {name} has {', '.join(parameters)} and no more")
    values = []
    for (parameter, kind), number in zip(parameters.items(), numbers, strict=False):
        try:
            value = kind(number)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            a = "a whole number" if kind is int else "a number"
            raise InputError(f"{text!r}: {parameter} of {name} is {a} >= 0, as in {name}:2")
        values.append(value)
    return INTERACTIONS[name](*values)


def interaction_text(what: Interaction) -> str:
    """The text that names an interaction with its parameters; its `repr` for one that has no name in INTERACTIONS."""
    if type(what) is not INTERACTIONS.get(what.name):
        return f"{what!r}".replace("/", "_")
    return ":".join([what.name, *(f"{getattr(what, p)}" for p in _parameters(type(what)))])


def _parameters(kind: Callable[..., Any]) -> dict[str, type]:
    """The parameters of an interaction, each with its type."""
    return {f.name: type(f.default) for f in fields(kind) if f.init}  # type: ignore[arg-type]
