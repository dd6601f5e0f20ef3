r"""Order: moments on the circle, the dimension that tokens use, and coordinates in their span."""

from numbers import Integral

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import entr
from torch import Tensor

from spinodal.errors import InputError, require_type
from spinodal.observables.entry import Observable, Scales
from spinodal.observables.frames import directions, frames, observes, shares
from spinodal.types import Trajectory


@observes
def order_parameters(
    trajectory: Trajectory, modes: int, *, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b k"]:
    """R_k = |sum_j w_j e^{i k theta_j}|, k = 1, ..., `modes`, of tokens in the plane; w sums to one."""
    if trajectory.tokens.shape[-1] != 2:
        raise InputError(
            f"d = {trajectory.tokens.shape[-1]}: order parameters are those of the circle, d = 2"
        )
    require_type("modes", modes, Integral)
    if modes < 1:
        raise InputError(f"`modes` {modes}: at least 1 is needed", field="modes")
    w = shares(trajectory, weights).to(torch.complex128)
    found = []
    for x in directions(trajectory):
        z = torch.view_as_complex(x.contiguous())
        power, moments = torch.ones_like(z), []
        for _ in range(modes):
            power = power * z
            moments.append((w * power).sum(-1).abs())
        found.append(torch.stack(moments, dim=-1))
    return torch.stack(found)


@observes
def effective_rank(
    trajectory: Trajectory, *, centred: bool = False, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """exp(-sum_k p_k log p_k), p the eigenvalues of sum_j w_j x_j x_j^T over their sum  [derived].

    The exponential of the entropy of second moments, squared singular values as of a density matrix; Roy and
    Vetterli's effective rank takes singular values. `centred` subtracts the mean, so that p is of the
    covariance. The result is 1 where all tokens are parallel or, centred, the same.
    """
    w = shares(trajectory, weights)
    found = []
    for x in frames(trajectory):
        rounding = 1e-28 * torch.einsum("bn,bnd->b", w, x.square())[:, None]
        if centred:
            x = x - torch.einsum("bn,bnd->bd", w, x)[:, None]
        y = w.sqrt()[..., None] * x
        # the smaller of the two matrices with the same spectrum
        power = torch.linalg.eigvalsh(y @ y.mT if y.shape[1] < y.shape[2] else y.mT @ y).clamp(min=0)
        total = power.sum(-1, keepdim=True)
        p = power / total.masked_fill(total <= rounding, torch.inf)
        found.append(torch.special.entr(p).sum(-1).exp())
    return torch.stack(found)


def span_coordinates(
    tokens: Float[Tensor, "*b n d"],
) -> tuple[Float[Tensor, "*b n k"], Float[Tensor, "*b k d"]]:
    """y and orthonormal rows B with tokens = y B, k = min(n, d): an isometry of the span  [glpr2023].

    With Q = K = V = I only inner products matter: the flow of y is that of the tokens, in n dimensions.
    """
    n, d = tokens.shape[-2:]
    if n >= d:
        return tokens, torch.eye(d, dtype=tokens.dtype, device=tokens.device).expand(*tokens.shape[:-2], d, d)
    Q, R = torch.linalg.qr(tokens.mT)
    return R.mT, Q.mT


@observes
def polarisation(trajectory: Trajectory) -> Float[Tensor, "t b"]:
    """|(1/n) sum_i x_i|, x unit directions: 1 where all tokens agree, near n^(-1/2) where they are uniform.

    On the circle this is Kuramoto's r, and R_1 of `order_parameters`.
    """
    w = shares(trajectory, None)
    return torch.stack([torch.einsum("bn,bnd->bd", w, x).norm(dim=-1) for x in directions(trajectory)])


def rank_of_directions(trajectory: Trajectory, scales: Scales) -> Float[Tensor, "t b"]:
    """`effective_rank` of unit directions, so that no length enters."""
    unit = torch.stack(list(directions(trajectory)))
    return effective_rank(trajectory._replace(tokens=unit))


def equiangular_rank(g: Float[np.ndarray, " t"], n: int, scales: Scales) -> Float[np.ndarray, " t"]:
    """exp of the entropy of eigenvalues (1 + (n-1) g) / n, once, and (1 - g) / n, n - 1 times  [derived]."""
    return np.exp(entr((1 + (n - 1) * g) / n) + (n - 1) * entr((1 - g) / n))


EFFECTIVE_RANK = Observable(
    "effective_rank",
    "effective rank: directions that tokens use",
    "Falling towards 1: the tokens use fewer and fewer directions.",
    values=rank_of_directions,
    equiangular=equiangular_rank,
)
POLARISATION = Observable(
    "polarisation",
    "polarisation, Kuramoto's r: length of the mean direction",
    "Rising towards 1: tokens agree on one direction.",
    values=lambda trajectory, scales: polarisation(trajectory),
    equiangular=lambda g, n, scales: np.sqrt((1 + (n - 1) * g) / n),
)
