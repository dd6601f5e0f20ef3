"""Observables over many starts, and lifetimes of clusters, against theory and single simulations."""

import numpy as np
import pytest

from spinodal import figures, flows, observables, theory
from spinodal.errors import InputError
from spinodal.flows import AttentionField, LatticeStart, Noisy, PerturbedStart, Simulation, UniformStart
from spinodal.runs import decode, encode, equal

SIMULATION = Simulation(AttentionField(1.0), UniformStart(8, 3, seed=5), until=1.0, times=4)


def test_rows_are_the_simulations_of_the_seeds_and_errors_those_of_their_mean():
    found = flows.ensemble(SIMULATION, ["polarisation", "energy"], starts=5)
    for s in (0, 4):
        alone = flows.evolve(
            Simulation(AttentionField(1.0), UniformStart(8, 3, seed=5 + s), until=1.0, times=4)
        )
        expected = observables.measure(alone, ["polarisation", "energy"], observables.Scales(beta=1.0))
        for name, values in expected.items():
            assert found.values[name][s] == pytest.approx(values[:, 0].numpy(), abs=1e-12)
    values = found.values["polarisation"]
    assert found.times.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert found.mean("polarisation") == pytest.approx(values.mean(0))
    assert found.standard_error("polarisation") == pytest.approx(values.std(0, ddof=1) / np.sqrt(5))
    low, middle, high = found.quantiles("polarisation", [0.0, 0.5, 1.0])
    assert np.array_equal(low, values.min(0))
    assert middle == pytest.approx(np.median(values, 0))
    assert np.array_equal(high, values.max(0))
    assert equal(decode(flows.EnsembleResult, *encode(found)), found)
    assert figures.draw(found).keys() == {"observables"}


@pytest.mark.slow
def test_the_error_bar_holds_the_exact_mean():
    """Of uniform tokens the mean of |mean x|^2 is 1/n, and noise alone keeps it there."""
    simulation = Simulation(AttentionField(0.0, kappa=1e9), UniformStart(12, 3), 0.01, Noisy(0.01), times=2)
    found = flows.ensemble(simulation, ["mean_cosine"], starts=80)
    mean, error = found.mean("mean_cosine")[0], found.standard_error("mean_cosine")[0]
    assert abs(mean) < 3 * error
    assert error == pytest.approx(np.sqrt(2 / (12 * 11) / 3 / 80), rel=0.3)


def test_starts_without_a_seed_have_that_of_their_noise():
    noisy = Simulation(AttentionField(1.0, kappa=5.0), LatticeStart(6, 2), 0.1, Noisy(0.05), times=2)
    values = flows.ensemble(noisy, ["polarisation"], starts=3).values["polarisation"]
    assert len(set(values[:, -1])) == 3
    moved = Simulation(AttentionField(1.0), PerturbedStart(LatticeStart(6, 2), 0.1), 0.1, times=2)
    assert len(set(flows.ensemble(moved, ["polarisation"], starts=3).values["polarisation"][:, 0])) == 3
    still = Simulation(AttentionField(1.0), LatticeStart(6, 2), 0.1, times=2)
    with pytest.raises(InputError, match="`start` LatticeStart has no seed"):
        flows.ensemble(still, ["polarisation"], starts=3)


def test_a_pair_of_clusters_lasts_as_long_as_theory_says():
    """Three tokens, two of which merge at once: the pair of masses 2/3 and 1/3 lasts as two clusters do."""
    beta = 4.0
    angles = [np.array([0.0, 1e-6, u]) for u in (0.8, 1.4)]
    for u, at in zip((0.8, 1.4), angles, strict=True):
        tokens = np.stack([np.cos(at), np.sin(at)], 1)
        simulation = Simulation(
            AttentionField(beta), PerturbedStart(flows.TokenStart(tokens), 0.0), flows.CONSENSUS
        )
        found = flows.lifetimes(simulation, starts=2)
        assert found.clusters.tolist() == [2, 2]
        expected = theory.two_cluster_time_sa(1e-8, beta, start=u, share=1 / 3)
        assert found.end == pytest.approx(expected, rel=1e-4)
        assert found.lifetimes == pytest.approx(found.end - found.begin)


def test_states_that_were_cut_off_count_in_the_survival():
    simulation = Simulation(AttentionField(3.0), UniformStart(5, 2), until=45.0, times=2)
    found = flows.lifetimes(simulation, starts=15)
    assert found.unfinished.any()
    assert np.all(found.end[found.unfinished] == 45.0)
    assert np.all(found.clusters > 1)
    times, share = found.survival(2)
    pairs = found.clusters == 2
    done = np.sort(found.lifetimes[pairs & ~found.unfinished])
    first = (found.lifetimes[pairs] >= done[0]).sum()  # at risk when the first pair merges
    assert share[times == done[0]] == pytest.approx(1 - 1 / first)
    assert np.all(np.diff(share) <= 0)
    assert share.min() > 0 or not found.unfinished[pairs].any()
    assert equal(decode(flows.LifetimesResult, *encode(found)), found)
    assert figures.draw(found).keys() == {"survival"}
    with pytest.raises(InputError, match="`clusters` 99: no start had so many"):
        found.survival(99)


def test_what_has_no_common_times_or_no_merges_is_refused():
    consensus = Simulation(AttentionField(1.0), UniformStart(4, 2), flows.CONSENSUS)
    weighted = Simulation(AttentionField(1.0), UniformStart(2, 2), 1.0, weights=np.array([0.5, 0.5]))
    causal = Simulation(AttentionField(1.0, causal=True), UniformStart(4, 2), 1.0)
    found = flows.ensemble(SIMULATION, ["clusters"], starts=2)
    for call, said in [
        (
            lambda: flows.ensemble(consensus, ["clusters"]),
            "`until` consensus: starts reach it at different times",
        ),
        (lambda: flows.ensemble(weighted, ["clusters"]), "`weights`: observables count all tokens alike"),
        (lambda: flows.ensemble(SIMULATION, ["temperature"]), "no observable has this name"),
        (lambda: flows.ensemble(SIMULATION, ["clusters"], starts=1), "`starts` 1: at least two"),
        (lambda: flows.lifetimes(causal), "its tokens do not merge"),
        (lambda: found.mean("energy"), "`name` 'energy': measured were clusters"),
        (lambda: found.quantiles("clusters", [2.0]), "between 0 and 1"),
    ]:
        with pytest.raises(InputError, match=said):
            call()
