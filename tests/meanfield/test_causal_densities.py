"""Densities under a causal mask: what SA makes of it, Kuramoto's order in each prefix, and many tokens."""

import numpy as np
import pytest
from scipy.integrate import cumulative_simpson, solve_ivp

from spinodal import figures, flows
from spinodal.errors import InputError
from spinodal.flows import AttentionField, Head
from spinodal.meanfield import CausalSlices, CircleModes, DensityExperiment, WhiteNoise, evolve
from spinodal.meanfield.causal import prefix_rule
from spinodal.meanfield.kernel import law_of
from spinodal.meanfield.starts import sphere_harmonics
from spinodal.runs import decode, encode, equal

WAVES = CircleModes(np.array([0.5, 0.2]), np.array([0.4, -1.0]))
CAP = sphere_harmonics(np.array([1, 2]), np.array([0.0, 1.0]), np.array([0.3, 0.1]))


def test_prefixes_are_integrated_exactly():
    s, c, A = prefix_rule(5)
    for power in range(5):
        np.testing.assert_allclose(A @ s**power, s ** (power + 1) / (power + 1), atol=1e-15)
    assert c @ s**9 == pytest.approx(0.1, rel=1e-14)


def test_under_sa_the_density_is_that_without_a_mask_and_its_slices_are_one():
    causal, full = (
        evolve(DensityExperiment(AttentionField(2.0, causal=causal), WAVES, 0.6)) for causal in (True, False)
    )
    np.testing.assert_array_equal(causal.record.moments, full.record.moments)
    solver = CausalSlices(law_of(AttentionField(2.0, causal=True), 2), WAVES, slices=4)
    while solver.time < 0.6:
        solver.advance(0.6)
    np.testing.assert_allclose(solver.x, solver.x[:1].repeat(4, 0), atol=1e-10)
    assert solver.moments(5) == pytest.approx(full.record.moments[-1, :6], abs=1e-7)


@pytest.mark.slow
def test_under_usa_each_prefix_has_the_order_of_kuramoto():
    """beta = 0: m_k(s) = r(s)^k of Poisson kernels, dr/dt = (1 - r^2) / 2 int_0^s r ds'  [derived]."""
    r, k = 0.4, np.arange(1, 33)
    field = AttentionField(0.0, "usa", causal=True)
    experiment = DensityExperiment(field, CircleModes(2 * r**k, np.zeros(32)), 1.5, resolution=24, slices=6)
    result = evolve(experiment)
    grid = np.linspace(0, 1, 401)
    rate = lambda t, r: (1 - r**2) / 2 * cumulative_simpson(r, x=grid, initial=0)
    ends = solve_ivp(rate, (0, 1.5), np.full(401, r), rtol=1e-10, atol=1e-12).y[:, -1]
    index, tokens, weights = result.index, result.tokens, result.weights
    assert index is not None
    assert tokens is not None
    assert weights is not None
    for s in np.unique(index):
        here = index == s
        order = weights[here] @ tokens[here] / weights[here].sum()
        assert order == pytest.approx([np.interp(s, grid, ends), 0.0], abs=2e-6)
    assert result.record.moments[-1, 1] == pytest.approx(
        cumulative_simpson(ends, x=grid, initial=0)[-1], abs=1e-6
    )
    assert result.mass_error < 1e-13
    assert (result.growth_rates, result.forecast) == ((), None)
    assert figures.draw(result).keys() == {"amplitudes", "life"}
    assert equal(decode(DensityExperiment, *encode(experiment)), experiment)


@pytest.mark.slow
def test_on_the_sphere_slices_converge_to_many_tokens():
    """Tokens at the nodes of 20 blocks of indices: half of its own block is read, an error of 1 / 20^2."""
    field = AttentionField(1.0, "usa", (Head(queries=2.0),), causal=True)
    few, more = (
        evolve(DensityExperiment(field, CAP, 1.0, resolution=4, slices=slices)).record.moments[-1]
        for slices in (4, 8)
    )
    assert few[:6] == pytest.approx(more[:6], abs=1e-7)
    solver = CausalSlices(law_of(field, 3), CAP, degree=4, slices=2)
    m, blocks = len(solver.mass), 20
    x = np.tile(solver.x[0], (blocks, 1))
    block = np.repeat(np.arange(blocks), m)
    reads = np.where(block[:, None] > block, 0.0, np.where(block[:, None] == block, np.log(0.5), -np.inf))
    run = flows.simulate(
        AttentionField(1.0, "usa", (Head(queries=2.0),), positions=flows.Positions("matrix", places=reads)),
        x, 1.0, weights=np.tile(solver.mass, blocks) / blocks, method=flows.Adaptive(1e-5),
    )  # fmt: skip
    mean = (np.tile(solver.mass, blocks) / blocks) @ run.tokens[-1]
    assert np.linalg.norm(mean) == pytest.approx(more[1], rel=2e-3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"slices": 4}, "only USA under a causal mask"),
        ({"field": AttentionField(1.0, "usa", causal=True), "slices": 1}, "`slices` 1: from 2 to 64"),
        ({"field": AttentionField(1.0, "usa", causal=True), "probes": 5}, "`probes` with a causal mask"),
        ({"field": AttentionField(1.0, "usa", causal=True), "until": "diracs"}, "`until` diracs"),
        (
            {"field": AttentionField(1.0, "usa", causal=True), "start": WhiteNoise(geometry="zonal")},
            "with noise, and zonal",
        ),
    ],
)
def test_what_does_not_fit_is_refused(more, said):
    with pytest.raises(InputError, match=said):
        DensityExperiment(**{"field": AttentionField(1.0), "start": WAVES, "until": 1.0} | more)
