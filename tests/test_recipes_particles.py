"""Figures of single flows, in their quick versions: the numbers that they must show, and the files."""

import re
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from PIL import Image

from spinodal import theory
from spinodal.recipes import module


@pytest.fixture
def drawn(tmp_path: Path):
    def draw(name: str, picture: str) -> dict:
        measured = module(name, "draw").draw(tmp_path, quick=True)
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) > 200
        return measured

    return draw


def test_f1_tokens_on_the_sphere_reach_one_point(drawn):
    found = drawn("f1-sphere", "sphere.png")
    assert found["largest ||x| - 1|"] < 1e-12
    assert found["smallest step of log E"] > -1e-12
    assert 0 < found["1 - least cosine at T"] < 1e-4
    assert found["rate of 1 - least cosine"] == pytest.approx(2, abs=1e-4)


def shares(told: str) -> dict[int, float]:
    return {int(k): float(share) for k, share in re.findall(r"(\d+): ([\d.]+)", told)}


def test_f3_numbers_of_clusters_and_how_little_epsilon_matters(drawn):
    found = drawn("f3-metastable-circle", "clusters.png")
    for beta, time, most in (("4", "18", 2), ("9", "30", 3)):
        for epsilon in ("0.01", "0.001", "1e-06"):
            share = shares(found[f"beta = {beta}, t = {time}, clusters within {epsilon}"])
            assert sum(share.values()) == pytest.approx(1, abs=1e-3)
            assert max(share, key=share.__getitem__) == most
            assert max(share) <= theory.fastest_degree(2, float(beta)) + 1
        assert found[f"beta = {beta}, largest matrix rank"] == 2  # a rank cannot count to three


def test_f5_levels_and_merges_of_the_staircase(drawn):
    found = drawn("f5-staircase", "staircase.png")
    assert found["beta = 1000, levels off by"] < 1e-5
    merges = [float(time) for time in found["beta = 1000, log(t) / beta of merges"].split(", ")]
    assert np.allclose(merges[2:], [0.02915, 0.07257], atol=1e-5)
    assert found["beta = 1000, merges off the pair's by"] < 0.03


def test_f6_merge_times_to_four_digits_and_the_wait_in_closed_form(drawn):
    found = drawn("f6-long-waits", "long-waits.png")
    assert found["largest relative difference"] < 5e-5
    assert found["waits off the closed form by"] < 1e-4
    assert found["longest wait"] > 100


def test_f9_all_reach_the_first_token(drawn):
    found = drawn("f9-causal", "causal.png")
    assert found["movement of the first token"] <= 1e-15
    assert found["largest angle at T"] < 1e-7
    assert found["token 2 over its closed form - 1"] < 1e-6
    assert found["rate of the largest angle"] == pytest.approx(0.5, abs=0.02)


def test_f10_optimal_points_are_reached(drawn):
    found = drawn("f10-optimal-points", "optimal-points.png")
    assert len(found) == 4
    assert all(told.startswith("1 of 1") for told in found.values())


def test_f13_slopes_curves_and_tails_of_six_schemes(drawn):
    jaxtyping.config.update(
        "jaxtyping_disable", True
    )  # its flows have many steps, and checks take four times as long
    try:
        found = drawn("f13-normalisation", "normalisation.png")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    for name in ("post-LN", "pre-LN", "mix-LN", "peri-LN", "nGPT", "sqrt"):
        assert found[f"{name}: slope off by"] < 1e-10
        assert found[f"{name}: curve off by"] < 1e-5
        assert found[f"{name}: tail off by"] < 1e-2
    assert found["nGPT: slope at 0"] == pytest.approx(2 / np.sqrt(np.exp(6) + 31), rel=1e-12)
