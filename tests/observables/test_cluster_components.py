"""Connected components against a breadth-first search of the dense graph."""

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.observables import cluster_count, cluster_labels, clusters
from spinodal.types import Trajectory


def naive_labels(x, near):
    """Breadth-first search, components numbered by first token."""
    label, k = np.full(len(x), -1), 0
    for seed in range(len(x)):
        if label[seed] < 0:
            front = [seed]
            label[seed] = k
            while front:
                front = [
                    j for i in front for j in np.flatnonzero(near[i] & (label < 0)) if not label.put(j, k)
                ]
            k += 1
    return label


def cloud(rng, n, d, spread):
    """Seven clusters with tokens at three scales around their centres, and two centres on coordinate axes."""
    centres = np.concatenate([rng.normal(size=(5, d)), np.eye(d)[:2], -np.eye(d)[:1]])
    scale = rng.choice([1, 1e-2, 1e-6], size=(n, 1)) * spread
    x = centres[rng.integers(len(centres), size=n)] + scale * rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("d", [2, 3, 8])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3, 0.05, 0.6, 1.7])
def test_against_breadth_first_search(d, epsilon):
    rng = np.random.default_rng(d)
    tokens, valid = np.full((4, 5, 90, d), np.nan), np.arange(90) < np.array([90, 70, 31, 2, 1])[:, None]
    expected = np.full((4, 5, 90), -1)
    for t, spread in enumerate([1e-9, 0.03, 0.2, 2.0]):
        for b in range(5):
            x = cloud(rng, valid[b].sum(), d, spread)
            tokens[t, b, valid[b]] = x * 3.0  # lengths do not matter
            # distances, not 1 - <x, y>: below 1e-8 the latter has no digits
            distance = np.linalg.norm(x[:, None] - x, axis=-1)
            expected[t, b, valid[b]] = naive_labels(x, distance**2 <= 2 * epsilon)
    run = Trajectory(torch.arange(4.0), torch.tensor(tokens), torch.tensor(valid))
    np.testing.assert_array_equal(cluster_labels(run, epsilon), expected)
    np.testing.assert_array_equal(cluster_count(run, epsilon), expected.max(-1) + 1)


def test_two_cells_touch_by_their_outer_points():
    """On a line, in units of r: cells {-0.6, 0.3} and {1.35, 1.25} join by 0.3 and 1.25 alone."""
    x = np.array([[-0.6], [0.3], [1.35], [1.25]])
    assert clusters.components(x, 1.0).tolist() == [0, 0, 0, 0]
    assert len(set(clusters.components(np.where(x > 1, x + 0.06, x), 1.0))) == 2


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    for spread in (1e-3, 0.1):
        x = cloud(rng, 300, 3, spread)
        whole = clusters.components(x, 0.1)
        for size in (1, 20, 1000):
            monkeypatch.setattr(clusters, "BLOCK", size)
            labels = clusters.components(x, 0.1)
            assert len(set(zip(labels, whole, strict=True))) == len(set(labels)) == len(set(whole))


def test_clusters_are_not_the_rank():
    """Five clusters in a plane, two of them a chain, one across the cut of the angle at pi."""
    theta = np.array([0.0, 0.04, 0.08, 1.0, 2.0, np.pi - 0.01, -np.pi + 0.01, -1.5])
    x = torch.tensor(np.stack([np.cos(theta), np.sin(theta)], -1))
    for d in (2, 3):  # the second by trees and cells
        y = torch.nn.functional.pad(x, (0, d - 2))[None, None]
        run = Trajectory(torch.zeros(1), y, torch.ones(1, 8, dtype=torch.bool))
        assert cluster_labels(run, 1e-3)[0, 0].tolist() == [0, 0, 0, 1, 2, 3, 3, 4]
        assert torch.linalg.matrix_rank(y[0, 0]).item() == 2


@pytest.mark.parametrize("d", [2, 3])
def test_a_hundred_thousand_tokens(d):
    """Five clusters of twenty thousand tokens each: 1e9 pairs within reach, none of them listed."""
    rng = np.random.default_rng(0)
    theta = np.repeat(np.arange(5.0), 20_000) + 0.01 * rng.uniform(-1, 1, 100_000)
    x = np.stack([np.cos(theta), np.sin(theta)] + [1e-3 * rng.normal(size=len(theta))] * (d - 2), -1)
    run = Trajectory(torch.zeros(1), torch.tensor(x)[None, None], torch.ones(1, len(x), dtype=torch.bool))
    np.testing.assert_array_equal(cluster_labels(run, 1e-3)[0, 0], np.repeat(np.arange(5), 20_000))


def test_degenerate_input():
    x = torch.zeros(1, 3, 2, 3)
    x[..., 0] = 1.0
    valid = torch.tensor([[True, True], [False, True], [False, False]])
    run = Trajectory(torch.zeros(1), x, valid)
    assert cluster_labels(run, 0.1)[0].tolist() == [[0, 0], [-1, 0], [-1, -1]]
    assert cluster_count(run, 0.1)[0].tolist() == [1, 1, 0]
    assert cluster_labels(run._replace(tokens=x[..., :2]), 0.1)[0].tolist() == [[0, 0], [-1, 0], [-1, -1]]
    with pytest.raises(InputError, match="epsilon = 2"):
        cluster_labels(run, 2.0)
    x[0, 0, 1] = float("inf")
    with pytest.raises(InputError, match="token 1 of sequence 0 is not finite at time index 0"):
        cluster_count(run, 0.1)
