r"""How far a trainable partition is from equilibrium, as scalars for the training loss.

    F_j = mean_i z_i (K_ij - 1) / u_i         the phase function [qajar2024, eq. 8a]
    spread = sd_i log K_ij                    tells a solution from the collapse K = 1

F alone cannot: K = 1 solves every Rachford-Rice equation and splits nothing. Components carry
the weight 1/n (a mean where the paper has a sum), so that one tolerance serves every context.

    symbol  meaning                                            shape
    z       compositions, one mixture a row                    *c i
    k       log K, reference phase left out                    *c q i
    L       phase fractions, reference last                    *#c p
    mask    which components are there, None for all of them   *#c #i
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-6  # keeps the root mean square differentiable at equilibrium


def mean(x: Float[Tensor, "*c i"], mask: Bool[Tensor, "*#c #i"] | None) -> Float[Tensor, "*c"]:
    """The mean over the components that are there; 0 where there is none."""
    if mask is None:
        return x.mean(-1)
    mask = mask.expand_as(x)
    return x.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


def root_mean_square(x: Float[Tensor, "*c k"], mask: Bool[Tensor, "*#c #i"] | None) -> Float[Tensor, ""]:
    """sqrt(mean x^2 + eps^2) - eps, the mean over all mixtures with a component  [qajar2024, eq. 10g]."""
    square = x.square().mean(-1).flatten()
    present = None if mask is None else mask.any(-1).expand(x.shape[:-1]).flatten()
    return (mean(square, present) + EPSILON**2).sqrt() - EPSILON


def spread(k: Float[Tensor, "*c q i"], mask: Bool[Tensor, "*#c #i"] | None) -> Float[Tensor, ""]:
    """The standard deviation of log K over components, root mean square over phases and mixtures."""
    with torch.no_grad():
        each = None if mask is None else mask.unsqueeze(-2)
        variance = mean((k - mean(k, each).unsqueeze(-1)).square(), each)
        return root_mean_square(variance.sqrt(), mask)


def phase_functions(
    z: Float[Tensor, "*c i"],
    k: Float[Tensor, "*c q i"],
    L: Float[Tensor, "*#c p"],
    mask: Bool[Tensor, "*#c #i"] | None,
) -> Float[Tensor, "*c q"]:
    """F_j = load_j / L_j - load_P / L_P, load_j = mean_i z_i r_ij, r = softmax_j(log L_j + k_j).

    The same as eq. 8a with K = e^k; no phase is formed and no K overflows.
    """
    r = (functional.pad(k, (0, 0, 0, 1)) + L.log().unsqueeze(-1)).softmax(dim=-2)
    each = None if mask is None else mask.unsqueeze(-2)
    load = mean(z.unsqueeze(-2) * r, each) / L
    return load[..., :-1] - load[..., -1:]


def phase_residuals(
    z: Float[Tensor, "*c i"],
    k: Float[Tensor, "*c q i"],
    L: Float[Tensor, "*#c p"],
    mask: Bool[Tensor, "*#c #i"] | None,
) -> dict[str, Float[Tensor, ""]]:
    """{"F": RMS of the phase functions, "spread": of log K}, each a scalar >= 0."""
    return {"F": root_mean_square(phase_functions(z, k, L, mask), mask), "spread": spread(k, mask)}
