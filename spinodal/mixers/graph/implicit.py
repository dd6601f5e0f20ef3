r"""Gradients at an equilibrium, without the steps that led to it.

    g(x) = -D^-1 grad E = 0   =>   dx = -(dg/dx)^-1 dg = H^-1 D dg,    H = -D dg/dx, the Hessian of E

H is symmetric, and positive definite where the energy is convex, so H z = grad is solved by conjugate
gradients, every product with H one backward pass through g: H z = -(dg/dx)^T D z. Preconditioned by
M = D (1 + rho), whose ratio to H lies between min rho / (1 + rho) and 2, it takes some ten of them.
Channels share a graph and do not couple: each has a system, and steps, of its own.

    symbol  meaning                        shape
    x       equilibrium                    b h n c
    d       degrees, up to a factor        b h n 1
    rho     anchors                        b h n 1
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import ConvergenceError

ITERATIONS = 200
TINY = 1e-300

Force = Callable[[Float[Tensor, "b h n c"]], Float[Tensor, "b h n c"]]


def implicit_equilibrium(
    force: Force,
    x: Float[Tensor, "b h n c"],
    log_degree: Float[Tensor, "b h n 1"],
    rho: Float[Tensor, "b h n 1"],
    *,
    tolerance: float,
) -> Float[Tensor, "b h n c"]:
    """x with grad E(x) = 0, and its derivative dx = H^-1 D dg with H = -D dg/dx, g = -D^-1 grad E, D the degrees.

    `force` is g with the parameters that gradients are wanted of, dg its change with them at fixed x. The backward pass
    solves with H by conjugate gradients; ConvergenceError there if they do not reach the tolerance.
    """
    d = (log_degree - log_degree.amax(2, keepdim=True)).exp()
    rho = rho.detach()

    def solve_adjoint(grad: Tensor) -> Tensor:
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            g = force(at)
        hessian = lambda z: -torch.autograd.grad(g, at, d * z, retain_graph=True)[0]
        return d * conjugate_gradients(hessian, grad, d * (1 + rho), tolerance=tolerance)

    g = force(x.detach())
    g.register_hook(solve_adjoint)
    return x.detach() + g - g.detach()


def conjugate_gradients(
    H: Force, b: Float[Tensor, "b h n c"], M: Float[Tensor, "b h n 1"], *, tolerance: float
) -> Float[Tensor, "b h n c"]:
    """z with H z = b for each channel, to |b - H z| <= tolerance |b| in M^-1.

    M is the diagonal preconditioner. ConvergenceError where ITERATIONS do not reach it.
    """
    z, r = torch.zeros_like(b), b
    p = s = r / M
    size = start = (r * s).sum(2, keepdim=True)
    for _ in range(ITERATIONS):
        if (size <= tolerance**2 * start).all():
            return z
        Hp = H(p)
        alpha = size / (p * Hp).sum(2, keepdim=True).clamp(min=TINY)
        z, r = z + alpha * p, r - alpha * Hp
        s = r / M
        last, size = size, (r * s).sum(2, keepdim=True)
        p = s + size / last.clamp(min=TINY) * p
    worst = float((size / start.clamp(min=TINY)).sqrt().max())
    raise ConvergenceError(
        f"implicit gradients: {ITERATIONS} conjugate gradients leave a relative residual of {worst:.2g}, above "
        f"{tolerance:g}; take larger anchors or a larger tolerance"
    )
