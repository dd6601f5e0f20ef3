r"""The derivative of the phase fractions, by the implicit function theorem.

At a solution g_j(z, K, L) = sum_i z_i D_ij / u_i = 0 for every phase present, with D_ij = A_ij - A_ir the difference to
the largest phase r. As dg/dL = -H, with H the Hessian of the flash in these differences, dL = H^-1 dg, the change of g
at fixed L.
"""

import torch
from torch import Tensor

SINGULAR = 1e-14  # an eigenvalue of H, relative to its diagonal


class ImplicitFractions(torch.autograd.Function):
    """L as a differentiable function of z and A: H dL = dg at fixed L, over the phases present, as g_j = 0.

    `forward` returns the solution L [b p] that it is given. A [b n p] are the partition factors of all
    phases, u [b n] the dilutions at L, with digits that sum_j L_j A_ij may lack. The backward pass is
    differentiable too.
    """

    @staticmethod
    def forward(ctx, z: Tensor, A: Tensor, L: Tensor, u: Tensor, present: Tensor) -> Tensor:
        L = L.clone()
        ctx.save_for_backward(z, A, L, u, present)
        return L

    @staticmethod
    def backward(ctx, grad):
        z, A, L, exact, present = ctx.saved_tensors
        u = torch.einsum("bnp,bp->bn", A, L)
        exact = torch.where(z > 0, exact, torch.where(u == 0, 1.0, u))
        u = (u + (exact - u).detach()).unsqueeze(-1)
        r = L.argmax(-1, keepdim=True)
        free = present.scatter(-1, r, 0.0)
        w = (A - A.gather(-1, r.unsqueeze(1).expand(*A.shape[:2], 1))) / u * free.unsqueeze(1)
        H = (z.unsqueeze(-1) * w).mT @ w
        diagonal = H.diagonal(dim1=-2, dim2=-1)
        scale = torch.where(diagonal > 0, diagonal, 1.0).rsqrt()
        inverse = torch.linalg.pinv(
            scale.unsqueeze(-1) * H * scale.unsqueeze(-2), rtol=SINGULAR, hermitian=True
        )
        v = scale * torch.einsum("bpq,bq->bp", inverse, scale * free * (grad - grad.gather(-1, r)))
        grad_z = torch.einsum("bnp,bp->bn", w, v).unsqueeze(-1)
        v = v.scatter(-1, r, -v.sum(-1, keepdim=True))
        grad_A = z.unsqueeze(-1) / u * (v.unsqueeze(1) - grad_z * L.unsqueeze(1))
        return grad_z.squeeze(-1), grad_A, None, None, None
