"""Probes: what the flow carries along, and the exponents of their pairs."""

import numpy as np
import pytest
from marks import slow_but
from scipy.integrate import solve_ivp

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows.state import State

ONE = np.tile([1.0, 0.0, 0.0], (2, 1))  # two tokens in one place


def at_angles(angles):
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)


def test_a_probe_of_a_cluster_has_the_flow_of_one_angle():
    """u' = -sin u: tan(u(t) / 2) = e^-t tan(u(0) / 2), whatever beta."""
    angles = np.array([0.3, 1.5, 3.0])
    field, start = flows.AttentionField(beta=9.0), flows.TokenStart(ONE)
    simulation = flows.Simulation(field, start, 2.0, flows.Adaptive(1e-11), times=3, probes=at_angles(angles))
    result = flows.evolve(simulation)
    exact = 2 * np.arctan(np.exp(-result.times[:, None]) * np.tan(angles / 2))
    assert result.probes is not None
    assert np.arctan2(result.probes[..., 1], result.probes[..., 0]) == pytest.approx(exact, abs=1e-10)
    assert result.tokens.shape == (3, 2, 3)
    assert len(result.merges) == 1
    assert result.final.clusters == 1


@pytest.mark.parametrize(("sign", "angle"), [(1, 0.5), (1, 2.5), (-1, 0.5)])
def test_the_exponent_of_a_pair_along_the_flow(sign, angle):
    """du(t) / du(0) = sin u(t) / sin u(0) for u' = -+ sin u."""
    y = at_angles(np.array([angle, angle + 1e-5]))
    field = flows.AttentionField(beta=2.0, heads=(flows.Head(values=float(sign)),))
    simulation = flows.Simulation(field, flows.TokenStart(ONE), 1.5, flows.Adaptive(1e-12), times=4, probes=y)
    result = flows.evolve(simulation)
    u = 2 * np.arctan(np.exp(-sign * result.times[1:]) * np.tan(angle / 2))
    exact = np.log(np.sin(u) / np.sin(angle)) / result.times[1:]
    assert result.lyapunov_exponents[:, 0] == pytest.approx(exact, abs=1e-4)


@pytest.mark.slow
def test_probes_leave_the_tokens_alone():
    """At the tolerance: the steps serve the probes too. Merges, clusters and energy are those of the tokens."""
    field, start = flows.AttentionField(beta=4.0), flows.UniformStart(12, 2, seed=1)
    alone = flows.evolve(flows.Simulation(field, start, flows.CONSENSUS))
    together = flows.evolve(flows.Simulation(field, start, flows.CONSENSUS, probes=40))
    assert together.probes is not None
    assert together.probes.shape == (len(together.times), 40, 2)
    assert abs(np.linalg.norm(together.probes, axis=2) - 1).max() < 1e-12
    assert together.final.clusters == 1
    assert together.merge_time == pytest.approx(alone.merge_time, rel=1e-5)
    assert np.array_equal(together.merge_clusters, alone.merge_clusters)
    assert np.array_equal(together.merge_first, alone.merge_first)


@pytest.mark.parametrize("scheme", slow_but(["post", "pre"], "post"))
def test_probes_move_as_tokens_of_weight_zero_that_another_integrator_moves(scheme):
    x, y = sphere.uniform(6, 3, 0), sphere.uniform(5, 3, 1)
    field = flows.AttentionField(beta=3.0, scheme=flows.fields.scheme(scheme))
    run = flows.simulate(field, x, 1.0, probes=y, method=flows.Adaptive(1e-11))
    w = np.append(np.full(6, 1 / 6), np.zeros(5))

    def rate(t, state):
        z, r = state[:33].reshape(11, 3), state[33:]
        answer = field(t, State(z / np.linalg.norm(z, axis=1)[:, None], r), w)
        return np.append(answer.drift.ravel(), answer.growth)

    begin = np.append(np.concatenate([x, y]).ravel(), np.ones(11))
    end = solve_ivp(rate, (0, 1), begin, rtol=1e-11, atol=1e-12).y[:33, -1].reshape(11, 3)
    assert run.probes is not None
    assert np.concatenate([run.tokens[-1], run.probes[-1]]) == pytest.approx(sphere.normalise(end), abs=1e-8)


def test_the_field_of_probes():
    x, y = sphere.uniform(9, 4, 0), sphere.uniform(3, 4, 1)
    w = np.full(9, 1 / 9)
    drift, Z, _ = flows.field(x, w, beta=2.0, probes=y)
    p = np.exp(2 * (y @ x.T - 1)) / 9
    assert Z[9:] == pytest.approx(p.sum(1), rel=1e-13)
    assert drift[9:] == pytest.approx(sphere.tangent(y, p @ x / p.sum(1)[:, None]), abs=1e-13)
    assert drift[:9] == pytest.approx(flows.field(x, w, beta=2.0).drift, abs=1e-14)


def test_pairs_of_probes():
    y = sphere.uniform(4, 5, 0)
    pairs = flows.probe_pairs(y, separation=1e-4)
    assert np.array_equal(pairs[::2], sphere.normalise(y))
    assert np.linalg.norm(pairs[::2] - pairs[1::2], axis=1) == pytest.approx(1e-4, rel=1e-6)


@pytest.mark.parametrize(
    ("probes", "kappa", "says"),
    [
        (0, np.inf, "`probes` 0"),
        (-3, np.inf, "`probes` -3"),
        (True, np.inf, "`probes` True"),
        (np.ones((2, 3)), np.inf, "`probes`: vector 0 has length 1.73"),
        (np.eye(2), np.inf, "`probes` have shape"),
        (5, 10.0, "`probes` with noise"),
    ],
)
def test_what_are_no_probes(probes, kappa, says):
    method = flows.Noisy() if kappa < np.inf else flows.Adaptive()
    with pytest.raises(InputError, match=says):
        flows.Simulation(
            flows.AttentionField(kappa=kappa), flows.UniformStart(4, 3), 1.0, method, probes=probes
        )


def test_what_are_no_pairs():
    with pytest.raises(InputError, match="m even"):
        flows.lyapunov_exponents(np.arange(2.0), np.ones((2, 3, 2)))
    with pytest.raises(InputError, match="in one place"):
        flows.lyapunov_exponents(np.arange(2.0), np.ones((2, 2, 2)))
    with pytest.raises(InputError, match="`separation` 1e-09"):
        flows.probe_pairs(np.eye(3), separation=1e-9)
