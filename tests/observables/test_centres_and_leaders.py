"""Rényi centres and leaders against their definitions, written out."""

import math

import numpy as np
import pytest
import torch

from spinodal import flows, observables, sphere
from spinodal.errors import InputError
from spinodal.types import Trajectory

PARKING = 0.7475979  # Rényi's constant: the share of a line that random cars of unit length fill


def angle(x, y) -> float:
    return 2 * math.asin(min(1.0, float(np.linalg.norm(x - y)) / 2))


def naive_centres(x, separation: float, strong: bool) -> list[bool]:
    found: list[bool] = []
    for i in range(len(x)):
        read = range(i) if strong else [j for j in range(i) if found[j]]
        found.append(all(angle(x[i], x[j]) > separation for j in read))
    return found


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_centres_are_those_of_the_definition(d: int, strong: bool):
    x = np.stack([sphere.uniform(40, d, seed) for seed in range(6)]).reshape(3, 2, 40, d)
    valid = torch.ones(2, 40, dtype=torch.bool)
    valid[0, [0, 7, 39]] = False
    trajectory = Trajectory(torch.arange(3.0), torch.from_numpy(x), valid)
    for separation in (0.1, 0.5, 1.3, 4.0):
        found = observables.renyi_centres(trajectory, separation, strong=strong)
        assert not found[:, ~valid].any()
        for frame, tokens in zip(found, x, strict=True):
            for row, sequence, keep in zip(frame, tokens, valid.numpy(), strict=True):
                assert row[keep].tolist() == naive_centres(sequence[keep], separation, strong)


def test_centres_on_the_circle_park_as_renyi_says():
    angles = (
        torch.rand(8, 10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    )
    tokens = torch.stack([angles.cos(), angles.sin()], -1)[None]
    counts = observables.renyi_centres(tokens, 0.1).sum(-1).double()
    assert float(counts.mean()) * 0.1 / (2 * math.pi) == pytest.approx(PARKING, rel=0.02)


def test_strong_centres_of_causal_attention_stay_and_the_name_counts_centres():
    x = sphere.uniform(60, 2, 3)
    run = flows.simulate(flows.AttentionField(64.0, causal=True), x, 10.0)
    separation = 4 / math.sqrt(64)
    strong = observables.renyi_centres(x, separation, strong=True)[0, 0].numpy()
    moved = [angle(a, b) for a, b in zip(run.tokens[0], run.tokens[-1], strict=True)]
    assert strong.sum() >= 3
    assert max(np.array(moved)[strong]) < 0.02
    assert max(moved) > 0.2
    counted = observables.measure(run, ["renyi_centres"], observables.Scales(beta=64.0))["renyi_centres"]
    assert counted[0, 0] == observables.renyi_centres(x, separation).sum()


@pytest.mark.parametrize("general", [False, True])
def test_leaders_are_in_their_own_argmax(general: bool):
    generator = np.random.default_rng(0)
    x, A = (
        generator.standard_normal((2, 1, 30, 3)),
        generator.standard_normal((3, 3)) if general else np.eye(3),
    )
    found = observables.leaders(x, coupling=A if general else None)
    for frame, tokens in zip(found[:, 0], x[:, 0], strict=True):
        scores = tokens @ A.T @ tokens.T
        assert frame.tolist() == (scores.argmax(1) == np.arange(30)).tolist()
        assert frame.any() or general


def test_leaders_are_the_corners_of_a_square_and_all_tokens_of_a_sphere():
    corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    x = np.concatenate([corners, 0.5 * corners, np.zeros((1, 2)), corners[:1]])
    # a token at 0 has one score for all, and follows itself as well as any
    assert observables.leaders(x)[0, 0].tolist() == [True] * 4 + [False] * 4 + [True] * 2
    near = sphere.normalise(np.array([[1.0, 0.0], [1.0, 1e-9], [0.0, 1.0]]))
    assert observables.leaders(near).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="`separation` 0: an angle above 0"):
        observables.renyi_centres(np.eye(3), 0.0)
    with pytest.raises(InputError, match=r"`coupling` has shape \(2, 2\): tokens need \(3, 3\)"):
        observables.leaders(np.eye(3), coupling=np.eye(2))
