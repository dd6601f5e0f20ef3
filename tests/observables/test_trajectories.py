"""Observables take a trajectory, what holds one, or an array of tokens, and mean the same by each."""

import numpy as np
import pytest
import torch

from spinodal import flows, observables, runs
from spinodal.errors import InputError
from spinodal.types import Trajectory

SIMULATION = flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(8, 2), 1.0, times=4)
OBSERVED = {
    "cluster_count": lambda x: observables.cluster_count(x, 0.1),
    "cluster_labels": lambda x: observables.cluster_labels(x, 0.1),
    "cosine_histogram": lambda x: observables.cosine_histogram(x, 4),
    "effective_rank": lambda x: observables.effective_rank(x, centred=True),
    "log_dissipation_sa": lambda x: observables.log_dissipation_sa(x, 2.0),
    "log_dissipation_usa": lambda x: observables.log_dissipation_usa(x, 2.0),
    "log_energy": lambda x: observables.log_energy(x, 2.0),
    "mean_cosine": observables.mean_cosine,
    "order_parameters": lambda x: observables.order_parameters(x, 3),
    "pair_probability": lambda x: observables.pair_probability(x, torch.tensor([0.5])),
    "measure": lambda x: observables.measure(x, ["polarisation"])["polarisation"],
}


@pytest.mark.parametrize("name", OBSERVED)
def test_arrays_results_runs_and_trajectories_are_observed_alike(name: str, tmp_path):
    result, ask = flows.evolve(SIMULATION), OBSERVED[name]
    with runs.open_run(tmp_path, kind="simulate", config=SIMULATION) as folder:
        folder.finish(result, arrays="trajectory.npz")
    expected = ask(result.trajectory)
    for observed in (
        result,
        runs.read_run(tmp_path),
        runs.read(tmp_path),
        result.tokens,
        result.tokens[:, None],
    ):
        assert torch.equal(ask(observed), expected)
    assert torch.equal(ask(result.tokens[-1].tolist()), expected[-1:])


def test_times_of_an_array_count_its_frames_and_no_token_is_padding():
    found = observables.trajectory_of(np.ones((3, 2, 5, 4)))
    assert found.times.tolist() == [0.0, 1.0, 2.0]
    assert found.valid.shape == (2, 5)
    assert found.valid.all()
    assert isinstance(found, Trajectory)
    assert observables.trajectory_of(found) is found


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ("runs/wait", "a str holds no tokens"),
        ({}, "a dict holds no tokens"),
        (np.ones(3), r"shape \(3,\): real numbers \[n d\]"),
        (np.ones((3, 3)) > 0, "of type torch.bool"),
        (np.ones((3, 3)) * 1j, "of type torch.complex128"),
    ],
)
def test_what_holds_no_tokens_is_refused(observed, said: str):
    with pytest.raises(InputError, match=said):
        observables.mean_cosine(observed)


def test_a_run_without_tokens_over_time_says_so(tmp_path):
    diagram = flows.Diagram(d=(2,), betas=(1.0,), times=(1.0,), clock=("layer", 0.5), n=4, samples=2)
    with runs.open_run(tmp_path, kind="phase-diagram", config=diagram, owned=("map.npz",)) as folder:
        found = flows.phase_diagram(diagram)
        arrays = {"probability": found.probability, "standard_error": found.standard_error}
        folder.save_arrays("map.npz", arrays)
        folder.finish({})
    assert runs.equal(runs.read(tmp_path), found)
    with pytest.raises(InputError, match="a run of phase-diagram: its result holds no tokens over time"):
        observables.mean_cosine(runs.read_run(tmp_path))
