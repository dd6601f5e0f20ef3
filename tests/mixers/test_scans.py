"""Chunked scans against loops over tokens: values, gradients, range, and nothing from the future."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spinodal.mixers.ops import scan
from spinodal.mixers.ops.scan import (
    CHUNK,
    REACH,
    SHORT,
    decayed_linear_attention,
    decayed_linear_attention_both_ways,
    decayed_sum,
    decayed_sum_both_ways,
    naive_decayed_linear_attention,
    naive_decayed_sum,
)

# a token, one chunk, several; last chunks that are filled and that are not
SIZES = [1, 2, 5, 6, 7, 12, 13, 29, 70]


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch):
    """Chunks of six and three tokens: 12 and 24 of them at 70 tokens."""
    for name, value in {"CHUNK": 6, "SHORT": 3}.items():
        monkeypatch.setattr(scan, name, value)


def drawn(n: int, *, shared: bool) -> dict[str, Tensor]:
    """What a memory and a sum take, decays of both kinds between none and fast."""
    torch.manual_seed(n)
    made = {"q": (2, 2, n, 3), "k": (2, 2, n, 3), "v": (2, 2, n, 4), "S": (2, 2, 3, 4), "y": (2, 2, 3)}
    found = {name: torch.randn(shape, dtype=torch.float64) for name, shape in made.items()}
    found["log_a"] = -(torch.rand((1, 2, n, 1) if shared else (2, 2, n, 3), dtype=torch.float64) ** 3)
    return {name: x.requires_grad_() for name, x in found.items()}


def assert_same(fast: tuple[Tensor, ...], naive: tuple[Tensor, ...], wanted: list[Tensor]):
    """Outputs, and the gradients of one random sum of them."""
    for found, expected in zip(fast, naive, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    weights = [torch.randn_like(y) for y in naive]
    grads = [
        torch.autograd.grad([(y * w).sum() for y, w in zip(ys, weights, strict=True)], wanted)
        for ys in (fast, naive)
    ]
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_chunks_are_the_recurrence(n: int, shared: bool):
    t = drawn(n, shared=shared)
    wanted = [t[name] for name in ("q", "k", "v", "log_a", "S")]
    assert_same(decayed_linear_attention(*wanted), naive_decayed_linear_attention(*wanted), wanted)
    wanted = [t[name] for name in ("k", "log_a", "y")]
    assert_same(decayed_sum(*wanted), naive_decayed_sum(*wanted), wanted)


def test_chunks_of_the_sizes_in_use_are_the_recurrence():
    t = drawn(5 * CHUNK + 3, shared=False)
    args = [t[name].detach() for name in ("q", "k", "v", "log_a", "S")]
    for found, expected in zip(
        decayed_linear_attention(*args), naive_decayed_linear_attention(*args), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    args = [t[name].detach() for name in ("k", "log_a", "y")]
    for found, expected in zip(decayed_sum(*args), naive_decayed_sum(*args), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("n", [1, 7, 29])
def test_both_ways_is_the_sum_over_all_tokens_with_the_decays_between(n: int):
    """w_ij is the product of the decays after the earlier of i, j up to the later; from behind, before it."""
    t = drawn(n, shared=False)
    q, k, v, log_a = (t[name] for name in ("q", "k", "v", "log_a"))
    rows = []
    for i in range(n):
        past = [log_a[:, :, j + 1 : i + 1].sum(2) for j in range(i + 1)]
        future = [log_a[:, :, i:j].sum(2) for j in range(i + 1, n)]
        rows.append(torch.stack(past + future, 2).exp())
    w = torch.stack(rows, 2)
    naive = torch.einsum("bhic,bhijc,bhjc,bhje->bhie", q, w, k, v), torch.einsum("bhijc,bhjc->bhic", w, k)
    fast = decayed_linear_attention_both_ways(q, k, v, log_a), decayed_sum_both_ways(k, log_a)
    assert_same(fast, naive, [q, k, v, log_a])


@pytest.mark.parametrize("fast", [True, False])
def test_a_long_float32_context_keeps_its_digits_at_every_allowed_decay(fast: bool):
    torch.manual_seed(0)
    n = 8192
    q, k, v = (torch.randn(1, 1, n, 4) for _ in range(3))
    u = torch.rand(1, 1, n, 4)
    forms: list[tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor, ...], float, Tensor]] = [
        (decayed_linear_attention, (q, k, v), REACH / CHUNK, torch.zeros(1, 1, 4, 4)),
        (decayed_sum, (k,), REACH / SHORT, torch.zeros(1, 1, 4)),
    ]
    for form, args, floor, S in forms:
        log_a = -floor * (u if fast else 1e-4 * u)
        log_a[:, :, 4000:4100] = -floor
        wanted = [x.clone().requires_grad_() for x in (*args, log_a)]
        exact = [x.double().detach().requires_grad_() for x in wanted]
        y, _ = form(*wanted, S)
        z, _ = form(*exact, S.double())
        assert (y - z).abs().max() < 2e-5 * z.abs().max()
        grads = zip(
            torch.autograd.grad(y.square().mean(), wanted),
            torch.autograd.grad(z.square().mean(), exact),
            strict=True,
        )
        for found, expected in grads:
            assert found.isfinite().all()
            assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
