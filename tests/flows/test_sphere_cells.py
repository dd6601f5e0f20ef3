"""Attention on S^2 by cells: against the definition, at the edges of cells, and what the sums are made of."""

import numpy as np
import pytest
import torch
from engine_reference import CLOUDS, cloud, exact

from spinodal import sphere
from spinodal.flows.engines import direct, sphere_cells
from spinodal.flows.engines import sphere as harmonics
from spinodal.flows.engines.law import law

BETAS = [1.0, 5.0, 25.0, 81.0]


def at_angles(theta, phi):
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)


def edges(beta):
    """Tokens on the corners of cells, beside them, at the poles, on the meridian phi = 0 from both sides."""
    N = sphere_cells.grid(beta).N
    theta, phi = np.meshgrid(np.pi / N * np.arange(N + 1), np.pi / N * np.arange(2 * N))
    corners = at_angles(theta.ravel(), phi.ravel())[:: max(1, N // 4)]
    poles = np.array(
        [[0, 0, 1.0], [0, 0, -1], [0.0, -0.0, 1], [-0.0, 0.0, -1], [1e-300, 0, 1], [0, -1e-9, 1]]
    )
    seam = np.array([[1.0, 0, 0], [1, -0.0, 0], [1, 1e-17, 0], [1, -1e-17, 0], [-1, -0.0, 0], [-1, 1e-17, 0]])
    return sphere.normalise(np.concatenate([corners, corners + 1e-15, poles, seam]))


def lattice(n):
    """Fibonacci's: as evenly as tokens can lie, so that drifts cancel."""
    k = np.arange(n) + 0.5
    return at_angles(np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k)


def tokens(name, beta):
    if name in CLOUDS:
        return cloud(name, 200, 3, seed=5)
    x = {
        "edges": lambda: edges(beta),
        "lattice": lambda: lattice(400),
        "coincident": lambda: np.ones((50, 3)),
    }
    x = sphere.normalise(x[name]())
    w = np.random.default_rng(2).uniform(0.1, 2, len(x))
    return x, w / w.sum()


def assert_bounded(x, w, beta, kind="sa", of_Z=1e-14):
    answer = harmonics.by_cells(x, w, law(kind, beta))
    rows = np.linspace(0, len(x) - 1, 40).astype(int)
    drift, Z = exact(x, w, beta, kind, rows)
    error = np.linalg.norm(np.asarray(answer.drift[rows] - drift, float), axis=1)
    assert (error <= answer.error_bound[rows]).all()
    known = answer.error_bound[rows] < np.inf
    assert abs(answer.Z[rows] - Z)[known].max(initial=0) < of_Z
    return answer


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", [*CLOUDS, "edges", "lattice", "coincident"])
@pytest.mark.parametrize("kind", ["sa", "gkpr"])
def test_the_bound_holds(name, beta, kind):
    answer = assert_bounded(*tokens(name, beta), beta, kind)
    if kind == "gkpr":
        assert answer.error_bound.max() < 1e-13


def check_weights_over_thirty_decades(seed):
    random = np.random.default_rng(seed)
    x, _ = cloud(str(random.choice(CLOUDS)), int(random.choice([2, 20, 300])), 3, seed)
    w = 10.0 ** -random.uniform(0, random.choice([6, 12, 30]), len(x))
    w[random.integers(len(x))] = 1
    assert_bounded(x, w / w.sum(), float(random.choice([0, 0.1, 1, 4, 9, 25, 81])))


@pytest.mark.slow
def test_the_bound_holds_on_weights_over_thirty_decades():
    for seed in range(30):
        check_weights_over_thirty_decades(seed)


@pytest.mark.slow
def test_the_bound_holds_on_a_thousand_draws_of_weights_over_thirty_decades():
    for seed in range(30, 1030):
        check_weights_over_thirty_decades(seed)


@pytest.mark.parametrize("beta", [0.1, 1.0, 25.0, 100.0])
def test_what_cells_lose_is_bounded_where_that_is_all_the_error(beta, monkeypatch):
    """Half the cells leave out far more than rounding, and the bound is less than 2000 times that."""
    coarse = sphere_cells.harmonics_in_cells(beta, sphere_cells.grid(beta).N // 2)
    monkeypatch.setattr(harmonics, "grid", lambda beta: coarse)
    largest = 0.0
    for name in CLOUDS:
        x, w = cloud(name, 300, 3, seed=1)
        answer = assert_bounded(x, w, beta, "gkpr", 1.0)
        error = np.linalg.norm(answer.drift - harmonics.by_harmonics(x, w, law("gkpr", beta)).drift, axis=1)
        largest = max(largest, (error / answer.error_bound).max())
    assert coarse.lost > 1000 * sphere_cells.LOST
    assert largest > 1 / 2000


@pytest.mark.parametrize("beta", [0.01, 4.0, 16.0, 100.0, 1e4])
def test_strengths_of_degrees_add_up_to_the_kernel(beta):
    """sum_l (2l + 1) i_l = 1, the kernel at <x, y> = 1: scipy's Bessel functions miss it by up to 1e-12."""
    i = sphere_cells.degrees(beta)
    l = np.arange(len(i))
    assert abs((2 * l + 1) @ (i * np.where(l > 0, beta, 1)) - 1) < 2e-15


@pytest.mark.parametrize("beta", BETAS)
def test_many_tokens_are_within_1e_12_of_the_largest_drift(beta):
    x, w = cloud("uniform", 30_000, 3)
    answer = harmonics.by_cells(x, w, law("sa", beta))
    rows = np.arange(0, len(x), 600)
    error = np.linalg.norm(answer.drift[rows] - direct.drift_at(x[rows], x, w, law("sa", beta)).drift, axis=1)
    assert (error <= answer.error_bound[rows]).all()
    assert error.max() < 1e-12 * abs(answer.drift).max()


def test_equal_tokens_in_one_cell_all_round_the_same_way():
    """Their common drift is zero, and their Z one."""
    x = np.repeat(sphere.uniform(1, 3, 4), 100_001, 0)
    answer = harmonics.by_cells(x, np.full(len(x), 1 / len(x)), law("sa", 25.0))
    assert np.linalg.norm(answer.drift, axis=1).max() <= answer.error_bound.min() < 1e-12
    assert abs(answer.Z - 1).max() < 1e-13


def test_both_ways_are_one_drift():
    x, w = cloud("clustered", 20_000, 3)
    one, two = (way(x, w, law("sa", 9.0)) for way in (harmonics.by_cells, harmonics.by_harmonics))
    assert (np.linalg.norm(one.drift - two.drift, axis=1) <= one.error_bound + two.error_bound).all()
    assert abs(one.Z - two.Z).max() < 1e-13


@pytest.mark.parametrize(
    ("n", "beta", "cells"),
    [(10**6, 25.0, True), (5000, 25.0, False), (10**6, 600.0, False), (1500, 0.1, False), (10**4, 5.0, True)],
)
def test_cells_serve_many_tokens_at_moderate_beta(n, beta, cells):
    assert (harmonics.cells_cost(n, beta) < harmonics.harmonics_cost(n, beta)) == cells


def test_moments_are_those_of_the_tokens(monkeypatch):
    monkeypatch.setattr(sphere_cells, "MONOMIALS", np.eye(sphere_cells.POWERS))  # of powers, not of T_b
    x, w = cloud("uniform", 3000, 3)
    g = sphere_cells.grid(5.0)
    M = sphere_cells.cell_moments(g, sphere_cells.deal_tokens(x.reshape(-1), w, g.N))
    theta, phi = np.arccos(x[:, 2]) * g.N / np.pi, np.arctan2(x[:, 1], x[:, 0]) % (2 * np.pi) * g.N / np.pi
    r, c = theta.astype(int), phi.astype(int)
    s, t = 2 * (phi - c) - 1, 2 * (theta - r) - 1
    for B, tile in enumerate(M):
        for a, b in np.ndindex(sphere_cells.POWERS - 4 * B, 4):
            expected = np.zeros((2 * g.N, g.N))
            np.add.at(expected, (c, r), w * s**a * t ** (4 * B + b))
            assert abs(tile[:, a, b] - expected).max() < 1e-15


def test_polynomials_of_cells_are_the_harmonics_and_their_slopes():
    """Y_lm of one degree and order, at tokens: by scipy's, and its slopes by differences of these."""
    from scipy.special import sph_harm_y

    g, (x, w) = sphere_cells.grid(5.0), cloud("uniform", 400, 3)
    at = sphere_cells.deal_tokens(x.reshape(-1), w, g.N)
    sphere_cells.cell_moments(g, at)
    alm = np.zeros((len(g.i), len(g.i), 2))
    l, m = 7, 3
    alm[m, l] = 0.5, 0.2
    sphere_cells.fill_values(sphere_cells.coefficients(g, alm), at)
    Y, slope, across = at.tokens[0].reshape(-1, 3)[at.where[0]].T
    theta, phi, h = np.arccos(x[:, 2]), np.arctan2(x[:, 1], x[:, 0]), 1e-5
    value = lambda theta, phi: 2 * ((-1) ** m * (0.5 + 0.2j) * sph_harm_y(l, m, theta, phi)).real
    assert abs(Y - value(theta, phi)).max() < 1e-14
    along = (value(theta + h, phi) - value(theta - h, phi)) / (2 * h)
    assert slope * 2 * g.N / np.pi == pytest.approx(along, abs=1e-7)
    assert across * np.sin(theta) == pytest.approx(
        (value(theta, phi + h) - value(theta, phi - h)) / (2 * h), abs=1e-7
    )


def test_the_same_bits_on_any_number_of_threads():
    x, w = cloud("clustered", 70_000, 3)
    answers = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            answers.append(harmonics.by_cells(x, w, law("sa", 25.0)))
        finally:
            torch.set_num_threads(1)
    for other in answers[1:]:
        for one, two in zip(answers[0], other, strict=True):
            assert np.array_equal(one, two)


@pytest.mark.parametrize("way", [harmonics.by_cells, harmonics.by_harmonics])
@pytest.mark.parametrize("offset", [1e-200, 1e-165, 1e-161, 1e-155, 1e-150, 1e-100])
def test_tokens_a_hair_from_a_pole(way, offset):
    """Squares of their distance from the pole are below the least of doubles."""
    x, w = cloud("uniform", 300, 3)
    x[0], x[1] = [0, -offset, 1], [offset, offset, -1]
    answer = way(x, w, law("sa", 1.0))
    expected = direct.drift_at(x[:2], x, w, law("sa", 1.0))
    assert (np.linalg.norm(answer.drift[:2] - expected.drift, axis=1) <= answer.error_bound[:2]).all()
