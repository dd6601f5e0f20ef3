"""A KV cache is a value, and yet appending does not copy it."""

import torch
from torch import Tensor

from spinodal.mixers.base import State
from spinodal.mixers.ops.kv_cache import append, position


def rows(n: int, *, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, n, 4, generator=torch.Generator().manual_seed(seed))


def written(parts: list[Tensor]) -> tuple[State, Tensor]:
    cache, held = append(None, parts[0])
    for part in parts[1:]:
        cache, held = append(cache, part)
    return cache, held


def test_what_is_read_is_what_was_written():
    parts = [rows(n, seed=n) for n in (3, 1, 1, 1, 5, 1, 20)]
    with torch.no_grad():
        cache, held = written(parts)
    assert torch.equal(held, torch.cat(parts, 2))
    assert position(cache, held).tolist() == [32, 32]
    assert position(None, held).tolist() == [0, 0]


@torch.no_grad()
def test_rows_are_copied_when_room_runs_out_alone():
    cache, held = append(None, rows(4))
    places = set()
    for i in range(500):
        cache, held = append(cache, rows(1, seed=i))
        places.add(held.untyped_storage().data_ptr())
    assert len(places) < 12  # doublings from 4 to 504, and none but these


@torch.no_grad()
def test_two_continuations_do_not_meet():
    cache, _ = written([rows(4), rows(1)])  # with room behind it
    first, a = append(cache, rows(1, seed=1))
    second, b = append(cache, rows(1, seed=2))
    assert torch.equal(a[:, :, 5:], rows(1, seed=1))
    assert torch.equal(b[:, :, 5:], rows(1, seed=2))
    _, a = append(first, rows(1, seed=3))
    _, b = append(second, rows(1, seed=4))
    assert torch.equal(a[:, :, 5:], torch.cat([rows(1, seed=1), rows(1, seed=3)], 2))
    assert torch.equal(b[:, :, 5:], torch.cat([rows(1, seed=2), rows(1, seed=4)], 2))


def test_gradients_reach_every_row_and_no_room_is_kept_for_them():
    parts = [rows(n, seed=n).requires_grad_() for n in (2, 1, 3)]
    cache, held = written(parts)
    assert cache[0].shape == held.shape
    for grad in torch.autograd.grad(held.square().sum() / 2, parts):
        assert grad.count_nonzero() == grad.numel()
