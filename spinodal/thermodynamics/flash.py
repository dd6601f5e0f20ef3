r"""Flash: how one composition splits into phases, as equations; `solvers` finds their roots.

Every component i obeys x_ij = K_ij x_iP between phase j and the reference phase P, and the
phases together hold the feed, sum_j L_j x_ij = z_i. Eliminating x leaves the Rachford--Rice
equations for the phase fractions L, minus the gradient of Q(L) = -sum_i z_i log u_i, which
is convex where z >= 0. With K_iP = 1, u_i = sum_j L_j K_ij over all P phases: Q is the
negative log-likelihood of a mixture of P given phases, and balance is where prior and posterior agree.

    symbol  meaning                                         shape     [qajar2024]
    z       composition of the feed                         *b n      z_i, z-hat_i
    K       partition factors to the reference phase        *b n q    K_ij (9b), q = P - 1
    L       fractions of the q phases but the reference     *b q      L_j (8a)
    u       dilution of each component                      *b n      u_i (8b)
    F       imbalance of each phase                         *b q      F_j (8a)
    x       compositions of all phases, the reference last  *b n p    x_ij (9)

Everything here takes any sign and any floating type, broadcasts over leading dimensions
and never waits for the device.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError


def require_same_axes(z: Tensor, K: Tensor, L: Tensor | None = None) -> None:
    """Raises InputError unless z [..., n], K [..., n, q] and L [..., q] fit; einsum would broadcast a 1."""
    if z.ndim < 1 or K.ndim < 2 or K.shape[-2] != z.shape[-1] or 0 in (z.shape[-1], K.shape[-1]):
        raise InputError(
            f"z {tuple(z.shape)} and K {tuple(K.shape)} do not fit: need z [..., n], K [..., n, q]"
        )
    if L is not None and (L.ndim < 1 or L.shape[-1] != K.shape[-1]):
        raise InputError(
            f"K {tuple(K.shape)} and L {tuple(L.shape)} do not fit: need K [..., n, q], L [..., q]"
        )


def dilution(K: Float[Tensor, "*#b n q"], L: Float[Tensor, "*#b q"]) -> Float[Tensor, "*#b n"]:
    """u_i = 1 + sum_j L_j (K_ij - 1)  [qajar2024, eq. 8b].

    How much less of component i there is in the reference phase than in the whole, for partition factors K [*b n q] and
    fractions L [*b q]; above 0 for K > 0 and L on the simplex.
    """
    # as (1 - sum L) + K . L, since K - 1 would forget a small K
    return 1 - L.sum(-1, keepdim=True) + torch.einsum("...nq,...q->...n", K, L)


def factors_of_phases(K: Float[Tensor, "*b n q"], *, finite: bool = False) -> Float[Tensor, "*b n p"]:
    """A_ij = K_ij, and 1 for the reference phase; where some K_ij is infinite 1 there and 0 in the others.

    The partition factors of all phases, in proportion to their compositions, x_ij ~ A_ij; a row with an
    infinite K_ij is the limit where the reference phase lacks the component. `finite` says that no K_ij is
    infinite.
    """
    if finite:
        return torch.nn.functional.pad(K, (0, 1), value=1.0)
    infinite = K.isposinf()
    alone = infinite.any(-1, keepdim=True)
    return torch.cat([torch.where(alone, infinite.to(K.dtype), K), (~alone).to(K.dtype)], -1)


def _dilution(A: Tensor, L: Tensor) -> Tensor:
    """u_i = sum_j L_j A_ij over all phases, with 1 - sum_j L_j for the reference phase."""
    rest = 1 - L.sum(-1, keepdim=True)
    return rest * A[..., -1] + torch.einsum("...nq,...q->...n", A[..., :-1], L)


def rachford_rice(
    z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], L: Float[Tensor, "*#b q"]
) -> Float[Tensor, "*#b q"]:
    """F_j = sum_i z_i (K_ij - 1) / u_i  [qajar2024, eq. 8a; rachford1952].

    The imbalance of every phase against the reference phase: zero at the phase fractions L of equilibrium. It is
    infinite where some u_i = 0, which signed compositions and independent fractions can reach.
    """
    require_same_axes(z, K, L)
    A = factors_of_phases(K)
    return torch.einsum("...n,...nq->...q", z / _dilution(A, L), A[..., :-1] - A[..., -1:])


def phase_compositions(
    z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], L: Float[Tensor, "*#b q"]
) -> Float[Tensor, "*#b n p"]:
    """x_iP = z_i / u_i and x_ij = K_ij x_iP, the reference phase last  [qajar2024, eq. 9].

    sum_j L_j x_ij = z_i for any L whose P fractions sum to one; sum_i x_ij = sum_i z_i at balance only.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z, K, L = torch.tensor([0.5, 0.5]), torch.tensor([[2.0], [0.5]]), torch.tensor([0.5])
    >>> thermodynamics.phase_compositions(z, K, L).T
    tensor([[0.6667, 0.3333],
            [0.3333, 0.6667]])
    """
    require_same_axes(z, K, L)
    A = factors_of_phases(K)
    return A * (z / _dilution(A, L)).unsqueeze(-1)


def enrichment(log_K: Float[Tensor, "*#b n q"], L: Float[Tensor, "*#b p"]) -> Float[Tensor, "*#b n p"]:
    """x_ij / z_i = K_ij / u_i from log K and all P fractions, the reference last  [derived, from qajar2024, eq. 9].

    The factor by which phase j is richer in component i than the whole, computed from log K so that none overflows.
    """
    k = torch.nn.functional.pad(log_K, (0, 1))
    e = torch.where(k == torch.inf, 0.0, k - k.amax(-1, keepdim=True).detach()).exp()
    return e / torch.einsum("...np,...p->...n", e, L).unsqueeze(-1)


def root_mean_square(F: Float[Tensor, "*b q"], *, eps: float = 1e-8) -> Float[Tensor, "*b"]:
    """RMS(F) = sqrt(mean_j F_j^2 + eps^2) - eps  [qajar2024, eq. 10g; eps derived].

    One number for the imbalance of all phases; it is 0 at F = 0, and so is its gradient, which without eps is undefined
    there.
    """
    mean = F.square().mean(-1)
    return mean / ((mean + eps**2).sqrt() + eps)


def bound_violation(L: Float[Tensor, "*b q"]) -> Float[Tensor, "*b q"]:
    """max(-L_j, 0) + max(L_j - 1, 0)  [qajar2024, eq. 10b].

    How far each phase fraction is outside [0, 1].
    """
    return torch.relu(-L) + torch.relu(L - 1)


def fraction_excess(L: Float[Tensor, "*b q"]) -> Float[Tensor, "*b"]:
    """h = sum_j L_j - 1 <= 0  [qajar2024, eq. 10c].

    How far the fractions of the phases other than the reference exceed one; h = -L_P, the reference's own fraction.
    """
    return L.sum(-1) - 1
