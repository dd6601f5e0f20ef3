"""The gates are partitions: each is held against the equations of thermodynamics it claims to be."""

from typing import TypeVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from spinodal import thermodynamics
from spinodal.mixers.channel.gates import (
    Departure,
    DrivingForce,
    PhaseCompetition,
    SwiGLU,
    naive_departure,
    phase_shares,
)

Gate = TypeVar("Gate", SwiGLU, DrivingForce, PhaseCompetition)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def started(mixer: Gate) -> Gate:
    """Gates wide open: weights of size one."""
    generator = torch.Generator().manual_seed(1)
    for parameter in mixer.double().parameters():
        parameter.data.normal_(generator=generator)
    return mixer


def half(like: Tensor, phases: int = 2) -> Tensor:
    """Equal fractions of all phases but the reference."""
    return torch.full((*like.shape[:-1], phases - 1), 1 / phases, dtype=torch.float64)


def read_out(mixer: Gate, y: Tensor) -> Tensor:
    """W_o LN(y), written out."""
    centred = y - y.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() @ mixer.out.weight.T


def test_swiglu_is_one_phase_of_a_flash_of_two(x: Tensor):
    mixer = started(SwiGLU(8, hidden=6))
    a, v = (x @ mixer.inner.weight.T).split(6, dim=-1)
    phases = thermodynamics.phase_compositions(a * v, (2 * a).exp().unsqueeze(-1), half(a))
    torch.testing.assert_close(v * functional.silu(2 * a), phases[..., 0])
    torch.testing.assert_close(mixer(x).tokens, read_out(mixer, phases[..., 0]))


def test_driving_force_is_the_summand_of_rachford_rice(x: Tensor):
    mixer = started(DrivingForce(8, hidden=6))
    z, a = (x @ mixer.inner.weight.T).split(6, dim=-1)
    K = (2 * a).exp()
    summand = torch.stack(
        [
            thermodynamics.rachford_rice(z[..., i : i + 1], K[..., i : i + 1, None], half(z))[..., 0]
            for i in range(6)
        ],
        -1,
    )
    phases = thermodynamics.phase_compositions(z, K.unsqueeze(-1), half(z))
    torch.testing.assert_close(summand, phases[..., 0] - phases[..., 1])
    torch.testing.assert_close(summand, 2 * z * torch.tanh(a))
    torch.testing.assert_close(mixer(x).tokens, read_out(mixer, summand / 2))
    F = mixer(x, residuals=True).reported["F"]
    torch.testing.assert_close(F, summand.mean(-1).square().mean().sqrt(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("phases", [2, 3, 5])
def test_phases_that_compete_hold_the_feed(x: Tensor, phases: int):
    mixer = started(PhaseCompetition(8, hidden=6, phases=phases))
    z, *a = (x @ mixer.inner.weight.T).split(6, dim=-1)
    K = (2 * torch.stack(a, -1)).exp()
    split = thermodynamics.phase_compositions(z, K, half(z, phases))
    torch.testing.assert_close(split.mean(-1), z)
    departures = split - z.unsqueeze(-1)
    torch.testing.assert_close(departures.sum(-1), torch.zeros_like(z), rtol=0, atol=1e-12)
    torch.testing.assert_close(mixer(x).tokens, read_out(mixer, departures.mT.flatten(-2)))
    found = mixer(x, residuals=True).reported
    F = thermodynamics.rachford_rice(z / 6, K, half(z, phases))
    torch.testing.assert_close(found["F"], F.square().mean().sqrt(), rtol=0, atol=1e-7)
    spread = K.log().var(-2, correction=0).mean().sqrt()
    torch.testing.assert_close(found["spread"], spread, rtol=0, atol=1e-7)


@pytest.mark.parametrize("phases", [2, 3, 16])
def test_fast_departure_is_the_naive_one(phases: int):
    torch.manual_seed(0)
    za = torch.randn(1, 2, phases, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(Departure.apply(za), naive_departure(za), rtol=1e-13, atol=1e-14)
    assert torch.autograd.gradcheck(Departure.apply, za)
    assert torch.autograd.gradcheck(naive_departure, za)


def test_departure_refuses_a_second_derivative():
    za = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(Departure.apply(za).square().sum(), za, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("extreme", [30.0, 400.0])
def test_gates_stay_finite_where_exp_would_not(extreme: float):
    a = torch.tensor([extreme, -extreme, 0.0]).view(1, 1, 1, 3)
    r = phase_shares(a)
    torch.testing.assert_close(r[0, 0, 0], torch.tensor([1.0, 0.0, 0.5]))
    za = torch.cat([torch.ones_like(a), a], -2).requires_grad_()
    Departure.apply(za).sum().backward()
    assert za.grad is not None
    assert za.grad.isfinite().all()
