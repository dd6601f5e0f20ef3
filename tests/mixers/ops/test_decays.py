"""Chunks of the sizes in use: the recurrence, and its digits in float32 at every decay that is allowed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spinodal.mixers.ops.chunks import CHUNK, REACH, SHORT
from spinodal.mixers.ops.decayed_linear_attention import (
    decayed_linear_attention,
    naive_decayed_linear_attention,
)
from spinodal.mixers.ops.decayed_sum import decayed_sum, naive_decayed_sum


def drawn(n: int, *, shared: bool) -> dict[str, Tensor]:
    """What a memory and a sum take, decays of both kinds between none and fast."""
    torch.manual_seed(n)
    made = {"q": (2, 2, n, 3), "k": (2, 2, n, 3), "v": (2, 2, n, 4), "S": (2, 2, 3, 4), "y": (2, 2, 3)}
    found = {name: torch.randn(shape, dtype=torch.float64) for name, shape in made.items()}
    found["log_a"] = -(torch.rand((1, 2, n, 1) if shared else (2, 2, n, 3), dtype=torch.float64) ** 3)
    return {name: x.requires_grad_() for name, x in found.items()}


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
