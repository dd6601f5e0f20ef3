"""The explorer's modules against the library: the same starts, flows, merges, noise and measures."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from flow_cases import CASES, whole
from in_node import answer, answers
from marks import slow_but

from spinodal import flows, observables, sphere, theory, watch
from spinodal.explorer import reading, recording
from spinodal.flows import AttentionField, Head
from spinodal.flows.fields.energy import energy_of
from spinodal.flows.time.noise import normal_draws
from spinodal.types import Trajectory

REACTION = "CCCCCCCC>>CCCC"


def start_of(case: dict[str, Any]) -> np.ndarray:
    seed, perturb = case.get("seed", 0), case.get("perturb")
    begin = flows.named_start(case.get("start", "uniform"), case["n"], case["d"], seed)
    return (flows.PerturbedStart(begin, perturb, seed) if perturb else begin).tokens()


def field_of(case: dict[str, Any], kappa: float = math.inf) -> AttentionField:
    head = Head(values=-1.0 if case.get("repulsive") else 1.0)
    return AttentionField(
        float(case["beta"]), case.get("kind", "sa"), (head,), case.get("causal", False), kappa=kappa
    )


@pytest.mark.parametrize("name", slow_but(CASES, "circle, beta 4", "repulsive", "gkpr", "causal usa, circle"))
def test_a_flow_is_that_of_the_library(name: str):
    """Positions within 1e-12, to a late consensus within 1e-8; the same merges, their times within 1e-6."""
    case = whole(name)
    found = answer("followed", **case)
    until = flows.time.CONSENSUS if case["until"] is None else float(case["until"])
    saves = [float(time) for time in case["times"]]
    expected = flows.simulate(field_of(case), start_of(case), until, saves=saves)
    times = [frame["time"] for frame in found["frames"]]
    assert times[:-1] == case["times"]
    assert times[-1] == pytest.approx(expected.times[-1], rel=1e-6)
    tokens = np.reshape([frame["tokens"] for frame in found["frames"]], (len(times), case["n"], case["d"]))
    assert np.abs(tokens - expected.tokens[1:]).max() < (1e-8 if case["until"] is None else 1e-12)
    merges = expected.merges
    pairs = [merge["tokens"] for merge in found["merges"]]
    assert pairs == np.stack([merges.first, merges.second], 1).tolist()
    assert [merge["clusters"] for merge in found["merges"]] == merges.clusters.tolist()
    assert [merge["time"] for merge in found["merges"]] == pytest.approx(merges.time.tolist(), rel=1e-6)
    if not case.get("causal"):
        log_energy = energy_of(field_of(case)).log(expected.tokens[-1], np.full(case["n"], 1 / case["n"]))
        assert found["logEnergy"] == pytest.approx(log_energy, rel=1e-9, abs=1e-9)


def test_the_limits_of_the_page_are_those_of_the_library():
    found = answer("limits")
    ranges = {name: tuple(found["RANGES"][name]) for name in reading.RANGES}
    assert ranges == reading.RANGES
    assert ranges["d"][1] == reading.WIDEST
    assert (found["MOVED"], found["ORTHONORMAL_D"]) == (reading.LATTICE_STEP, reading.ORTHONORMAL_D)
    assert (found["MOST"], tuple(found["LEVELS"])) == (reading.MOST, recording.LEVELS)


def test_starts_are_those_of_numpy_bit_for_bit():
    cases = [
        {"start": start, "n": n, "d": d, "seed": seed, "perturb": perturb}
        for start, n, d, seed, perturb in [
            ("uniform", 512, 2, 0, 0), ("uniform", 300, 3, 7, 0), ("uniform", 64, 64, 2**40 + 3, 0),
            ("uniform", 50, 13, 1, 0), ("uniform", 60, 2, 5, 1e-3), ("orthonormal", 9, 12, 0, 0),
        ]
    ]  # fmt: skip
    for case, found in zip(cases, answers([{"asked": "start", **case} for case in cases]), strict=True):
        assert found == start_of(case).ravel().tolist(), case


def rounded(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """A function of doubles, each value rounded correctly."""
    with mpmath.workprec(200):
        return np.array([float(function(mpmath.mpf(v))) for v in x.tolist()])


def test_lattices_are_those_of_numpy_with_sines_that_are_rounded_correctly(monkeypatch: pytest.MonkeyPatch):
    """NumPy's sines are those of the C library, of which one in a thousand is off by a bit, by the processor."""
    cases = [
        {"start": "lattice", "n": n, "d": d, "seed": 5, "perturb": perturb}
        for n, d, perturb in [(2, 2, 0), (48, 2, 0), (511, 2, 1e-3), (90, 3, 0), (512, 3, 0), (60, 3, 1e-2)]
    ]
    theirs = [start_of(case).ravel() for case in cases]
    for name in ("cos", "sin"):
        monkeypatch.setattr(np, name, partial(rounded, getattr(mpmath, name)))
    found = answers([{"asked": "start", **case} for case in cases])
    for case, mine, numpys in zip(cases, found, theirs, strict=True):
        assert mine == start_of(case).ravel().tolist(), case
        differ = mine != numpys
        assert np.abs(mine - numpys).max() < 2.3e-16, case
        assert differ.mean() < 0.01, case


def test_normal_numbers_are_those_of_numpy_bit_for_bit():
    """So many that the tail of the ziggurat and its corners occur."""
    plain, keyed = answers(
        [
            {"asked": "normals", "seed": 11, "count": 30000},
            {"asked": "normals", "philox": [5, 77], "count": 30000},
        ]
    )
    assert plain == np.random.default_rng(11).standard_normal(30000).tolist()
    assert keyed == normal_draws(5, 77, (30000,)).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("d", "causal"), [(2, False), (3, False), (3, True), (6, False)])
def test_noise_is_that_of_the_library(d: int, causal: bool):
    case = {"n": 24, "d": d, "beta": 4, "seed": 3, "start": "uniform", "causal": causal}
    found = answer("noisy", **case, kappa=30, step=0.01, steps=500)
    field = field_of(case, kappa=30.0)
    run = flows.simulate(field, start_of(case), 5.0, method=flows.Noisy(0.01, seed=3))
    assert np.abs(np.reshape(found, (24, d)) - run.tokens[-1]).max() < 1e-12


def test_cosines_and_clusters_are_those_of_the_library():
    import torch

    x, epsilons = sphere.uniform(120, 3, 2), [1e-3, 0.01, 0.1, 0.5]
    found = answer("measured", tokens=x.ravel().tolist(), n=120, d=3, epsilons=epsilons)
    way = Trajectory(torch.zeros(1), torch.from_numpy(x)[None, None], torch.ones(1, 120, dtype=torch.bool))
    assert found["mean"] == pytest.approx(float(observables.mean_cosine(way)[0, 0]), abs=1e-12)
    cosines = (x @ x.T)[np.triu_indices(120, 1)]
    assert found["quantiles"] == pytest.approx(np.quantile(cosines, [0.05, 0.25, 0.5, 0.75, 0.95]), abs=6e-3)
    for count, firsts, epsilon in zip(found["clusters"], found["firsts"], epsilons, strict=True):
        labels = observables.cluster_labels(way, epsilon)[0, 0].numpy()
        assert count == labels.max() + 1
        assert firsts == [int(np.flatnonzero(labels == label)[0]) for label in labels]


@pytest.mark.parametrize("d", [2, 3])
def test_captured_tokens_are_measured_as_one_by_one(d: int):
    case = {"n": 90, "d": d, "beta": 6, "seed": 1, "start": "uniform", "clusters": 30}
    grouped, each = answer("captured", epsilons=[1e-6, 1e-3, 0.1, 0.5], **case)
    assert grouped["mean"] == pytest.approx(each["mean"], abs=1e-9)
    assert grouped["clusters"] == each["clusters"]
    assert grouped["quantiles"] == pytest.approx(each["quantiles"], abs=5.1e-3)


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_the_curve_of_orthogonal_tokens_is_the_theory(kind: str):
    times = [0.2, 1.0, 3.0]
    found = answer("gamma", kind=kind, n=40, beta=2, times=times)
    clock = math.exp(-2) if kind == "gkpr" else 1.0
    gamma = theory.gamma_sa if kind == "sa" else theory.gamma_usa
    assert found == pytest.approx(np.asarray(gamma(np.array(times) * clock, 40, 2.0)), abs=1e-3)


@pytest.mark.parametrize("beta", [9, 25])
def test_frames_follow_movement_and_end_with_the_last_merge(beta: int):
    """At beta = 25 the last tokens meet within the rounding of the time."""
    case = {"n": 40, "d": 2, "beta": beta, "seed": 1, "start": "uniform", "kappa": 0, "until": 0}
    found = answer("frames", **case)
    frames, merges = found["frames"], found["merges"]
    assert frames[0]["time"] == 0
    assert frames[-1]["time"] == merges[-1]["time"]
    assert (np.diff([frame["time"] for frame in frames]) >= 0).all()
    moved = np.diff([frame["moved"] for frame in frames])
    assert (moved >= 0).all()
    assert moved.max() < 0.0201
    assert frames[-1]["followed"] == 1
    assert frames[-1]["mean"] == pytest.approx(1, abs=1e-12)
    assert not found["failed"]


def test_tokens_that_rest_apart_are_said_to():
    found = answer("frames", start="given", tokens=[1, 0, -1, 0], n=2, d=2, beta=1, seed=0, kappa=0, until=0)
    assert "no consensus" in found["failed"]


def test_the_tokens_of_a_model_in_the_page_are_its_own():
    """`python tools/albert.py` writes them; a byte a number leaves cosines within .01."""
    told = answer("model")
    seen = watch.observe(
        watch.Observation(watch.source_named("rxnmapper", text=REACTION), watch.Question(nulls=()))
    )
    assert told["words"] == list(seen.shown.words)
    assert told["means"] == pytest.approx([layer.mean_cosine for layer in seen.layers], abs=0.01)
    assert (told["step"], told["beta"]) == pytest.approx((seen.clock.step_at_beta, seen.beta), rel=1e-2)
