r"""The derivative of the phase fractions, by the implicit function theorem.

At a solution c_j(z, K, L) = sum_i z_i K_ij / u_i = 1 for every phase present. As dc/dL = -H, with H the Hessian of
the flash, dL = H^-1 dc, the change of c taken at held L.
"""

import torch
from torch import Tensor

SINGULAR = 1e-14  # a pivot or an eigenvalue of H, relative to its diagonal


class ImplicitFractions(torch.autograd.Function):
    """H dL = dc at held L, over the phases present: the implicit function theorem for c_j = 1.

    The backward pass is made of differentiable steps on its own output, so it can be derived again.
    """

    @staticmethod
    def forward(ctx, z: Tensor, K: Tensor, L: Tensor, present: Tensor) -> Tensor:
        L = L.clone()
        ctx.save_for_backward(z, K, L, present)
        return L

    @staticmethod
    def backward(ctx, grad):
        z, K, L, present = ctx.saved_tensors
        A = torch.nn.functional.pad(K, (0, 1), value=1.0)
        u = torch.einsum("bnp,bp->bn", A, L).unsqueeze(-1)
        w = A / u * present.unsqueeze(1)
        H = (z.unsqueeze(-1) * w).mT @ w
        scale = (H.diagonal(dim1=-2, dim2=-1) + 1 - present).rsqrt()
        inverse = torch.linalg.pinv(
            scale.unsqueeze(-1) * H * scale.unsqueeze(-2), rtol=SINGULAR, hermitian=True
        )
        v = scale * torch.einsum("bpq,bq->bp", inverse, scale * grad)
        grad_z = torch.einsum("bnp,bp->bn", w, v).unsqueeze(-1)
        grad_K = z.unsqueeze(-1) / u * (v.unsqueeze(1) - grad_z * L.unsqueeze(1))[..., :-1]
        return grad_z.squeeze(-1), grad_K, None, None
