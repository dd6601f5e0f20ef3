"""The energy of a field: gradients by autograd, its rate along every variant of the flow, and refusals."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from marks import slow_but
from test_fields import SCHEMES, tokens

from spinodal import observables, sphere
from spinodal.errors import InputError
from spinodal.flows.fields import AttentionField, FeedForward, Head, UnnormalisedField, energy_of, scheme
from spinodal.flows.state import State
from spinodal.types import Trajectory


def symmetric(d):
    M = np.random.default_rng(8).standard_normal((d, d))
    return (M + M.T) / np.linalg.norm(M + M.T, 2)


def head(name, d=4):
    """Heads with V = c Q^T K: (head, M, c)."""
    if name == "identity":
        return Head(), np.eye(d), 1.0
    if name == "repulsive":
        return Head(values=-1.0), np.eye(d), -1.0
    if name == "scaled":
        return Head(2.0, 0.5 * np.eye(d), 3.0), np.eye(d), 3.0
    if name == "square root":
        Q = np.random.default_rng(9).standard_normal((3, d))
        Q /= np.linalg.norm(Q, 2)
        return Head(Q, Q, Q.T @ Q), Q.T @ Q, 1.0
    M = symmetric(d)
    return Head(M, 1.0, -0.7 * M), M, -0.7


HEADS = ["identity", "repulsive", "scaled", "square root", "indefinite"]


def defined(x, w, beta, M):
    """(1 / 2b) sum_ij w_i w_j e^{b <x_i, M x_j>} of tensors, less 1 / 2b where b = 0."""
    if beta == 0:
        return (w @ x) @ M @ (w @ x) / 2
    return (w[:, None] * w * torch.exp(beta * x @ M @ x.T)).sum() / (2 * beta)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize("beta", [0.0, 1.3])
def test_the_field_is_the_gradient_in_its_metric(name, kind, beta):
    x, r, w = tokens(9, 4)
    A, M, c = head(name)
    field = AttentionField(beta, kind, (A,))
    y, v = torch.tensor(x, requires_grad=True), torch.tensor(w)
    E = defined(y, v, beta, torch.tensor(M))
    gradient = sphere.tangent(x, torch.autograd.grad(E, y)[0].numpy())
    Z = np.exp(beta * x @ M @ x.T) @ w
    zeta = {"sa": Z, "usa": 1.0 + 0 * Z, "gkpr": np.exp(beta) + 0 * Z}[kind]
    drift = field(0.0, State(x, r), w).drift
    assert abs((w * zeta)[:, None] * drift - c * gradient).max() < 1e-14
    energy = energy_of(field)
    assert energy(x, w) == pytest.approx(E.item(), rel=1e-14)
    assert energy.sign == np.sign(c)
    if E > 0:
        assert energy.log(x, w) == pytest.approx(math.log(E.item()), rel=1e-13)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("norm", SCHEMES)
@pytest.mark.parametrize("kind", ["sa", "gkpr"])
def test_dissipation_is_the_rate_of_the_energy_under_every_scheme(name, norm, kind):
    x, r, w = tokens(9, 4)
    field = AttentionField(1.3, kind, (head(name)[0],), scheme=scheme(norm, SCHEMES[norm]))
    energy, h, t = energy_of(field), 1e-4, 2.0
    drift = field(t, State(x, r), w).drift
    ahead, behind = (
        [energy(sphere.normalise(x + s * h * drift), w) for s in (side, 2 * side)] for side in (1, -1)
    )
    rate = (8 * (ahead[0] - behind[0]) - (ahead[1] - behind[1])) / (12 * h)
    dissipated = energy.sign * math.exp(energy.log_dissipation(t, State(x, r), w))
    assert dissipated == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_the_energy_is_that_of_observables(d):
    """Two rooms, two roads: engines and Z here, pairs there; clustered at beta = 800, where E overflows."""
    x, r, w = tokens(40, d)
    x[20:] = sphere.normalise(x[:20] + 1e-7 * sphere.uniform(20, d, 4))
    trajectory = Trajectory(torch.zeros(1), torch.tensor(x)[None, None], torch.ones(1, 40, dtype=torch.bool))
    v = torch.tensor(w)[None]
    for beta in (0.5, 800.0):
        sa, gkpr = AttentionField(beta), AttentionField(beta, "gkpr")
        energy = energy_of(sa)
        expected = observables.log_energy(trajectory, beta, weights=v).item()
        assert energy.log(x, w) == pytest.approx(expected, rel=1e-14)
        expected = observables.log_dissipation_sa(trajectory, beta, weights=v).item()
        assert energy.log_dissipation(0.0, State(x, r), w) == pytest.approx(expected, abs=1e-9)
        expected = observables.log_dissipation_usa(trajectory, beta, weights=v).item() - beta
        assert energy_of(gkpr).log_dissipation(0.0, State(x, r), w) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(InputError, match="E overflows; use its log"):
        energy(x, w)


@pytest.mark.parametrize("d", [2, 3])
def test_many_tokens_have_the_energy_of_all_pairs(d):
    """O(n) through Z: the circle and the sphere against the direct engine, general matrices too."""
    x, _, w = tokens(5000, d)
    M = symmetric(d)
    for A in (Head(), Head(M, 1.0, M)):
        fast, slow = (energy_of(AttentionField(4.0, heads=(A,), engine=e)) for e in ("auto", "direct"))
        assert fast.log(x, w) == pytest.approx(slow.log(x, w), rel=1e-13)


@pytest.mark.parametrize("name", slow_but(HEADS, "identity", "repulsive", "scaled"))
@pytest.mark.parametrize("norm", slow_but(["post", "peri"], "post"))
def test_the_energy_is_monotone_to_rounding(name, norm):
    x, r, w = tokens(12, 4)
    field = AttentionField(3.0, heads=(head(name)[0],), scheme=scheme(norm))
    energy, state, h = energy_of(field), State(x, r), 0.05
    before = energy(x, w)
    for step in range(60):
        rate = field(h * step, state, w)
        half = State(
            sphere.retract(state.directions, h / 2 * rate.drift), state.lengths + h / 2 * rate.growth
        )
        rate = field(h * (step + 0.5), half, w)
        state = State(
            sphere.normalise(state.directions + h * rate.drift),
            np.maximum(state.lengths + h * rate.growth, 0.1),
        )
        after = energy(state.directions, w)
        assert energy.sign * (after - before) >= -1e-15 * abs(after)
        before = after
    assert energy.sign * (after - energy(x, w)) > 0


def test_at_rest_nothing_is_dissipated():
    x, r, w = tokens(5, 3)
    field = AttentionField(2.0, engine="direct")
    same = State(np.tile(x[:1], (5, 1)), r)
    assert energy_of(field).log_dissipation(0.0, same, w) == -math.inf
    assert energy_of(field)(same.directions, w) == pytest.approx(math.exp(2) / 4)
    flat = energy_of(AttentionField(0.0))
    pair = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert flat.log(pair, np.full(2, 0.5)) == -math.inf
    assert math.isnan(
        energy_of(AttentionField(0.0, heads=(Head(values=-np.diag([1.0, 2.0])),))).log(x[:, :2], w)
    )


def test_a_dissipation_whose_square_underflows():
    """Two clusters 1e-160 from balance: |T|^2 is no double, its logarithm is."""
    x, r, w = np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2), np.full(2, 0.5)
    energy = energy_of(AttentionField(500.0))
    assert energy.log_dissipation(0.0, State(x, r), w) == pytest.approx(
        2 * -500 + 500 + math.log(0.5), abs=1e-9
    )


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (AttentionField(1.0, causal=True), "causal mask"),
        (AttentionField(math.inf), "hardmax"),
        (AttentionField(1.0, kappa=3.0), "take kappa = inf"),
        (AttentionField(1.0, heads=(Head(), Head())), "2 heads"),
        (AttentionField(1.0, heads=(Head(np.triu(np.ones((3, 3)))),)), "Q\\^T K is not symmetric"),
        (AttentionField(1.0, heads=(Head(values=np.diag([1.0, 2.0])),)), "V differs from Q\\^T K"),
        (AttentionField(1.0, heads=(Head(values=0.0),)), "V differs"),
        (AttentionField(0.0, heads=(Head(values=np.triu(np.ones((3, 3)))),)), "V is not symmetric"),
        (AttentionField(1.0, feed_forward=FeedForward(np.eye(2), np.eye(2), np.zeros(2))), "feed-forward"),
        (UnnormalisedField(1.0), "without layer norm"),
    ],
)
def test_no_energy_and_why(field, says):
    with pytest.raises(InputError, match=f"no energy: .*{says}"):
        energy_of(field)


def test_without_its_noise_a_field_has_an_energy():
    noisy = AttentionField(1.0, "usa", kappa=3.0)
    assert energy_of(dataclasses.replace(noisy, kappa=math.inf)).sign == 1
