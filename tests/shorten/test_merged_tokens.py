"""Groups of coincident tokens, and attention over what stands for them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.shorten import group_starts, merge
from spinodal.shorten.experiment import HEAVIEST
from spinodal.shorten.tokens import coincident, log_masses, on_grid, weights_on_grid

SAME = st.lists(st.booleans(), max_size=60)


@settings(deadline=None, max_examples=200)
@given(SAME, st.integers(1, 9), st.integers(0, 12))
def test_groups_partition_the_tokens_and_stay_within_runs(same: list[bool], size: int, margin: int):
    starts = group_starts(same, size, margin)
    ends = [*starts[1:], len(same) + 1]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(b - a <= size for a, b in zip(starts, ends, strict=True))
    assert all(all(same[a : b - 1]) for a, b in zip(starts, ends, strict=True))


def test_a_run_keeps_its_margin_and_its_last_token():
    assert group_starts([True] * 19, 4, 2) == [0, 1, 2, 3, 7, 11, 15, 19]
    assert group_starts([True] * 5, 4, 32) == list(range(6))
    assert group_starts([False] * 5, 4, 0) == list(range(6))
    assert group_starts([], 4, 0) == [0]


@pytest.mark.parametrize(
    ("dtype", "within", "beyond"),
    [
        (torch.float64, 9e-6, 2e-5),
        (torch.float32, 9e-6, 2e-5),
        (torch.bfloat16, 0.0, 8e-3),
        (torch.float16, 9e-4, 2e-3),
    ],
)
def test_neighbours_coincide_up_to_rounding(dtype: torch.dtype, within: float, beyond: float):
    x = torch.tensor([[[1.0], [1.0 + within], [(1.0 + within) * (1.0 + beyond)]]], dtype=torch.float64)
    assert coincident(x.to(dtype)).tolist() == [[True, False]]


def test_attention_over_weighted_tokens_is_attention_over_all_of_them():
    """Values and gradients, where tokens and places coincide: 1e-12 in double precision."""
    torch.manual_seed(0)
    x, places = torch.randn(2, 12, 5, dtype=torch.float64), torch.zeros(12, 5, dtype=torch.float64)
    x[:, 4:11] = x[:, 4:5]
    x[1, 9:] = torch.randn(3, 5, dtype=torch.float64)
    merged = merge(x, places, size=3, margin=0)
    assert merged is not None
    assert merged.masses.tolist() == [[1, 1, 1, 1, 1, 3, 2, 1, 1, 0], [1, 1, 1, 1, 1, 3, 1, 1, 1, 1]]
    query = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    grads = []
    for tokens, bias in ((x, 0.0), (merged.tokens, log_masses(merged.masses, x.dtype)[:, None])):
        y = (query @ tokens.mT + bias).softmax(-1) @ tokens
        grads.append((y, *torch.autograd.grad(y.square().sum(), query)))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_padding_has_no_weight_and_every_number_is_finite(dtype: torch.dtype):
    masses = torch.tensor([[1, HEAVIEST, 0]])
    bias = log_masses(masses, dtype)
    assert bias.isfinite().all()
    weights = (torch.zeros(1, 3, dtype=dtype) + bias).softmax(-1)
    assert weights[0, 2] == 0
    assert masses.to(dtype).long().tolist() == masses.tolist()
    assert torch.arange(HEAVIEST + 1).to(dtype).long().tolist() == list(range(HEAVIEST + 1))


def test_the_grid_has_the_groups_and_rows_that_sum_to_one():
    masses = torch.tensor([[1, 3, 1], [4, 1, 0]])
    h = torch.tensor([[[0.0], [1], [2]], [[3], [4], [5]]])
    assert on_grid(h, masses, 1)[..., 0].tolist() == [[0, 1, 1, 1, 2], [3, 3, 3, 3, 4]]
    w = torch.tensor([[[[0.25, 0.5, 0.25]]], [[[0.5, 0.5, 0.0]]]])
    on = weights_on_grid(w, masses)
    assert on.shape == (2, 1, 1, 5)
    torch.testing.assert_close(on.sum(-1), torch.ones(2, 1, 1))
    torch.testing.assert_close(on[0, 0, 0], torch.tensor([0.25, 1 / 6, 1 / 6, 1 / 6, 0.25]))


def test_tokens_that_are_no_numbers_coincide_with_none():
    x = torch.full((1, 4, 2), torch.nan)
    assert not coincident(x).any()
    assert merge(x, torch.zeros(4, 2), size=2, margin=0) is None
