r"""How far a trainable partition is from equilibrium, as scalars for the training loss.

    F_j = mean_i z_i (K_ij - 1) / u_i         the phase function [qajar2024, eq. 8a]
    spread = sd_i log K_ij                    tells a solution from the collapse K = 1

F alone cannot: K = 1 solves every Rachford-Rice equation and splits nothing. Components carry
the weight 1/n (a mean where the paper has a sum), so that one tolerance serves every context.

    symbol  meaning                                            shape
    z       compositions, one mixture a row                    *c i
    k       log K, reference phase left out                    *c i q
    L       phase fractions, reference last                    *#c p
    mask    which components are there, None for all of them   *#c #i
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal import thermodynamics
from spinodal.mixers.ops.precision import at_least_float32, full_precision
from spinodal.types import Mixed


def weights(z: Float[Tensor, "*c i"], mask: Bool[Tensor, "*#c #i"] | None) -> Float[Tensor, "*#c i"]:
    """1/n for each of the n components that are there, 0 for the others."""
    if mask is None:
        return z.new_full((z.shape[-1],), 1 / z.shape[-1])
    there = mask.expand(*mask.shape[:-1], z.shape[-1]).to(z.dtype)
    return there / there.sum(-1, keepdim=True).clamp(min=1)


def root_mean_square(x: Float[Tensor, "*c k"], mask: Bool[Tensor, "*#c #i"] | None) -> Float[Tensor, ""]:
    """RMS over the entries of all mixtures that have a component  [qajar2024, eq. 10g]."""
    if mask is not None:
        x = x[mask.any(-1).expand(x.shape[:-1])]
    return thermodynamics.root_mean_square(x.flatten())


def spread(
    k: Float[Tensor, "*c i q"], weight: Float[Tensor, "*#c i"], mask: Bool[Tensor, "*#c #i"] | None
) -> Float[Tensor, ""]:
    """The standard deviation of log K over components, root mean square over phases and mixtures."""
    with torch.no_grad():
        centred = k - torch.einsum("...iq,...i->...q", k, weight).unsqueeze(-2)
        variance = torch.einsum("...iq,...i->...q", centred.square(), weight)
        return root_mean_square(variance.sqrt(), mask)


def report(tokens: Float[Tensor, "b n d"], found: dict[str, Float[Tensor, ""]]) -> Mixed:
    """Mixed(tokens, residuals, measures) of the numbers `found`: "spread" a measure, the others residuals."""
    measures = {"spread": found["spread"]} if found else {}
    return Mixed(tokens, {name: value for name, value in found.items() if name not in measures}, measures)


def phase_residuals(
    z: Float[Tensor, "*c i"],
    k: Float[Tensor, "*c i q"],
    L: Float[Tensor, "*#c p"],
    mask: Bool[Tensor, "*#c #i"] | None,
) -> dict[str, Float[Tensor, ""]]:
    """{"F": RMS of the phase functions, "spread": of log K}, each a scalar >= 0 in float32 at least.

    F_j = <z, e_j - e_P> with the enrichment e = K / u, so no K overflows.
    """
    z, k, L = at_least_float32(z, k, L)
    weight = weights(z, mask)
    with full_precision(z):
        held = torch.einsum("...i,...ip->...p", z * weight, thermodynamics.enrichment(k, L))
        F = held[..., :-1] - held[..., -1:]
        return {"F": root_mean_square(F, mask), "spread": spread(k, weight, mask)}
