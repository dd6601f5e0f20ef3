"""Energy and dissipation against sums written out, the derivative of a flow, and the ends of double precision."""

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.observables import frames, log_dissipation_sa, log_dissipation_usa, log_energy
from spinodal.types import Trajectory

BETA = 3.0


def run_of(x, *, times=None):
    x = torch.as_tensor(x, dtype=torch.float64)
    times = torch.arange(len(x), dtype=torch.float64) if times is None else times
    return Trajectory(times, x, torch.ones(x.shape[1:3], dtype=torch.bool))


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


@pytest.fixture
def example():
    rng = np.random.default_rng(1)
    x = unit(torch.tensor(rng.normal(size=(2, 3, 9, 4))))
    weights = torch.tensor(rng.uniform(0.1, 1, size=(3, 9)))
    valid = torch.ones(3, 9, dtype=torch.bool)
    valid[1, 6:] = False
    return Trajectory(torch.arange(2.0), x, valid), weights


def naive(x, w):
    """E with its gradient, and the fields of USA and SA, by autograd and dense matrices."""
    w = w / w.sum()
    x = x.clone().requires_grad_()
    E = (w[:, None] * w * torch.exp(BETA * x @ x.T)).sum() / (2 * BETA)
    (slope,) = torch.autograd.grad(E, x)
    x = x.detach()
    force = slope / w[:, None]
    usa = force - (force * x).sum(-1, keepdim=True) * x
    Z = torch.exp(BETA * x @ x.T) @ w
    return E.item(), (slope * usa).sum().item(), (slope * usa / Z[:, None]).sum().item()


def test_against_the_sums_and_the_gradient(example):
    run, weights = example
    found = [
        f(run, BETA, weights=weights).exp() for f in (log_energy, log_dissipation_usa, log_dissipation_sa)
    ]
    for t in range(2):
        for b in range(3):
            keep = run.valid[b]
            expected = naive(run.tokens[t, b][keep], weights[b][keep])
            assert [f[t, b].item() for f in found] == pytest.approx(expected, rel=1e-12)


def test_blocks_do_not_show(example, monkeypatch):
    run, weights = example
    for measure in (log_energy, log_dissipation_usa, log_dissipation_sa):
        whole = measure(run, BETA, weights=weights)
        for size in (1, 60, 800):
            monkeypatch.setattr(frames, "BLOCK", size)
            torch.testing.assert_close(measure(run, BETA, weights=weights), whole, rtol=1e-13, atol=0)
        monkeypatch.undo()


def test_weights_are_tokens_written_out(example):
    run, _ = example
    run = run._replace(tokens=run.tokens[:, :1], valid=run.valid[:1])
    c = torch.tensor([[1, 3, 1, 2, 1, 1, 4, 1, 1]])
    written = run_of(torch.repeat_interleave(run.tokens, c[0], dim=2), times=run.times)
    for measure in (log_energy, log_dissipation_usa, log_dissipation_sa):
        torch.testing.assert_close(measure(run, BETA, weights=0.1 * c), measure(written, BETA))


@pytest.mark.parametrize(
    ("dissipation", "softmax"), [(log_dissipation_usa, False), (log_dissipation_sa, True)]
)
def test_dissipation_is_the_growth_of_the_energy(dissipation, softmax):
    """dE/dt along the flow, by central differences of fourth order around a point of it."""
    x = unit(torch.tensor(np.random.default_rng(2).normal(size=(12, 3))))

    def velocity(x):
        W = torch.exp(BETA * x @ x.T)
        m = (W / W.sum(1, keepdim=True) if softmax else W / len(x)) @ x
        return m - (m * x).sum(-1, keepdim=True) * x

    h = 1e-3
    v = velocity(x)
    steps = torch.tensor([-2, -1, 1, 2], dtype=torch.float64)[:, None, None] * h
    path = unit(x + steps * v)  # the energy's first derivative needs the path's only
    E = log_energy(run_of(path[:, None]), BETA).exp()[:, 0]
    slope = (E[0] - 8 * E[1] + 8 * E[2] - E[3]) / (12 * h)
    assert slope.item() == pytest.approx(dissipation(run_of(x[None, None]), BETA).exp().item(), rel=1e-8)


def test_log_domain_has_no_ends():
    """Two clusters at a right angle, beta = 4000: E and its growth are e^{+-4000}, and log dE/dt is exact."""
    beta, angle = 4000.0, 1.2
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [np.cos(angle), np.sin(angle)]], dtype=torch.float64)
    run = run_of(x[None, None])
    level = 4 / 9 + 1 / 9 + 4 / 9 * np.exp(beta * (np.cos(angle) - 1))
    assert (log_energy(run, beta) + np.log(2 * beta) - beta).exp().item() == pytest.approx(level, rel=1e-12)
    # |X_1|^2 = (e^{beta c} sin / 3)^2 for each of two, (2 ...)^2 for the third
    log_usa = 2 * (beta * np.cos(angle) + np.log(np.sin(angle) / 3)) + np.log(2 / 3 + 4 / 3)
    assert log_dissipation_usa(run, beta).item() == pytest.approx(log_usa, rel=1e-14)
    log_sa = 2 * (beta * np.cos(angle) + np.log(np.sin(angle) / 3)) - beta + np.log(2 / 3 * 3 / 2 + 4 / 3 * 3)
    assert log_dissipation_sa(run, beta).item() == pytest.approx(log_sa, rel=1e-14)


def test_close_tokens_keep_their_digits():
    """At distance u = 1e-9 the force is u e^beta / 2 to nine digits; softmax minus projection has none."""
    u = 1e-9
    x = torch.tensor([[1.0, 0.0], [np.cos(u), np.sin(u)]], dtype=torch.float64)
    assert log_dissipation_usa(run_of(x[None, None]), 25.0).item() == pytest.approx(
        2 * np.log(u / 2) + 2 * 25.0, abs=1e-12
    )


def test_bounds_of_the_energy():
    n, beta = 400, 2.0
    theta = torch.arange(n, dtype=torch.float64) * (2 * np.pi / n)
    circle = torch.stack([theta.cos(), theta.sin()], -1)
    run = run_of(torch.stack([circle, circle[:1].expand(n, 2)])[:, None])
    low, high = log_energy(run, beta)[:, 0].tolist()
    assert low == pytest.approx(np.log(np.i0(beta) / (2 * beta)), rel=1e-12)
    assert high == pytest.approx(beta - np.log(2 * beta), rel=1e-12)
    rest = log_dissipation_usa(run, beta)[:, 0]
    assert rest[0] < -60  # equal spacing is at rest to rounding
    assert rest[1] == -torch.inf


def test_degenerate_input():
    one = run_of(torch.tensor([1.0, 0.0])[None, None, None])
    assert log_energy(one, 2.0).item() == pytest.approx(2 - np.log(4))
    assert log_dissipation_sa(one, 2.0).item() == -torch.inf
    with pytest.raises(InputError, match="beta = 0"):
        log_energy(one, 0.0)
    with pytest.raises(InputError, match="sequence 0 has no valid token"):
        log_energy(one._replace(valid=torch.zeros(1, 1, dtype=torch.bool)), 2.0)
    with pytest.raises(InputError, match="positive weight"):
        log_energy(one, 2.0, weights=torch.zeros(1, 1))
    with pytest.raises(InputError, match="token 0 of sequence 0 is not of unit length at time index 0"):
        log_dissipation_usa(one._replace(tokens=2 * one.tokens), 2.0)
    with pytest.raises(InputError, match="not finite at time index 0"):
        log_energy(one._replace(tokens=one.tokens * torch.nan), 2.0)
