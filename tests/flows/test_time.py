"""Adaptive time: order, closed forms, invariants, merging, frames, resumption."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from marks import slow_but
from typed import array

from spinodal import sphere, theory
from spinodal.errors import ConvergenceError, InputError
from spinodal.flows.fields import AttentionField, FunctionField, Head, scheme
from spinodal.flows.state import Rate, State
from spinodal.flows.time import CONSENSUS, MERGE, Adaptive, CheckpointPolicy, simulate
from spinodal.flows.time import dormand_prince as dp
from spinodal.flows.time.integrators import AdaptiveIntegrator
from spinodal.flows.time.simulate import stop_time
from spinodal.observables import log_dissipation_sa, log_dissipation_usa, log_energy


class Pairs:
    """SA or USA by differences over all pairs, in a few lines and independent of the engines."""

    merges, noise, in_span = True, 0.0, False

    def __init__(self, beta, kind="sa", sign=1.0):
        self.beta, self.kind, self.sign = beta, kind, sign

    def __call__(self, time, state, weights):
        x = state.directions
        r = x[None] - x[:, None]
        q = np.einsum("ijd,ijd->ij", r, r)
        E = weights * np.exp(-self.beta * q / 2)
        Z = E.sum(1)
        force = np.einsum("ij,ijd->id", E, r) + 0.5 * np.einsum("ij,ij->i", E, q)[:, None] * x
        rate = self.sign * (1 / Z if self.kind == "sa" else np.full(len(x), np.exp(self.beta)))
        drift = rate[:, None] * force
        drift -= np.sum(drift * x, 1, keepdims=True) * x
        bound = 1e-15 * rate * np.einsum("ij,ij->i", E, np.sqrt(q))
        return Rate(drift, np.zeros(len(x)), Z, bound)


def tokens(run):
    return run.tokens


def circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def fixed(field, x, path, steps):
    """A path of this length in equal steps: the state, the time at its end, and the stages of the last step."""
    state, w, h, time = State(x, np.ones(len(x))), np.full(len(x), 1 / len(x)), path / steps, 0.0
    stages = dp.Stages(*x.shape)
    for _ in range(steps):
        stages.set_rate(0, field(time, state, w), state)
        state, _ = dp.take_step(field, time, state, w, h, stages)
        time += dp.elapsed_time(h, 1.0, stages)
    return state, time, stages


@pytest.mark.parametrize("name", slow_but(["post", "pre", "sqrt"], "post"))
def test_steps_are_of_fifth_order(name):
    """Directions and lengths, after the same length of path: the global error falls by 2^5 as h is halved."""
    field = AttentionField(2.0, scheme=scheme(name), heads=(Head(values=np.diag([1.0, 0.5, -0.3])),))
    x = sphere.uniform(6, 3, seed=1)
    exact, time, _ = fixed(field, x, 1.0, 80)
    errors = []
    for steps in (10, 20):
        state, late, _ = fixed(field, x, 1.0, steps)
        errors.append(
            max(abs(state.directions - exact.directions).max(), abs(state.lengths - exact.lengths).max())
        )
        assert abs(late - time) < errors[-1]
    assert 4.6 < np.log2(errors[0] / errors[1]) < 6.0


def test_interpolant_is_of_fourth_order():
    field, x = AttentionField(2.0), sphere.uniform(6, 3, seed=1)
    start, errors = State(x, np.ones(6)), []
    for h in (0.4, 0.2):
        _, _, stages = fixed(field, x, h, 1)
        exact, time, _ = fixed(field, x, 0.4 * h, 20)
        middle = dp.interpolated_state(start, h, 0.4, stages).directions
        errors.append([abs(middle - exact.directions).max(), abs(dp.elapsed_time(h, 0.4, stages) - time)])
        assert np.isclose(dp.path_fraction(time, h, stages), 0.4, atol=1e-3)
    assert np.all(np.log2(np.divide(*errors)) > 4.5)  # of one step: an order more


@pytest.mark.parametrize("beta", slow_but([0.0, 1.0, 5.0], 1.0))
def test_orthonormal_start_follows_gamma(beta):
    """All cosines are equal, and pass 0.5 and 0.999 when the quadrature says."""
    n = 8
    times = array(theory.gamma_time_sa(np.array([0.5, 0.999]), n, beta))
    run = simulate(Pairs(beta), np.eye(n), float(times[1]), saves=times, method=Adaptive(1e-10))
    assert np.allclose(run.times, [0, *times])
    for x, gamma in zip(tokens(run)[1:], [0.5, 0.999], strict=True):
        cosines = (x @ x.T)[np.triu_indices(n, 1)]
        assert np.ptp(cosines) < 1e-12
        assert abs(cosines.mean() - gamma) < 1e-8


@pytest.mark.parametrize("kind", slow_but(["sa", "usa"], "usa"))
def test_two_tokens_meet_on_time(kind):
    """The angle falls to MERGE when the closed form says, however small the capture and long the wait."""
    time = {"sa": theory.two_token_time_sa, "usa": theory.two_token_time_usa}[kind](MERGE, 9.0)
    run = simulate(Pairs(9.0, kind), np.eye(2), CONSENSUS, method=Adaptive(1e-10))
    assert np.isclose(run.merges.time[0], time, rtol=3e-8)
    assert run.merges.clusters.tolist() == [1]


def test_two_clusters_wait_for_each_other():
    """Masses 0.8 and 0.2, beta = 25: a wait of 1e10 to seven digits."""
    x = circle(np.array([0.0, 1.7]))
    run = simulate(Pairs(25.0), x, CONSENSUS, weights=np.array([0.8, 0.2]), method=Adaptive(1e-9))
    expected = theory.two_cluster_time_sa(MERGE, 25.0, 1.7, 0.8)
    assert expected > 1e10
    assert np.isclose(run.merges.time[0], expected, rtol=1e-7)


def test_kuramoto_pair_on_the_circle():
    """beta = 0: tan(u / 2) = tan(u_0 / 2) e^{-t} for two tokens [derived]."""
    run = simulate(Pairs(0.0), circle(np.array([0.0, 3.0])), 2.0, method=Adaptive(1e-11))
    x = tokens(run)[-1]
    assert np.isclose(np.arccos(x[0] @ x[1]), 2 * np.arctan(np.tan(1.5) * np.exp(-2.0)), atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "n", "d", "beta"),
    slow_but([("sa", 24, 2, 9.0), ("usa", 16, 3, 2.0), ("sa", 12, 5, 1.0)], ("sa", 12, 5, 1.0)),
)
def test_invariants_of_the_flow(kind, n, d, beta):
    """Unit norms; energy that never falls; dE = integral of the dissipation; the cone min <x_i, w>."""
    x = sphere.uniform(n, d, seed=3)
    run = simulate(Pairs(beta, kind), x, 6.0, saves=np.linspace(0, 6, 601)[1:], method=Adaptive(1e-10))
    frames = tokens(run)
    assert abs(np.linalg.norm(frames, axis=-1) - 1).max() < 1e-15 * 4
    log_E = log_energy(run.trajectory, beta)[:, 0].numpy()
    assert np.diff(log_E).min() > -1e-14
    dissipation = {"sa": log_dissipation_sa, "usa": log_dissipation_usa}[kind]
    rate = dissipation(run.trajectory, beta)[:, 0].exp().numpy()
    h = 0.01
    simpson = h / 3 * (rate[0] + 4 * rate[1:-1:2].sum() + 2 * rate[2:-2:2].sum() + rate[-1])
    assert np.isclose(np.exp(log_E[-1]) - np.exp(log_E[0]), simpson, rtol=2e-5)


@pytest.mark.slow
def test_once_in_an_open_half_space_always_in_it():
    w = np.array([0.0, 0.0, 1.0])
    x = sphere.uniform(40, 3, seed=5)
    x[:, 2] = abs(x[:, 2])
    run = simulate(Pairs(4.0), sphere.normalise(x), 20.0, saves=np.arange(1.0, 20.0))
    lowest = (tokens(run) @ w).min(1)
    assert np.diff(lowest).min() >= -1e-12


def test_cyclic_order_on_the_circle_is_kept():
    x = sphere.uniform(30, 2, seed=6)
    run = simulate(Pairs(9.0), x, 30.0, saves=np.arange(1.0, 30.0))
    order = np.argsort(np.arctan2(*x.T[::-1]))
    for frame in tokens(run):
        gap = np.arctan2(*np.roll(frame[order], -1, 0).T[::-1]) - np.arctan2(*frame[order].T[::-1])
        assert np.sum(np.mod(gap + 1e-7, 2 * np.pi) - 1e-7) == pytest.approx(2 * np.pi, abs=1e-6)


@pytest.mark.slow
def test_merges_agree_with_a_tight_run_without_capture():
    """Captured early at 1e-8 and followed all the way at 1e-12: the same order, times to five digits."""
    x = sphere.uniform(5, 2, seed=0)
    loose = simulate(Pairs(4.0), x, CONSENSUS, method=Adaptive(1e-9)).merges
    tight = simulate(Pairs(4.0), x, CONSENSUS, method=Adaptive(1e-12, radius=MERGE)).merges
    assert np.allclose(loose.time, tight.time, rtol=1e-5)
    assert loose.clusters.tolist() == [4, 3, 2, 1]
    assert (loose.first == tight.first).all()
    assert (loose.second == tight.second).all()


@pytest.mark.slow
def test_merged_tokens_are_drawn_where_they_are():
    """Inside a captured pair the distance goes on falling exponentially to MERGE at the time of merging."""
    run = simulate(Pairs(4.0), np.eye(2), CONSENSUS, saves=np.arange(1.0, 60.0), method=Adaptive(1e-10))
    u = np.linalg.norm(tokens(run)[:, 0] - tokens(run)[:, 1], axis=-1)
    t = run.times
    late = (u < 1e-3) & (u > 2 * MERGE)
    assert late.sum() >= 8
    assert np.allclose(2 * np.arcsin(u[late] / 2), theory.two_token_angle_sa(t[late], 4.0), rtol=1e-5)


@pytest.mark.slow
def test_last_merge_at_beta_25():
    """From six tokens to one through waits of ten orders of magnitude, in a few hundred steps."""
    x = circle(np.array([0.0, 0.3, 2.0, 3.9, 4.0, 4.3]))
    run = simulate(Pairs(25.0), x, CONSENSUS, method=Adaptive(1e-6))
    again = simulate(Pairs(25.0), x, CONSENSUS, method=Adaptive(1e-8))
    assert run.merges.time[-1] > 1e10 * run.merges.time[0]
    assert np.allclose(run.merges.time[:3], again.merges.time[:3], atol=1e-3)
    assert np.allclose(run.merges.time[3:], again.merges.time[3:], rtol=5e-5)
    assert run.merges.clusters.tolist() == [5, 4, 3, 2, 1]


def test_coincident_tokens_are_one_from_the_start():
    x = sphere.uniform(3, 4, seed=2)
    run = simulate(Pairs(1.0), np.repeat(x, [1, 2, 4], 0), 0.5)
    assert run.merges.time.tolist() == [0, 0, 0, 0]
    alone = simulate(Pairs(1.0), x, 0.5, weights=np.array([1, 2, 4]) / 7)
    assert np.allclose(tokens(run)[-1][[0, 1, 3]], tokens(alone)[-1], atol=1e-13)


@pytest.mark.slow
def test_tokens_that_part_are_not_merged():
    """Repulsion takes apart what starts nearer than MERGE; masses stay."""
    x = sphere.normalise(np.array([[1.0, 0.0], [1.0, 5e-9], [0.0, 1.0]]))
    run = simulate(Pairs(1.0, sign=-1.0), x, 150.0)
    assert len(run.merges.time) == 0
    assert np.isclose(tokens(run)[-1][0] @ tokens(run)[-1][1], -0.5, atol=1e-6)


class CutError(Exception):
    pass


@pytest.mark.parametrize("d", slow_but([2, 5], 2))
def test_a_resumed_run_is_equal_bit_for_bit(tmp_path, d):
    x, field = sphere.uniform(16, d, seed=8), Pairs(4.0)
    saves = lambda: (0.5 * 1.5**k for k in itertools.count())
    whole = simulate(field, x, CONSENSUS, saves=saves(), method=Adaptive(1e-5))

    def cut(merged, total):
        assert total == 15
        if merged > 7:
            raise CutError

    checkpoints = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    with pytest.raises(CutError):
        simulate(
            field, x, CONSENSUS, saves=saves(), method=Adaptive(1e-5), checkpoints=checkpoints, progress=cut
        )
    checkpoints.resume = True
    rest = []
    follow = lambda *now: rest.append(now)
    resumed = simulate(
        field, x, CONSENSUS, saves=saves(), method=Adaptive(1e-5), checkpoints=checkpoints, progress=follow
    )
    assert 0 < len(rest) < whole.steps
    assert (tokens(resumed) == tokens(whole)).all()
    assert (resumed.times == whole.times).all()
    for old, new in zip(whole.merges, resumed.merges, strict=True):
        assert (old == new).all()


def turn(x, weights, t):
    """An angle's speed of cos 2t on the circle."""
    return np.cos(2 * t) * np.stack([-x[:, 1], x[:, 0]], 1)


def turn_late(x, weights, t):
    """At rest until t = .5, then towards the north."""
    return max(t - 0.5, 0.0) * (np.array([0.0, 1.0]) - x[:, 1:] * x)


TIMED = {
    "function": (FunctionField(turn), sphere.uniform(3, 2, seed=1)),
    "rests": (FunctionField(turn_late), sphere.uniform(3, 2, seed=1)),
    "rescaled": (AttentionField(scheme=scheme("rescaled")), sphere.uniform(5, 2, seed=2)),
}


@pytest.mark.parametrize("name", TIMED)
def test_a_field_of_time_resumes_bit_for_bit(tmp_path, name):
    """The rate at the end of a step is of a time that differs by its rounding from that of the clock."""
    field, x = TIMED[name]
    whole = simulate(field, x, 1.0, saves=[0.3, 0.8])
    for stop in range(1, whole.steps, 1 + whole.steps // 4):
        steps = itertools.count()

        def cut(now, end, steps=steps, stop=stop):
            if next(steps) == stop:
                raise CutError

        checkpoints = CheckpointPolicy(tmp_path / str(stop), "x", seconds=0.0)
        with pytest.raises(CutError):
            simulate(field, x, 1.0, saves=[0.3, 0.8], checkpoints=checkpoints, progress=cut)
        checkpoints.resume = True
        resumed = simulate(field, x, 1.0, saves=[0.3, 0.8], checkpoints=checkpoints)
        np.testing.assert_array_equal(tokens(resumed), tokens(whole))


def test_what_cannot_be_is_refused():
    x = sphere.uniform(4, 3)
    with pytest.raises(InputError, match="length"):
        simulate(Pairs(1.0), 1.1 * x, 1.0)
    with pytest.raises(InputError, match="must increase"):
        simulate(Pairs(1.0), x, 1.0, saves=[0.5, 0.2])
    with pytest.raises(InputError, match="noise"):
        simulate(AttentionField(1.0, kappa=10.0), x, 1.0)
    with pytest.raises(InputError, match="tolerance"):
        Adaptive(1e-16)
    with pytest.raises(ConvergenceError, match="2 clusters are left"):
        simulate(Pairs(1.0), np.array([[1.0, 0.0], [-1.0, 0.0]]), CONSENSUS)


def test_a_step_that_underflows_says_where():
    """A field that is not a number from t = 1 on."""

    class Ends:
        merges, noise, in_span = False, 0.0, False

        def __call__(self, time, state, weights):
            rate = Pairs(0.0)(time, state, weights)
            return rate if time <= 1 else replace(rate, drift=np.full_like(rate.drift, np.nan))

    with pytest.raises(ConvergenceError, match=r"underflows at t = (1:|0\.99999)"):
        simulate(Ends(), circle(np.array([0.0, 1.0])), 2.0)


def test_tokens_that_have_met_but_may_not_merge_do_not_hold_time_up():
    """Under a causal mask all meet the first token; from then on rounding alone moves them, in few long steps."""
    x = sphere.uniform(4, 3, 0)
    run = simulate(AttentionField(3.0, causal=True), x, 1e4, method=Adaptive(1e-6))
    assert abs(tokens(run)[-1] - x[0]).max() < 1e-15
    assert run.steps < 300
    assert len(run.merges.time) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_of_a_drift_is_relative_to_the_largest_of_either_sign(sign: int):
    drift, still = sign * np.array([[-4.0, 1.0], [0.5, -0.5]]), np.zeros(2)
    assert dp.extent(Rate(drift, still, still, np.array([0.2, 0.1]))) == (4.0, 0.2)


def test_tokens_that_are_not_merged_are_a_consensus_once_all_are_within_the_distance_of_a_merge():
    flow = object.__new__(AdaptiveIntegrator)
    flow.active, flow.hi, flow.steps, flow.tokens = None, 4.0, 1, 3
    for apart, end in (
        (0.4 * MERGE, 4.0),
        (-0.4 * MERGE, 4.0),
        (2 * MERGE, CONSENSUS),
        (-2 * MERGE, CONSENSUS),
    ):
        x = sphere.normalise(np.array([[1.0, 0.0], [1.0, apart], [1.0, 0.0]]))
        flow.state = State(x, np.ones(3))
        assert stop_time(flow, CONSENSUS) == end
