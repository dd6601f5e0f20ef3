"""Tokens without layer norm: closed forms, an ODE of scipy, symmetries, hardmax by its definition, and refusals."""

import re
from pathlib import Path

import numpy as np
import pytest
from marks import slow_but
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from spinodal.errors import ConvergenceError, InputError
from spinodal.explorer.reading import recording_of
from spinodal.figures import draw
from spinodal.flows import (
    CONSENSUS,
    Adaptive,
    AttentionField,
    CubeStart,
    Drive,
    Evolution,
    FunctionField,
    Head,
    Layers,
    Noisy,
    NormalStart,
    PointStart,
    Resampled,
    Simulation,
    ensemble,
    evolve,
    named_start,
    simulate,
    stack_heads,
)
from spinodal.flows.fields import energy_of, scheme
from spinodal.flows.state import State
from spinodal.meanfield import DensityExperiment
from spinodal.observables import attention_rank, boolean_rows, hull_volume, leaders, vertex_distance
from spinodal.runs import decode, encode, read_run

NONE, RESCALED = scheme("none"), scheme("rescaled")
V = np.array([[0.5, 1.0], [-1.0, 0.2]])
X = NormalStart(6, 2, seed=3).tokens()
W = np.array([0.3, 0.1, 0.2, 0.1, 0.2, 0.1])
I2 = np.eye(2)
FAIR = Adaptive(1e-6)
VALUES = {"1": 1.0, "-0.7": -0.7, "matrix": V}


@pytest.mark.parametrize("name", slow_but(VALUES, "matrix"))
def test_at_beta_0_the_mean_grows_and_differences_keep(name):
    """x' = V m: m = e^{tV} m_0, x_i - m constant; so z_i = m_0 + e^{-tV} (x_i(0) - m_0)  [derived]."""
    v = VALUES[name]
    t, M, m = 1.5, v * I2 if np.ndim(v) == 0 else v, W @ X
    heads = (Head(values=v),)
    run = simulate(AttentionField(0.0, heads=heads, scheme=NONE), X, t, weights=W, method=FAIR)
    np.testing.assert_allclose(run.tokens[-1], X + (expm(t * M) - I2) @ m, rtol=1e-5, atol=1e-5)
    field = AttentionField(0.0, heads=heads, scheme=RESCALED)
    z = simulate(field, X, t, weights=W, method=FAIR).tokens[-1]
    np.testing.assert_allclose(z, m + (X - m) @ expm(-t * M).T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(field.unscaled(z, t), run.tokens[-1], rtol=3e-5, atol=1e-4)


@pytest.mark.parametrize("v", slow_but([1.0, -1.5], 1.0))
def test_two_tokens_of_the_line_are_an_ode_of_scipy(v):
    def rate(t, x):
        p = np.exp(0.8 * x[:, None] * 1.3 * x)
        return v * (p @ x) / p.sum(1)

    x, heads = np.array([[0.9], [-0.4]]), (Head(1.3, 1.0, v),)
    exact = solve_ivp(rate, (0, 1.5), x[:, 0], rtol=1e-12, atol=1e-13).y[:, -1]
    run = simulate(AttentionField(0.8, heads=heads, scheme=NONE), x, 1.5, method=FAIR)
    np.testing.assert_allclose(run.tokens[-1][:, 0], exact, rtol=3e-5)
    field = AttentionField(0.8, heads=heads, scheme=RESCALED)
    z = simulate(field, x, 1.5, method=FAIR).tokens[-1]
    np.testing.assert_allclose(field.unscaled(z, 1.5)[:, 0], exact, rtol=3e-5)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_rescaled_tokens_are_the_tokens(causal):
    heads = stack_heads("random:1", "random:2", V, d=2)
    none, rescaled = (AttentionField(1.2, heads=heads, causal=causal, scheme=s) for s in (NONE, RESCALED))
    x = simulate(none, X, 1.5, weights=W, saves=[0.7], method=FAIR).tokens
    z = simulate(rescaled, X, 1.5, weights=W, saves=[0.7], method=FAIR).tokens
    for t, one, other in zip((0.0, 0.7, 1.5), x, z, strict=True):
        np.testing.assert_allclose(rescaled.unscaled(other, t), one, atol=1e-4)
    x = simulate(none, X, 1.5, weights=W, method=Layers(0.1)).tokens[-1]
    z = simulate(rescaled, X, 1.5, weights=W, method=Layers(0.1)).tokens[-1]
    np.testing.assert_allclose(rescaled.unscaled(z, 1.5, step=0.1), x, rtol=1e-9)


@pytest.mark.slow
def test_turned_tokens_turn_as_one_and_weights_stand_for_copies():
    turn = expm(np.array([[0.0, 0.7], [-0.7, 0.0]]))
    run = lambda x, v, w=None: simulate(
        AttentionField(1.5, heads=(Head(values=v),), scheme=NONE), x, 0.5, weights=w, method=FAIR
    )
    np.testing.assert_allclose(
        run(X @ turn.T, turn @ V @ turn.T).tokens[-1], run(X, V).tokens[-1] @ turn.T, atol=1e-5
    )
    twice = run(np.concatenate([X, X[:1]]), V)
    once = run(X, V, np.array([2, 1, 1, 1, 1, 1]) / 7)
    np.testing.assert_array_equal(twice.tokens[:, 0], twice.tokens[:, 6])
    assert twice.merges.time.tolist() == [0.0]
    np.testing.assert_allclose(twice.tokens[:, :6], once.tokens, atol=1e-5)


def test_tokens_that_contract_meet_in_one():
    """V = -I, Q^T K = I: differences shrink at the rate of the variance that is left; V = I drives them apart."""
    run = simulate(AttentionField(0.0, heads=(Head(values=0.0),), scheme=NONE), X, 5.0)
    np.testing.assert_array_equal(run.tokens[-1], X)
    pull = FunctionField(lambda x, w, t: -x, merges=True, euclidean=True)
    run = simulate(pull, X, 25.0, method=FAIR)
    assert run.merges.clusters[-1] == 1
    assert np.abs(run.tokens[-1]).max() < 1e-8
    assert simulate(AttentionField(2.0, scheme=NONE), X, 0.5, method=FAIR).merges.time.size == 0


def naive_hardmax(z, A, alpha, layers):
    """z_i <- (z_i + alpha mean of z_j over argmax <A z_i, z_j>) / (1 + alpha)  [alcalde2024]."""
    for _ in range(layers):
        scores = (z @ A.T) @ z.T
        rows = [z[np.isclose(row, row.max(), rtol=1e-13, atol=0)].mean(0) for row in scores]
        z = (z + alpha * np.array(rows)) / (1 + alpha)
    return z


def test_layers_of_hardmax_end_at_leaders():
    """Those of [alcalde2024], whose claim it is: leaders of the start rest, and all others come to one of them."""
    A = np.array([[1.0, 0.3], [0.3, 0.6]])
    field = AttentionField(np.inf, heads=(Head(queries=A),), scheme=RESCALED)
    start = CubeStart(20, 2, seed=1)
    run = evolve(Simulation(field, start, 60.0, Layers(0.5), times=np.array([40.0])))
    z = start.tokens()
    np.testing.assert_allclose(run.tokens[1], naive_hardmax(z, A, 0.5, 80), atol=1e-12)
    lead = leaders(z, coupling=A)[0, 0].numpy()
    assert 1 < lead.sum() < 9
    np.testing.assert_allclose(run.tokens[-1][lead], z[lead], atol=1e-13)
    assert float(vertex_distance(run.tokens[-1], z[lead])) < 1e-12


def test_on_the_line_attention_becomes_boolean():
    """d = 1, V > 0: 97.5% of rows Boolean at t = 6, of rank 3 or less  [clusters2023]."""
    simulation = Simulation(AttentionField(scheme=RESCALED), NormalStart(40, 1, seed=0), 6.0, FAIR, times=7)
    run = evolve(simulation)
    shares = [
        boolean_rows(simulation.attention_weights(t, z)) for t, z in zip(run.times, run.tokens, strict=True)
    ]
    assert shares[0] < 0.1
    assert shares[-1] >= 0.975
    p = simulation.attention_weights(6.0, run.tokens[-1])[0]
    assert np.sum(np.linalg.svd(p)[1] > 1e-3) <= 3


@pytest.mark.slow
def test_in_the_plane_rescaled_tokens_go_to_the_vertices_of_a_polytope():
    run = evolve(
        Simulation(AttentionField(scheme=RESCALED), CubeStart(40, 2, 0, size=5.0), 10.0, FAIR, times=11)
    )
    away = vertex_distance(run.tokens)[:, 0].numpy()
    assert away[0] > 1
    assert away[-1] < 1e-4 * away[0]
    assert (np.diff(hull_volume(run.tokens)[:, 0].numpy()) <= 1e-6).all()


@pytest.mark.slow
def test_long_tokens_keep_the_digits_that_attention_selects_by():
    """At t = 25 scores are 1e22 and their rounding 1e6: weights are 0 or 1 all the same, and so are the ends."""
    field = AttentionField(scheme=RESCALED)
    run = simulate(field, X, 25.0, saves=[18.0], method=Adaptive(1e-4))
    assert run.error_bound < 1e-6
    exact = simulate(AttentionField(np.inf, scheme=RESCALED), run.tokens[1], 7.0, method=FAIR).tokens[-1]
    np.testing.assert_allclose(run.tokens[-1], exact, atol=1e-4)


@pytest.mark.slow
def test_tokens_at_rest_are_asked_again_where_scores_grow():
    """Each reads itself until e^{2t} = 5, when the first turns to the second: z_2 = .7 - .5 / e^{t - t'}  [derived]."""
    x = np.array([[1.0, 0.2], [0.5, 0.7]])
    field = AttentionField(np.inf, heads=(Head(values=np.diag([0.0, 1.0])),), scheme=RESCALED)
    late, turns = simulate(field, x, 3.0).tokens[-1], np.log(5) / 2
    np.testing.assert_allclose(late, [[1.0, 0.7 - 0.5 * np.exp(turns - 3.0)], [0.5, 0.7]], atol=1e-6)
    run = simulate(FunctionField(lambda x, w, t: t + 0 * x, euclidean=True), x, 2.0)
    np.testing.assert_allclose(run.tokens[-1], x + 2.0, atol=1e-6)


def test_noise_spreads_tokens_by_its_variance():
    """dx = c dt + sqrt(2 / kappa) dW: the variance is 2 t / kappa in each coordinate, exactly."""
    field = AttentionField(
        heads=(Head(values=0.0),), kappa=4.0, scheme=NONE, drive=Drive(pulls=np.array([1.0, -2.0]))
    )
    for method in (Noisy(0.1), Layers(0.1)):
        x = simulate(field, np.zeros((400, 2)), 1.0, method=method).tokens[-1]
        np.testing.assert_allclose(x.mean(0), [1.0, -2.0], atol=4 * (0.5 / 400) ** 0.5)
        np.testing.assert_allclose(x.var(0), 0.5, rtol=0.25)


SIMULATIONS = {
    "ode": Simulation(AttentionField(scheme=RESCALED), CubeStart(5, 1, 2), 1.0, times=3),
    "layers": Simulation(
        AttentionField(np.inf, scheme=NONE), PointStart(X), 1.0, Layers(0.1), W, probes=np.ones((1, 2))
    ),
    "noise": Simulation(AttentionField(kappa=9.0, scheme=NONE), NormalStart(5, 3), 0.5, Noisy(0.1)),
}


@pytest.mark.parametrize("name", slow_but(SIMULATIONS, "noise"))
def test_a_simulation_in_space_is_a_value_and_goes_on_bit_for_bit(name, tmp_path):
    simulation = SIMULATIONS[name]
    whole = evolve(simulation)
    plain, arrays = encode(simulation)
    np.testing.assert_array_equal(evolve(decode(Simulation, plain, arrays)).tokens, whole.tokens)
    assert draw(whole).keys() == {"paths"}

    def stop(now, end):
        if now > 0.4:
            raise KeyboardInterrupt

    from spinodal.flows import CheckpointPolicy

    def run(resume, progress=None):
        keep = CheckpointPolicy(tmp_path / "c", "{}", seconds=0.0, resume=resume)
        return simulate(
            simulation.field, simulation.initial.tokens, simulation.until, weights=simulation.initial.weights,
            method=simulation.method, saves=simulation.saves(), checkpoints=keep, progress=progress,
            probes=simulation.followed,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run(False, stop)
    np.testing.assert_array_equal(run(True).tokens, whole.tokens)


@pytest.mark.slow
def test_the_command_line_has_tokens_in_space(monkeypatch, tmp_path, capsys):
    from spinodal.cli import main

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    asked = ["--observables", "leaders,hull_vertices,hull_volume,vertex_distance,boolean_rows,attention_rank"]
    space = ["--normalisation", "rescaled", "--start", "cube:5", "--n", "12", "--d", "2", "--until", "4"]
    assert command(*space, *asked, "--frames", "9", "--out", str(tmp_path / "run")) == 0, (
        capsys.readouterr().err
    )
    mine = evolve(Simulation(AttentionField(scheme=RESCALED), CubeStart(12, 2, 0, 5.0), 4.0, times=9))
    np.testing.assert_array_equal(read_run(tmp_path / "run").result_as(Evolution).tokens, mine.tokens)
    assert (tmp_path / "run" / "paths.png").stat().st_size > 1000
    with np.load(tmp_path / "run" / "observables.npz") as found:
        assert found["boolean_rows"][-1] > 0.9
        np.testing.assert_allclose(found["vertex_distance"], vertex_distance(mine)[:, 0])
    np.save(tmp_path / "x.npy", X[:, :1])
    layers = ["--normalisation", "none", "--beta", "inf", "--clock", "layer", "--until", "1"]
    assert command(*layers, "--start", str(tmp_path / "x.npy"), "--out", str(tmp_path / "line")) == 0
    assert (tmp_path / "line" / "paths.png").stat().st_size > 1000
    assert command(*space[2:], "--out", str(tmp_path / "no")) != 0
    assert "with a layer norm tokens are unit vectors" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_the_page_says_what_its_example_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "particles.md").read_text(encoding="utf-8")
    code = page.split("## Tokens without layer norm")[1].split("```python")[1].split("```")[0]
    place = {}
    exec(code, place)
    assert float(vertex_distance(place["result"])[-1, 0]) == pytest.approx(2.6e-4, rel=0.01)
    assert (boolean_rows(place["p"]), attention_rank(place["p"])) == (1.0, 5.0)
    assert (tmp_path / "paths.png").exists()
    assert float(vertex_distance(place["last"], place["last"][place["leaders"]])) < 1e-9
    assert 1 < place["leaders"].sum() < 20


@pytest.mark.slow
def test_ensembles_have_starts_in_space():
    simulation = Simulation(AttentionField(scheme=RESCALED), NormalStart(8, 1), 3.0, FAIR, times=3)
    found = ensemble(simulation, ["boolean_rows"], starts=3)
    assert found.mean("boolean_rows")[-1] > found.mean("boolean_rows")[0]


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: AttentionField(kind="usa", scheme=NONE), "`kind` 'usa' without layer norm"),
        (lambda: AttentionField(heads=(Head(), Head()), scheme=RESCALED), "several `heads`: take 'none'"),
        (lambda: AttentionField(kappa=2.0, scheme=RESCALED), "noise, `kappa`: take 'none'"),
        (lambda: AttentionField(drive=Drive(pulls=np.ones(2)), scheme=RESCALED), "`drive`: take 'none'"),
        (
            lambda: AttentionField(depth=Resampled(2, values="random:1"), scheme=RESCALED),
            "`depth`: take 'none'",
        ),
        (lambda: AttentionField(engine="circle", scheme=NONE), "engine 'circle' is for unit vectors"),
        (lambda: energy_of(AttentionField(scheme=NONE)), "without layer norm"),
        (lambda: DensityExperiment(AttentionField(scheme=NONE)), "a density flows under post-LN"),
        (lambda: Simulation(AttentionField(), NormalStart()), "`start` NormalStart: points of R^d"),
        (lambda: Simulation(AttentionField(scheme=NONE), until=CONSENSUS), "tokens need not meet"),
        (lambda: simulate(AttentionField(scheme=NONE), X, "consensus"), "tokens need not meet"),
        (lambda: simulate(AttentionField(scheme=NONE), X[:0], 1.0), "points [n d], one at least"),
        (lambda: simulate(AttentionField(scheme=NONE), X * np.nan, 1.0), "point 0 is"),
        (
            lambda: Simulation(AttentionField(scheme=NONE), PointStart(X), 1.0, probes=5),
            "`probes` 5: points [m d]",
        ),
        (lambda: Simulation(AttentionField(scheme=RESCALED), PointStart(X), 400.0), "at t = 400 the scores"),
        (
            lambda: simulate(
                AttentionField(heads=(Head(values=-2.0),), scheme=RESCALED), X, 2.0, method=Layers(0.5)
            ),
            "`step` 0.5: I + h V has no inverse",
        ),
        (lambda: recording_of(evolve(SIMULATIONS["noise"])), "the explorer plays those on the sphere"),
        (lambda: named_start("cube:x", 4, 2), "`start` cube:x: cube:SIZE"),
        (lambda: named_start("normal:-1", 4, 2), "`size` -1.0"),
    ],
)
def test_what_does_not_fit_is_refused(build, says):
    with pytest.raises(InputError, match=re.escape(says)):
        build()


@pytest.mark.slow
def test_tokens_that_grow_without_bound_stop_with_the_way_out():
    with pytest.raises(ConvergenceError, match="`normalisation` rescaled follows"):
        simulate(AttentionField(scheme=NONE), X, 2000.0, method=Layers(10.0))
    field = AttentionField(np.inf, scheme=RESCALED)
    simulation = Simulation(field, PointStart(X), 1e4, Layers(50.0))
    last = evolve(simulation).tokens[-1]
    assert np.abs(last).max() <= np.abs(X).max()
    assert boolean_rows(simulation.attention_weights(1e4, last)) <= 1
    rate = field(5.0, State(np.zeros((2, 3)), np.ones(2)), np.array([0.5, 0.5]))
    assert (rate.drift == 0).all()
