"""Weights that every layer draws anew are a common noise: their curve, its limits, and layers with an error bar."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spinodal import flows, theory
from spinodal.errors import InputError
from spinodal.flows import AttentionField, Layers, Noisy, OrthonormalStart, Resampled, Simulation
from spinodal.flows.fields.depth import RedrawnHead


def rate(tau: float, c: np.ndarray, n: int, d: int) -> np.ndarray:
    return (1 - c) * (d - 2 - c) / d * (1 + (n - 1) * c) / n


def test_the_curve_solves_its_equation_and_has_the_limit_of_high_dimension():
    for n, d in ((2, 4), (8, 256), (50, 16)):
        solved = solve_ivp(rate, (0, 4), [0.0], args=(n, d), rtol=1e-11, atol=1e-13).y[0, -1]
        assert theory.redrawn_cosine(4.0, n, d) == pytest.approx(solved, rel=1e-8)
        assert theory.redrawn_time(solved, n, d) == pytest.approx(4.0, rel=1e-7)
    assert theory.redrawn_cosine(3.0, 16, 10**9) == pytest.approx(theory.gamma_sa(1.5, 16, 0.0), abs=1e-7)


def test_one_layer_moves_the_mean_cosine_by_the_rate_of_the_curve():
    """From c = 0.6 of all pairs, over many draws of V."""
    n, d, c, h = 4, 6, 0.6, 0.05
    x = np.zeros((n, d))
    x[:, 0], x[np.arange(n), np.arange(1, n + 1)] = np.sqrt(c), np.sqrt(1 - c)
    V = np.random.default_rng(0).standard_normal((40_000, d, d)) / np.sqrt(d)
    pairs = np.triu_indices(n, 1)

    def cosines(sign: float) -> np.ndarray:
        y = x + sign * h * (V @ x.mean(0))[:, None]
        y = y / np.linalg.norm(y, axis=2, keepdims=True)
        return (y @ y.transpose(0, 2, 1))[:, pairs[0], pairs[1]].mean(1)

    moves = (cosines(1.0) + cosines(-1.0)) / 2 - c  # of which the noise of first order is taken out
    expected = rate(0.0, np.array(c), n, d)
    assert moves.mean() / h**2 == pytest.approx(expected, abs=4 * moves.std() / 200 / h**2 + 0.01 * expected)


def test_starts_redraw_their_weights_and_norms_are_bounds():
    depth = Resampled(4, "random:1", values="random:7:0.5")
    assert (depth.reseeded(2).queries, depth.reseeded(2).keys, depth.reseeded(2).values) == (
        "random:3", "scaled:1", "random:9:0.5",
    )  # fmt: skip
    head = depth.heads(0.0)[0]
    assert isinstance(head, RedrawnHead)
    assert head.value_norm >= np.linalg.norm(head.values, 2)
    field = AttentionField(2.0, depth=depth)
    exact = AttentionField(2.0, heads=(flows.Head(head.queries, 1.0, head.values),))
    ours, theirs = field.at(0.0).interactions[0], exact.interactions[0]
    assert theirs.top <= ours.top <= 2 * theirs.top + 2
    x, w = OrthonormalStart(4, 4).tokens(), np.full(4, 0.25)
    np.testing.assert_allclose(
        ours.attention_output(x, w, True)[0], theirs.attention_output(x, w, True)[0], atol=1e-14
    )
    simulation = Simulation(field, OrthonormalStart(4, 4), 0.2, Layers(0.1), times=2)
    assert len(set(flows.ensemble(simulation, ["mean_cosine"], starts=3).values["mean_cosine"][:, -1])) == 3


def test_bounds_of_redrawn_weights_start_no_threads_of_a_blas(monkeypatch):
    """Its product of two vectors wakes them in every layer, for longer than the rest of it takes."""
    head = Resampled(4, "random:1", values="random:7").heads(0.0)[0]
    monkeypatch.setattr(np.linalg, "norm", None)
    assert head.value_norm == pytest.approx(np.sqrt(np.sum(head.values**2)), rel=1e-14)
    assert head.sa_kernel(2.0, False, None).top == pytest.approx(
        2 * np.sqrt(np.sum(head.queries**2)), rel=1e-14
    )


def test_draws_that_change_between_steps_are_refused():
    """Of a period of 1.6 steps a draw would last for two layers, and others for one."""
    x = OrthonormalStart(4, 4).tokens()
    for period, step, better in ((0.16, 0.1, 0.2), (0.04, 0.1, 0.1), (0.24, 0.1, 0.2)):
        field = AttentionField(0.0, depth=Resampled(4, values="random:0", period=period))
        for method in (Layers(step), Noisy(step)):
            said = f"`period` {period} of redrawn weights is .* a whole number of steps, such as a `period` of {better}"
            with pytest.raises(InputError, match=said):
                flows.simulate(field, x, 1.0, method=method)
            with pytest.raises(InputError, match=said):
                Simulation(field, OrthonormalStart(4, 4), 1.0, method)
    three = AttentionField(0.0, depth=Resampled(4, values="random:0", period=0.3))
    assert flows.simulate(three, x, 0.6, method=Layers(0.1)).steps == 6
    assert flows.simulate(three, x, 0.6, method=Noisy(0.1)).steps == 6


@pytest.mark.slow
def test_the_mean_cosine_of_layers_is_that_of_the_curve():
    """n = 8, d = 256, tau = h^2 L = 4: 0.8657 by theory, or up to 0.006 less for the spread 4 / d and for h^2."""
    field = AttentionField(0.0, depth=Resampled(256, values="random:0", period=0.1))
    simulation = Simulation(field, OrthonormalStart(8, 256), 40.0, Layers(0.1), times=2)
    found = flows.ensemble(simulation, ["mean_cosine"], starts=8)
    mean, error = found.mean("mean_cosine")[-1], found.standard_error("mean_cosine")[-1]
    assert error < 0.02
    assert mean == pytest.approx(float(theory.redrawn_cosine(4.0, 8, 256)), abs=3 * error + 0.006)
