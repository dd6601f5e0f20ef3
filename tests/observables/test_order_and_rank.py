"""Order parameters, effective rank and span: closed forms and symmetry."""

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.observables import effective_rank, order_parameters, span_coordinates
from spinodal.types import Trajectory


def run_of(x):
    return Trajectory(
        torch.arange(len(x), dtype=torch.float64), x, torch.ones(x.shape[1:3], dtype=torch.bool)
    )


def test_order_parameters_of_equally_spaced_tokens():
    """|mean e^{ik theta}| is one where n divides k, else zero; rotation and length change nothing."""
    theta = 2 * np.pi * torch.arange(5, dtype=torch.float64) / 5 + 0.3
    x = 2 * torch.stack([theta.cos(), theta.sin()], -1)[None, None]
    R = order_parameters(run_of(x), 10)[0, 0]
    np.testing.assert_allclose(R, [0, 0, 0, 0, 1] * 2, atol=1e-14)


def test_order_parameters_with_weights():
    rng = np.random.default_rng(0)
    theta, w = rng.uniform(0, 6, (3, 2, 7)), rng.uniform(1, 2, (2, 7))
    x = torch.tensor(np.stack([np.cos(theta), np.sin(theta)], -1))
    R = order_parameters(run_of(x), 3, weights=torch.tensor(w))
    for k in (1, 2, 3):
        naive = np.abs((w * np.exp(1j * k * theta)).sum(-1) / w.sum(-1))
        np.testing.assert_allclose(R[..., k - 1], naive, rtol=1e-12)
    with pytest.raises(InputError, match="d = 3"):
        order_parameters(run_of(torch.ones(1, 1, 2, 3)), 1)
    with pytest.raises(InputError, match="`modes` 0"):
        order_parameters(run_of(x), 0)


@pytest.mark.parametrize(("n", "d"), [(4, 9), (9, 4)])
def test_effective_rank_is_the_entropy_of_squared_singular_values(n, d):
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=(2, 3, n, d)), rng.uniform(1, 2, (3, n))
    rank = effective_rank(run_of(torch.tensor(x)), weights=torch.tensor(w))
    centred = effective_rank(run_of(torch.tensor(x)), weights=torch.tensor(w), centred=True)
    for t in range(2):
        for b in range(3):
            mean = (w[b, :, None] * x[t, b]).sum(0) / w[b].sum()
            for found, y in ((rank, x[t, b]), (centred, x[t, b] - mean)):
                p = np.linalg.svd(np.sqrt(w[b])[:, None] * y, compute_uv=False) ** 2
                p = p[p > 1e-14 * p.sum()] / p.sum()
                assert found[t, b].item() == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-10)


def test_effective_rank_of_known_sets():
    clusters = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    three = torch.stack([torch.eye(6), clusters.repeat(1, 2) / 2**0.5, torch.ones(6, 6)])[:, None]
    torch.testing.assert_close(effective_rank(run_of(three))[:, 0], torch.tensor([6.0, 3, 1]).double())
    assert effective_rank(run_of(three), centred=True)[2, 0] == 1  # one point, no spread
    padded = run_of(three)._replace(valid=torch.arange(6)[None] < 2)
    torch.testing.assert_close(effective_rank(padded)[:, 0], torch.tensor([2.0, 1, 1]).double())


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 5), (3, 3), (1, 7)])
def test_span_is_an_isometry(n, d):
    x = torch.tensor(np.random.default_rng(d).normal(size=(2, n, d)))
    y, B = span_coordinates(x)
    assert y.shape[-1] == min(n, d)
    torch.testing.assert_close(y @ B, x)
    torch.testing.assert_close(y @ y.mT, x @ x.mT)
    torch.testing.assert_close(B @ B.mT, torch.eye(min(n, d)).double().expand(2, -1, -1))


def test_span_of_dependent_tokens():
    x = torch.ones(3, 8, dtype=torch.float64)
    y, B = span_coordinates(x)
    torch.testing.assert_close(y @ B, x)
    assert y.isfinite().all()
