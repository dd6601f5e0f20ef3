r"""The field of attention in torch: differentiable in tokens and in every parameter, to be fitted and controlled.

    dx_i/dt = P_{x_i} ( sum_h zeta_i^h sum_j p_ij^h V^h x_j + W s(A x_i + c) ),   p_ij = w_j e^{b <Q x_i, K x_j>} / Z_i

with zeta = 1 for "sa", Z for "usa", e^{-b} Z for "gkpr", as in `fields.composed`, whose engines are faster and keep the
digits of clusters; here every pair is computed, as one tensor operation. `torch_flow` integrates it, or any function of
tensors, by steps of a fixed size, so that a loss on a trajectory has a gradient:

    beta = torch.tensor(1.0, requires_grad=True)
    path = torch_flow(TorchField(beta), start, times)
    (path - seen).square().sum().backward();  beta.grad

    symbol  meaning                                   shape
    Q, K    queries, keys: numbers or matrices        k d, or h k d for h heads
    V       values: a number or matrices              d d, or h d d
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.flows.fields import AttentionField
from spinodal.flows.fields.composed import parts_beyond
from spinodal.flows.fields.interactions import KINDS
from spinodal.flows.names import require_known
from spinodal.integrate import DORMAND_PRINCE
from spinodal.limits import STEPS, require_at_most

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}
SERVED = {"beta", "kind", "heads", "causal", "feed_forward", "engine"}  # fields of AttentionField
Number = float | int | Tensor


class TorchFeedForward(NamedTuple):
    """W s(A x + c) + b: outer W [d k], inner A [k d], bias c [k], outer_bias b [d], s "relu", "tanh" or "gelu"."""

    outer: Tensor
    inner: Tensor
    bias: Tensor
    activation: str = "relu"
    outer_bias: Tensor | float = 0.0

    def __call__(self, x: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n d"]:
        return ACTIVATIONS[self.activation](x @ self.inner.mT + self.bias) @ self.outer.mT + self.outer_bias


@dataclass(frozen=True, eq=False)
class TorchField:
    """dx_i/dt = P_{x_i} (sum_h zeta_i sum_j p_ij V x_j + W s(A x_i + c)), differentiable  [glpr2023].

    The field of attention on tensors, with gradients in tokens and in all parameters. Q, K and V are numbers,
    which stand for a multiple of the identity, or tensors [k d] and [d d], for h heads [h k d] and [h d d].
    A call takes a time, which it ignores, tokens [*b n d] and their weights [n], equal if not given; it costs
    O(n^2) time and memory. `of(field)` converts an `AttentionField` that is post-LN and without noise.
    InputError for an unknown kind, and for shapes and for parts of a field that do not fit.

    >>> import torch
    >>> from spinodal import flows
    >>> beta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    >>> drift = flows.TorchField(beta)(0.0, torch.eye(3, dtype=torch.float64))
    >>> torch.autograd.grad(drift[0, 1], beta)[0].item() < 0  # a sharper attention pulls less at orthogonal tokens
    True
    """

    beta: Number = 1.0
    kind: str = "sa"
    queries: Number = 1.0
    keys: Number = 1.0
    values: Number = 1.0
    causal: bool = False
    feed_forward: TorchFeedForward | None = None

    def __post_init__(self) -> None:
        require_known("kind", self.kind, KINDS)
        for name in ("queries", "keys", "values"):
            if torch.as_tensor(getattr(self, name)).ndim not in (0, 2, 3):
                raise InputError(
                    f"`{name}` have shape {tuple(torch.as_tensor(getattr(self, name)).shape)}: a number, a matrix, or "
                    "one for each head along the first of three axes",
                    field=name,
                )

    @classmethod
    def of(cls, field: AttentionField) -> "TorchField":
        """The same field as tensors in double precision; InputError for a part that has no torch form."""
        if others := parts_beyond(field, SERVED):
            told = ", ".join(f"`{name}` {getattr(field, name)!r}" for name in others)
            raise InputError(
                f"{told}: the field in torch is post-LN, without noise, and has heads, a causal mask and a "
                "feed-forward part",
                field=tuple(others),
            )
        if math.isinf(field.beta):
            raise InputError("`beta` inf: hardmax has no gradient", field="beta")
        each = [(head.queries, head.keys, head.values) for head in field.heads]
        Q, K, V = (stacked(matrices) for matrices in zip(*each, strict=True))
        feed = field.feed_forward
        tensor = torch.from_numpy
        push = feed and TorchFeedForward(
            tensor(feed.outer),
            tensor(feed.inner),
            tensor(feed.bias),
            feed.activation,
            0.0 if feed.outer_bias is None else tensor(feed.outer_bias),
        )
        return cls(field.beta, field.kind, Q, K, V, field.causal, push)

    def __call__(
        self, time: float, tokens: Float[Tensor, "*b n d"], weights: Float[Tensor, " m"] | None = None
    ) -> Float[Tensor, "*b n d"]:
        """dx/dt of unit vectors, tangent to the sphere at each."""
        output = self.attention_output(tokens, weights)
        if self.feed_forward is not None:
            output = output + self.feed_forward(tokens)
        return output - (output * tokens).sum(-1, keepdim=True) * tokens

    def attention_output(
        self, tokens: Float[Tensor, "*b n d"], weights: Float[Tensor, " m"] | None = None
    ) -> Float[Tensor, "*b n d"]:
        """sum_h zeta_i sum_j p_ij V x_j, before it is projected."""
        n = tokens.shape[-2]
        x = tokens[..., None, :, :]
        scores = self.beta * (mapped(x, self.queries) @ mapped(x, self.keys).mT)
        if weights is None:
            scores = scores - math.log(n)
        elif weights.shape == (n,):
            scores = scores + weights.log()
        else:
            raise InputError(
                f"`weights` have shape {tuple(weights.shape)}: {n} tokens need ({n},)", field="weights"
            )
        if self.causal:
            later = torch.ones(n, n, dtype=torch.bool, device=tokens.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        slower = self.beta if self.kind == "gkpr" else 0.0
        p = scores.softmax(-1) if self.kind == "sa" else (scores - slower).exp()
        return mapped(p @ x, self.values).expand(*scores.shape[:-1], tokens.shape[-1]).sum(-3)


def mapped(x: Float[Tensor, "*b n d"], matrix: Number) -> Tensor:
    """M x of each token, with a head axis before that of tokens: [*b h n k]; a number scales."""
    if not isinstance(matrix, Tensor) or matrix.ndim == 0 or matrix.shape[-2:] == (1, 1):
        return matrix * x
    if matrix.shape[-1] != x.shape[-1]:
        raise InputError(f"tokens have d = {x.shape[-1]}, the matrices of the field d = {matrix.shape[-1]}")
    return x @ matrix.mT


def stacked(matrices: Sequence[Any]) -> Number:
    """The matrices of h heads as one tensor [h k d], padded with zero rows; a single number as it is."""
    if len(matrices) == 1 and isinstance(matrices[0], float):
        return matrices[0]
    d = next((m.shape[-1] for m in matrices if not isinstance(m, float)), 1)
    square = [m * np.eye(d) if isinstance(m, float) else m for m in matrices]
    rows = max(map(len, square))
    return torch.from_numpy(np.stack([np.pad(m, ((0, rows - len(m)), (0, 0))) for m in square]))


def torch_flow(
    drift: Callable[[float, Tensor], Tensor],
    start: Float[Tensor, "*b n d"],
    times: Float[Tensor, " t"] | Sequence[float],
    *,
    step: float = 0.05,
) -> Float[Tensor, "t *b n d"]:
    """x(t) at increasing times of dx/dt = drift(t, x), x(times[0]) = start, with a gradient  [dormand1980].

    Fifth-order Runge-Kutta steps of at most `step`, each followed by x / |x|: the error falls as step^5. `drift` is a
    TorchField, or a function of a time and tokens, such as one with a control added. InputError for times that do not
    increase, and for a step that is not positive.

    >>> import torch
    >>> from spinodal import flows
    >>> x = torch.eye(3, dtype=torch.float64)
    >>> beta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    >>> path = flows.torch_flow(flows.TorchField(beta), x, [0.0, 1.0, 2.0])
    >>> (path[:, 0] * path[:, 1]).sum(-1).detach().numpy().round(5).tolist()
    [0.0, 0.52368, 0.89477]
    >>> torch.autograd.grad(path[1, 0] @ path[1, 1], beta)[0].item() < 0
    True
    """
    clock = [float(time) for time in times]
    if not clock or not all(a < b for a, b in pairwise(clock)) or not math.isfinite(sum(clock)):
        raise InputError(f"`times` {clock}: increasing times are needed", field="times")
    if not 0 < step < math.inf:
        raise InputError(f"`step` {step:g}: must be positive", field="step")
    require_at_most(STEPS, (clock[-1] - clock[0]) / step, "steps", ("times", "step"))
    x, path = start, [start]
    for begin, end in pairwise(clock):
        count = max(1, math.ceil((end - begin) / step - 1e-9))
        h = (end - begin) / count
        for i in range(count):
            x = runge_kutta_step(drift, begin + i * h, x, h)
        path.append(x)
    return torch.stack(path)


def runge_kutta_step(drift: Callable[[float, Tensor], Tensor], time: float, x: Tensor, h: float) -> Tensor:
    """x(t + h) by one step of order five, normalised to the sphere."""
    rates: list[Tensor] = []
    y = x
    for row in DORMAND_PRINCE.A.tolist():
        y = x + h * sum((a * k for a, k in zip(row, rates, strict=False) if a), torch.zeros_like(x))
        if len(rates) < len(DORMAND_PRINCE.A) - 1:
            rates.append(drift(time + h * sum(row), y))
    return y / y.norm(dim=-1, keepdim=True)
