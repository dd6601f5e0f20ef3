"""Recipes that draw: what they measure lies where they expect it, in the whole form where that is a minute's work.

`WHOLE` are drawn whole where slow tests run. `QUICK_ALONE` says why the whole form of the others is not: there the
expectation of the whole form is stated, and that of the quick form tested.
"""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spinodal import recipes, theory
from spinodal.errors import InputError
from spinodal.recipes import o2_three_models
from spinodal.recipes.f6_long_waits import share_nearer

DRAWN = [name for name in recipes.names() if recipes.header(name)["Command"].startswith("spinodal draw")]
QUICK_ALONE = {
    "four-bits": "20 minutes on two cores: it trains 30 decoders",
    "f2-phase-diagram": "8 minutes on two cores",
    "f14-random-qkv": "6 minutes on two cores",
    "graph-recall": "30 minutes: it trains 9 readers at 8 lengths",
    "o1-albert": "a trained model that must be fetched, 48 layers deep, and its null",
    "o2-three-models": "three trained models that must be fetched, and espeak-ng",
    "o3-albert-flow": "a trained model that must be fetched, 2,000 layers deep",
} | dict.fromkeys(recipes.paper_names(), "its PAPER holds what the whole form found: test_papers.py")
WHOLE = [name for name in DRAWN if name not in QUICK_ALONE]
FAST = {"f5-staircase", "g3-energy-descent"}


def drawn(name: str, folder: Path, *, quick: bool) -> dict:
    """What a recipe measures, after all was found inside its interval and every picture is one."""
    found = recipes.module(name, "draw")
    measured = found.draw(folder, quick=quick)
    judged = recipes.compare_with(measured, recipes.expected_intervals(found, quick=quick))
    assert any(row.expected for row in judged)
    assert [row for row in judged if row.outside] == []
    pictures = list(folder.glob("*.png"))
    assert pictures
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 200
    return measured


def test_every_whole_form_that_is_not_drawn_is_named_with_its_reason():
    assert QUICK_ALONE.keys() <= set(DRAWN)
    assert set(DRAWN) >= FAST
    assert all("EXPECTED" in vars(recipes.module(name)) for name in DRAWN)
    assert all("quick" in inspect.signature(recipes.module(name).draw).parameters for name in DRAWN)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in DRAWN]
)
def test_the_quick_form_measures_what_is_expected(name: str, unchecked, tmp_path: Path):
    measured = drawn(name, tmp_path, quick=True)
    if name in MORE:
        MORE[name](measured)


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_form_measures_what_is_expected(name: str, unchecked, tmp_path: Path):
    drawn(name, tmp_path, quick=False)


def test_a_number_outside_its_interval_is_found():
    """Even by little, at either end; a recipe's own numbers are inside."""
    found = recipes.module("g2-bifurcations")
    low, high = recipes.expected_intervals(found)["pitchfork 2"]
    for value, outside in ((low, False), (high, False), (low - 1e-9, True), (high + 1e-9, True)):
        [row] = [
            r
            for r in recipes.compare_with({"pitchfork 2": value}, recipes.expected_intervals(found))
            if r.value is not None
        ]
        assert row.outside is outside
    assert all(row.outside for row in recipes.compare_with({}, recipes.expected_intervals(found)))


def clusters_by_chance(measured: dict) -> None:
    """Shares sum to one, the usual number is the most frequent, and none is far beyond the fastest degree."""
    for beta, time, usual in (("4", "18", 2), ("9", "30", 3)):
        for epsilon in ("0.01", "0.001", "1e-06"):
            text = measured[f"beta = {beta}, t = {time}, clusters within {epsilon}"]
            share = {int(k): float(p) for k, p in re.findall(r"(\d+): ([\d.]+)", text)}
            assert sum(share.values()) == pytest.approx(1, abs=1e-3)
            assert max(share, key=share.__getitem__) == usual
            assert max(share) <= theory.fastest_degree(2, float(beta)) + 1


def merges_at_known_times(measured: dict) -> None:
    merges = [float(time) for time in measured["beta = 1000, log(t) / beta of merges"].split(", ")]
    assert np.allclose(merges[2:], [0.02915, 0.07257], atol=1e-5)


def every_start_ends_at_optimal_points(measured: dict) -> None:
    told = [value for value in measured.values() if isinstance(value, str)]
    assert len(told) == 4
    assert all(text.startswith("1 of 1") for text in told)


def slope_of_ngpt(measured: dict) -> None:
    assert measured["nGPT: slope at 0"] == pytest.approx(2 / np.sqrt(np.exp(6) + 31), rel=1e-12)


def not_yet_at_one_point(measured: dict) -> None:
    assert measured["1 - least cosine at T"] > 0


# What intervals do not say
MORE = {
    "f1-sphere": not_yet_at_one_point,
    "f3-metastable-circle": clusters_by_chance,
    "f5-staircase": merges_at_known_times,
    "f10-optimal-points": every_start_ends_at_optimal_points,
    "f13-normalisation": slope_of_ngpt,
}


def test_what_is_not_installed_is_said_before_a_model_is_read(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(o2_three_models.shutil, "which", lambda name: None)
    monkeypatch.setattr(o2_three_models, "open_model", lambda *_, **__: pytest.fail("a model was read"))
    with pytest.raises(InputError, match="espeak-ng, which is not installed"):
        o2_three_models.draw(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_share_of_near_clusters_has_its_digits():
    """Clusters 1e-9 apart, whose cosines are equal in double precision."""
    x = np.array([[1.0, 0.0], [1.0, 1e-9], [1.0, 1e-9]])
    assert share_nearer(x, x[0], x[1]) == pytest.approx(1 / 3)
