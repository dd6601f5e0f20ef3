"""Negative beta: every engine against sums in extended precision, the circle against its closed forms."""

import numpy as np
import pytest
from engine_reference import WIDE, cloud, unit_rows
from marks import slow_but
from scipy.integrate import solve_ivp

from spinodal import flows, sphere, theory
from spinodal.errors import InputError
from spinodal.flows import AttentionField, Head, Simulation, UniformStart, evolve, simulate
from spinodal.flows.engines import lowrank
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.fields import energy_of, scheme
from spinodal.flows.state import State

CLOCKS = {
    "sa": lambda b, Z: 1 / Z,
    "usa": lambda b, Z: np.exp(-WIDE(b)),
    "gkpr": lambda b, Z: np.exp(-2 * WIDE(b)),
}


def defined(x, w, beta, kind):
    """(drift, Z): sum_j w_j e^{b <x_i, x_j> + b} P_{x_i} (x_j - x_i), in extended precision, beta < 0."""
    raw, w, x = np.asarray(x, WIDE), np.asarray(w, WIDE), unit_rows(x)
    e = w * np.exp(beta * (x @ x.T) + beta)
    pull = np.stack([e[i] @ (raw - raw[i]) for i in range(len(x))])
    pull -= (pull * x).sum(1, keepdims=True) * x
    Z = e.sum(1)
    return (CLOCKS[kind](beta, Z) * np.ones_like(Z))[:, None] * pull, Z


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize(
    ("engine", "d", "beta"),
    [
        ("direct", 2, -0.7), ("direct", 3, -25.0), ("direct", 7, -4.0), ("attention", 3, -4.0),
        ("attention", 20, -0.7), ("circle", 2, -0.16), ("circle", 2, -40.0), ("lowrank", 5, -3.0),
        ("harmonics", 5, -1.0), ("span", 200, -2.0), ("auto", 2, -5.0), ("auto", 3, -5.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["uniform", "clustered"])
def test_engines_keep_their_bounds(engine, d, beta, kind, name):
    x, w = cloud(name, 150, d)
    answer = flows.field(x, w, beta=beta, kind=kind, engine=engine)
    drift, Z = defined(x, w, beta, kind)
    assert (np.linalg.norm((answer.drift - drift).astype(float), axis=1) <= answer.error_bound + 1e-300).all()
    assert (abs(answer.Z - Z) < 1e-10 * Z + 1e-13).all()
    assert abs(answer.drift - drift).max() < 1e-7 * abs(drift).max()


def test_an_engine_that_knows_no_negative_beta_declines():
    x, w = cloud("uniform", 100, 3)
    with pytest.raises(InputError, match="engine 'sphere' does not know beta < 0"):
        flows.field(x, w, beta=-1.0, engine="sphere")
    assert "sphere" not in flows.field(*cloud("uniform", 9000, 3), beta=-1.0).engine


def test_the_factor_of_both_halves_is_certified():
    x, w = cloud("clustered", 400, 6)
    mean = lowrank.low_rank_sums(Kernel(-9.0), x, w, 800)
    assert mean is not None
    drift, Z = defined(x, w, -9.0, "sa")
    found = sphere.tangent(x, mean.shift)
    assert (np.linalg.norm((found - drift).astype(float), axis=1) <= 2 * mean.error_bound).all()
    assert abs(mean.log_partition - 9.0 - np.log(Z)).max() < 1e-9


@pytest.mark.parametrize("d", slow_but([2, 3, 24], 2))
def test_it_is_the_flow_of_opposite_queries(d):
    x = sphere.uniform(20, d, seed=1)
    for kind in ("sa", "usa"):
        one = simulate(AttentionField(-2.0, kind), x, 3.0)
        other = simulate(
            AttentionField(2.0, kind, heads=(Head(-np.eye(d), np.eye(d)),), engine="attention"), x, 3.0
        )
        assert np.abs(one.tokens[-1] - other.tokens[-1]).max() < 1e-6


def test_hardmax_at_minus_infinity_sees_what_it_likes_least():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [-0.6, -0.8]])
    rate = AttentionField(-np.inf).attention_output(x, np.full(3, 1 / 3))
    np.testing.assert_allclose(rate.tangent + rate.radial[:, None] * x, x[[2, 2, 1]], atol=1e-15)


def three_clusters(n, size, seed=0):
    angle = 2 * np.pi * np.arange(n) / 3 + size * np.random.default_rng(seed).standard_normal(n)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize("n", [3, 30])
def test_three_clusters_on_the_circle_turn_stable_at_minus_two_thirds(n):
    """e^{b c} (c - b s^2) = 0 at 120 degrees: f(phi) = e^{b cos phi} sin phi has f' = 0 at b = -2/3  [derived]."""
    assert abs(theory.splay_rate_usa(1, 3, -2 / 3)) < 1e-14
    for beta, stays in ((-0.7, True), (-0.63, False)):
        assert (theory.splay_rate_usa(1, 3, beta) < 0) == stays
        run = evolve(
            Simulation(AttentionField(beta, "usa"), flows.TokenStart(three_clusters(n, 1e-3)), until=400.0)
        )
        gap = run.tokens[-1] @ run.tokens[-1].T
        assert (gap.min() < -0.49) == stays


@pytest.mark.slow
def test_tokens_on_the_circle_synchronise_at_a_slightly_negative_beta_from_36_starts():
    simulation = Simulation(AttentionField(-0.16, "usa"), UniformStart(12, 2), until=200.0, times=2)
    found = flows.ensemble(simulation, ["clusters", "polarisation"], starts=36)
    assert (found.values["clusters"][:, -1] == 1).all()
    assert found.values["polarisation"][:, -1].min() > 1 - 1e-12


def test_splay_rates_are_those_of_the_written_out_jacobian():
    for n, beta in ((3, -0.7), (5, -3.0), (8, 2.0)):
        phi = 2 * np.pi * np.arange(n) / n
        slope = np.exp(beta * np.cos(phi)) * (np.cos(phi) - beta * np.sin(phi) ** 2) / n
        for p in range(1, n):
            rate = np.sum(slope * (np.cos(p * phi) - 1))
            assert theory.splay_rate_usa(p, n, beta) == pytest.approx(rate, rel=1e-11, abs=1e-13)
            Z = np.mean(np.exp(beta * np.cos(phi)))
            assert theory.splay_rate_sa(p, n, beta) == pytest.approx(rate / Z, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("beta", slow_but([-3.0, -0.5], -0.5))
@pytest.mark.parametrize("n", slow_but([2, 7], 7))
def test_equiangular_curves(beta, n):
    for speed, time, curve in (
        (theory.gamma_speed_sa, theory.gamma_time_sa, theory.gamma_sa),
        (theory.gamma_speed_usa, theory.gamma_time_usa, theory.gamma_usa),
    ):
        g = solve_ivp(
            lambda _, y, speed=speed: speed(y, n, beta), (0, 1.3), [-0.1], rtol=1e-11, atol=1e-12
        ).y[0, -1]
        assert curve(1.3, n, beta, -0.1) == pytest.approx(g, abs=1e-10)
        assert time(g, n, beta, -0.1) == pytest.approx(1.3, abs=1e-9)


@pytest.mark.parametrize("name", slow_but(["post", "pre", "peri", "ngpt"], "post"))
def test_orthonormal_tokens_follow_the_curves_of_every_scheme(name):
    n, beta, t = 5, -2.0, 0.8
    run = simulate(AttentionField(beta, scheme=scheme(name)), np.eye(n), t, method=flows.Adaptive(1e-12))
    curve = {
        "post": theory.gamma_sa,
        "pre": theory.gamma_pre,
        "peri": theory.gamma_peri,
        "ngpt": theory.gamma_ngpt,
    }
    slope = {
        "post": theory.slope_post,
        "pre": theory.slope_pre,
        "peri": theory.slope_peri,
        "ngpt": theory.slope_ngpt,
    }
    assert run.tokens[-1][0] @ run.tokens[-1][1] == pytest.approx(curve[name](t, n, beta), abs=1e-9)
    early = simulate(AttentionField(beta, scheme=scheme(name)), np.eye(n), 1e-5, method=flows.Adaptive(1e-12))
    assert early.tokens[-1][0] @ early.tokens[-1][1] == pytest.approx(1e-5 * slope[name](n, beta), rel=1e-4)


def test_layers_follow_their_recursion():
    field = AttentionField(-2.0)
    run = simulate(field, np.eye(6), 3.0, method=flows.Layers(0.1))
    assert run.tokens[-1][0] @ run.tokens[-1][1] == pytest.approx(
        theory.layer_gamma(30, 6, -2.0)[-1], abs=1e-12
    )


def test_odd_degrees_grow_and_even_ones_shrink():
    """a_k = mean over the circle of e^{b cos phi} cos k phi, and lambda_k = k^2 a_k / b."""
    phi = 2 * np.pi * np.arange(4096) / 4096
    for beta in (-1.5, -6.0):
        a = np.array([np.mean(np.exp(beta * np.cos(phi)) * np.cos(k * phi)) for k in range(6)])
        k = np.arange(1, 6)
        np.testing.assert_allclose(theory.growth_rate_usa(k, 2, beta), k**2 * a[1:] / beta, rtol=1e-10)
        np.testing.assert_allclose(
            theory.growth_rate_sa(k, 2, beta), k**2 * a[1:] / (beta * a[0]), rtol=1e-10
        )
        assert theory.fastest_degree(2, beta) == 1 + np.argmax(k**2 * a[1:] / beta)


def test_formulas_that_do_not_hold_say_so():
    for formula in (
        lambda: theory.waiting_time(1.0, -1.0),
        lambda: theory.log_energy_dirac(-1.0),
        lambda: theory.log_energy_uniform(3, -1.0),
        lambda: theory.log_funk_hecke(1, 3, -2.0),
        lambda: theory.log_tail_post(3.0, 3, -1.0),
        lambda: theory.metastable_window(10, -1.0, 0.01, 0.1),
        lambda: theory.fastest_degree_large_beta(2, -1.0),
    ):
        with pytest.raises(InputError, match="does not apply to beta < 0"):
            formula()


def test_the_law_of_a_density_and_ensembles_refuse_it():
    from spinodal.meanfield import drift_law

    with pytest.raises(InputError, match="beta >= 0"):
        drift_law("sa", -1.0)
    with pytest.raises(InputError, match="`beta` -1: ensembles"):
        flows.Diagram(d=(2,), betas=(-1.0,), times=(1.0,), clock=("layer", 0.5), n=8, samples=64)


def test_the_energy_is_negative_and_climbed():
    field, w = AttentionField(-1.5, "usa"), np.full(9, 1 / 9)
    energy = energy_of(field)
    run = simulate(field, sphere.uniform(9, 3, 4), 2.0, saves=np.linspace(0.1, 2, 20))
    E = [energy(x, w) for x in run.tokens]
    assert E[0] == pytest.approx(
        -np.sum(np.exp(-1.5 * run.tokens[0] @ run.tokens[0].T)) / (3 * 81), rel=1e-12
    )
    assert energy.sign == 1
    assert (np.diff(E) > 0).all()
    assert np.isnan(energy.log(run.tokens[0], w))
    h = 1e-4
    start = State(run.tokens[5], np.ones(9))
    moved = [sphere.normalise(start.directions + s * h * field(0.0, start, w).drift) for s in (-1, 1)]
    slope = (energy(moved[1], w) - energy(moved[0], w)) / (2 * h)
    assert energy.log_dissipation(0.0, start, w) == pytest.approx(np.log(slope), rel=1e-6)
