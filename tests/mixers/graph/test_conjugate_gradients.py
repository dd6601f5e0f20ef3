"""Conjugate gradients stop at their tolerance: not above it, and not later than they need."""

import pytest
import torch

from spinodal.errors import ConvergenceError
from spinodal.mixers.graph.implicit import conjugate_gradients


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6, 1e-10])
def test_they_take_the_fewest_steps_that_reach_the_tolerance(tolerance: float):
    """|b - H z| <= tolerance |b| in the norm of M^-1, and one product with H less does not reach it."""
    generator = torch.Generator().manual_seed(0)
    n = 12
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    matrix = root @ root.T / n + torch.eye(n, dtype=torch.float64)
    M = torch.rand(1, 1, n, 1, generator=generator, dtype=torch.float64) + 0.5
    b = torch.randn(1, 1, n, 1, generator=generator, dtype=torch.float64)
    products: list[torch.Tensor] = []

    def product(z: torch.Tensor) -> torch.Tensor:
        products.append(z)
        return matrix @ z

    def residual(z: torch.Tensor) -> float:
        r = b - matrix @ z
        return float(((r * r / M).sum() / (b * b / M).sum()).sqrt())

    z = conjugate_gradients(product, b, M, tolerance=tolerance)
    taken = len(products)
    assert residual(z) <= tolerance * (1 + 1e-6)
    # the best of the Krylov space of one product less is still above the tolerance
    powers = [b / M]
    for _ in range(taken - 2):
        powers.append(matrix @ powers[-1] / M)
    basis = torch.linalg.qr(torch.stack([p.flatten() for p in powers], 1)).Q
    energy = basis.T @ matrix @ basis
    before = basis @ torch.linalg.solve(energy, basis.T @ b.flatten())
    assert residual(before.view_as(b)) > tolerance


def test_a_tolerance_that_is_not_reached_is_named():
    flat = torch.ones(1, 1, 3, 1, dtype=torch.float64)
    with pytest.raises(ConvergenceError, match=r"above 1e-05"):
        conjugate_gradients(lambda z: z * torch.nan, flat, flat, tolerance=1e-5)
