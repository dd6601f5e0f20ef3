"""Overlaps against the n x n matrix written out, and what they refuse."""

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.observables import cosine_histogram, frames, mean_cosine, pair_probability, restrict
from spinodal.types import Trajectory

RNG = np.random.default_rng(3)


def trajectory(t, b, n, d, *, ragged=True):
    tokens = torch.tensor(RNG.normal(size=(t, b, n, d)) * RNG.uniform(0.5, 2, size=(t, b, n, 1)))
    lengths = torch.tensor([n, *RNG.integers(2, n + 1, size=b - 1)]) if ragged else torch.full((b,), n)
    valid = torch.arange(n) < lengths[:, None]
    tokens[~valid.expand(t, b, n)] = float("nan")  # padding may hold anything
    return Trajectory(torch.arange(t, dtype=torch.float64), tokens, valid)


def naive_cosines(run, i, b):
    """Cosines of pairs i < j of valid tokens."""
    x = run.tokens[i, b][run.valid[b]].numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (x @ x.T)[np.triu_indices(len(x), 1)]


def test_against_the_matrix():
    run, bins, thresholds = trajectory(3, 4, 30, 5), 17, torch.tensor([0.9, -0.2, 0.3])
    histogram = cosine_histogram(run, bins)
    mean = mean_cosine(run)
    probability = pair_probability(run, thresholds)
    for i in range(3):
        for b in range(4):
            cosines = naive_cosines(run, i, b)
            np.testing.assert_array_equal(histogram[i, b], np.histogram(cosines, bins, (-1, 1))[0])
            assert mean[i, b] == pytest.approx(cosines.mean(), abs=1e-14)
            share = [(cosines >= threshold).mean() for threshold in thresholds.tolist()]
            np.testing.assert_allclose(probability[i, b], share, rtol=1e-12)


def test_blocks_do_not_show(monkeypatch):
    run = trajectory(2, 3, 25, 4)
    whole = cosine_histogram(run, 10), pair_probability(run, torch.tensor([0.1]))
    for size in (1, 40, 1300):
        monkeypatch.setattr(frames, "BLOCK", size)
        assert torch.equal(cosine_histogram(run, 10), whole[0])
        torch.testing.assert_close(pair_probability(run, torch.tensor([0.1])), whole[1])


def test_copies_are_tokens_written_out():
    c = torch.tensor([[1, 4, 2, 1], [3, 1, 1, 5]], dtype=torch.float64)
    run = trajectory(2, 2, 4, 3, ragged=False)
    for b in range(2):
        one = run._replace(tokens=run.tokens[:, b : b + 1], valid=run.valid[b : b + 1])
        long = torch.repeat_interleave(one.tokens, c[b].long(), dim=2)
        written = Trajectory(run.times, long, torch.ones(1, long.shape[2], dtype=torch.bool))
        copies = c[b : b + 1]
        torch.testing.assert_close(cosine_histogram(one, 9, copies=copies), cosine_histogram(written, 9))
        torch.testing.assert_close(mean_cosine(one, copies=copies), mean_cosine(written))
        theta = torch.tensor([0.0, 0.999, 1.5])
        torch.testing.assert_close(
            pair_probability(one, theta, copies=copies), pair_probability(written, theta)
        )


def test_a_chosen_token_can_be_left_out():
    """A sink that all tokens look at raises the mean cosine; without it the rest is orthogonal."""
    x = torch.eye(5, dtype=torch.float64)[None, None] + 0
    x[..., 0, :] = 1.0
    run = Trajectory(torch.zeros(1), x, torch.ones(1, 5, dtype=torch.bool))
    assert mean_cosine(run).item() > 0.1
    assert mean_cosine(restrict(run, torch.arange(5)[None] > 0)).item() == pytest.approx(0, abs=1e-15)


def test_orthonormal_and_equal_tokens():
    x = torch.stack([torch.eye(6), torch.ones(6, 6)])[:, None]
    run = Trajectory(torch.arange(2.0), x, torch.ones(1, 6, dtype=torch.bool))
    histogram = cosine_histogram(run, 4)[:, 0]
    assert histogram.tolist() == [[0, 0, 15, 0], [0, 0, 0, 15]]
    assert mean_cosine(run)[:, 0].tolist() == pytest.approx([0, 1], abs=1e-7)


@pytest.mark.parametrize("measure", [lambda run: cosine_histogram(run, 4), mean_cosine])
def test_refusals(measure):
    run = trajectory(4, 2, 5, 3, ragged=False)
    bad = run.tokens.clone()
    bad[2, 1, 3, 0] = float("nan")
    with pytest.raises(InputError, match=r"token 3 of sequence 1 is not finite at time index 2 \(t = 2\)"):
        measure(run._replace(tokens=bad))
    bad[2, 1, 3] = 0.0
    with pytest.raises(
        InputError, match="token 3 of sequence 1 is zero and has no direction at time index 2"
    ):
        measure(run._replace(tokens=bad))
    alone = torch.tensor([[True] * 5, [True] + [False] * 4])
    with pytest.raises(InputError, match="sequence 1 has fewer than two tokens"):
        measure(run._replace(valid=alone))
    with pytest.raises(InputError, match="copies"):
        mean_cosine(run, copies=torch.full((2, 5), 0.2))
    with pytest.raises(InputError, match="bins = 0"):
        cosine_histogram(run, 0)


@pytest.mark.slow
def test_a_hundred_thousand_tokens_need_no_matrix():
    """5e9 pairs; the matrix would be 80 GB."""
    x = torch.tensor(RNG.normal(size=(1, 1, 100_000, 3)))
    run = Trajectory(torch.zeros(1), x, torch.ones(1, 100_000, dtype=torch.bool))
    histogram = cosine_histogram(run, 50)[0, 0]
    assert histogram.sum() == 100_000 * 99_999 / 2
    np.testing.assert_allclose(histogram / histogram.sum(), 1 / 50, rtol=1e-2)  # flat on S^2
