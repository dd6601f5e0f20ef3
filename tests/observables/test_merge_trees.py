"""Merge trees and plateaus of made histories, where every event is known."""

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.observables import cluster_labels, merge_tree, plateaus
from spinodal.types import Trajectory

TIMES = torch.tensor([0.0, 1.0, 10.0, 100.0], dtype=torch.float64)


def test_merges_into_one():
    """The heavier goes on, the older if equal; four branches, three deaths."""
    tree = merge_tree(
        TIMES, torch.tensor([[0, 1, 1, 2, 3], [0, 1, 1, 2, 2], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    )
    assert tree.births.tolist() == [0, 0, 0, 0]
    assert tree.deaths.tolist() == [10, np.inf, 100, 1]
    assert tree.absorbed_by.tolist() == [1, -1, 1, 2]
    assert tree.split_from.tolist() == [-1, -1, -1, -1]
    np.testing.assert_allclose(tree.mass, [0.2, 1.0, 0.4, 0.2])
    assert tree.branch.tolist() == [[0, 1, 1, 2, 3], [0, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 1, 1]]


def test_weights_decide_who_goes_on():
    labels = torch.tensor([[0, 1, 1], [0, 0, 0]])
    assert merge_tree(TIMES[:2], labels).absorbed_by.tolist() == [1, -1]
    heavy = merge_tree(TIMES[:2], labels, weights=torch.tensor([5.0, 1.0, 1.0]))
    assert heavy.absorbed_by.tolist() == [-1, 0]
    np.testing.assert_allclose(heavy.mass, [1.0, 2 / 7])


def test_a_split_is_a_birth_and_a_swap_is_both():
    labels = torch.tensor([[0, 0, 0, 1, -1], [0, 1, 1, 2, -1], [0, 1, 1, 0, -1]])
    tree = merge_tree(TIMES[:3], labels)
    # token 0 leaves the branch of 1 and 2; then token 3's older branch takes it in
    assert tree.births.tolist() == [0, 0, 1]
    assert tree.split_from.tolist() == [-1, -1, 0]
    assert tree.deaths.tolist() == [np.inf, np.inf, 10]
    assert tree.absorbed_by.tolist() == [-1, -1, 1]
    assert tree.branch.tolist() == [[0, 0, 0, 1, -1], [2, 0, 0, 1, -1], [1, 0, 0, 1, -1]]


def test_a_dissolving_cluster_dies_into_its_largest_part():
    tree = merge_tree(TIMES[:2], torch.tensor([[0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 0, 1, 1]]))
    # two tokens of branch 0 go to branch 1, one to branch 2: equal masses in cluster 0, the first token wins
    assert tree.absorbed_by.tolist() == [-1, 0, -1]
    tree = merge_tree(TIMES[:2], torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 0, 0, 0, 1, 1]]))
    assert tree.absorbed_by.tolist() == [1, -1, -1]


def test_ties_go_to_the_first_token():
    # halves of one branch: the half with the first token goes on
    tree = merge_tree(TIMES[:2], torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1]]))
    assert tree.branch[1].tolist() == [0, 1, 0, 1]
    assert tree.split_from.tolist() == [-1, 0]
    # a new cluster of one token each from two equal branches is split off the first
    tree = merge_tree(TIMES[:2], torch.tensor([[0, 1, 0, 1, 0, 1], [0, 0, 1, 2, 1, 2]]))
    assert tree.branch[1].tolist() == [2, 2, 0, 1, 0, 1]
    assert tree.split_from.tolist() == [-1, -1, 0]


def test_every_merge_of_a_flow_is_a_death():
    """Tokens contract to five centres which then close in: as many deaths as clusters lost, masses conserved."""
    rng = np.random.default_rng(0)
    theta, noise = np.repeat([0.0, 0.3, 1.0, 2.2, 2.3], 8), 0.02 * rng.normal(size=40)
    angle = np.stack([theta * (1 - s) + noise * (1 - s) for s in np.linspace(0, 1, 12)])
    tokens = torch.tensor(np.stack([np.cos(angle), np.sin(angle)], -1))[:, None]
    times = torch.linspace(0, 11, 12, dtype=torch.float64)
    labels = cluster_labels(Trajectory(times, tokens, torch.ones(1, 40, dtype=torch.bool)), 1e-3)[:, 0]
    tree = merge_tree(times, labels)
    alive = (tree.births <= times[:, None]) & (times[:, None] < tree.deaths)
    assert torch.equal(alive.sum(1), labels.amax(1) + 1)
    assert torch.isinf(tree.deaths).sum() == 1
    assert tree.mass[torch.isinf(tree.deaths)].item() == pytest.approx(1.0)
    for k in range(len(tree.births)):
        seen = times[(tree.branch == k).any(1)]
        assert seen[0] == tree.births[k]
        assert seen[-1] < tree.deaths[k]


def test_plateaus_are_maximal():
    counts = torch.tensor([5, 5, 3, 3, 3, 1])
    times = torch.tensor([0.0, 1, 10, 20, 40, 100], dtype=torch.float64)
    found = plateaus(times, counts)
    assert [tuple(p[:3]) for p in found] == [(5, 0.0, 10.0), (3, 10.0, 100.0), (1, 100.0, 100.0)]
    np.testing.assert_allclose([p.log_lifetime for p in found], [np.log(10), np.log(10), 0])
    assert [p.unfinished for p in found] == [False, False, True]
    whole = plateaus(times, torch.full((6,), 2))
    assert len(whole) == 1
    assert whole[0].log_lifetime == pytest.approx(np.log(100))
    assert plateaus(torch.zeros(1), torch.tensor([4]))[0].log_lifetime == 0


def test_no_token_is_refused():
    with pytest.raises(InputError, match="no token is valid"):
        merge_tree(TIMES[:1], torch.tensor([[-1, -1]]))
