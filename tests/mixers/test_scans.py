"""Chunked retention against a loop over tokens with one recurrent state."""

import pytest
import torch
from torch import Tensor

from spinodal.mixers.attention import rotate
from spinodal.mixers.retention import CHUNK, Retention, log_decays, retention, retention_naive

ABOVE = 2 * CHUNK + 1  # chunks are used from here on


def recurrence(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, *, causal: bool) -> Tensor:
    """S <- g S + k_i v_i^T, y_i = q_i S; for both directions a second pass that leaves token i out."""
    g, n = log_decay.exp()[:, None, None], q.shape[2]
    writes = k.unsqueeze(-1) * v.unsqueeze(-2)
    S, y = torch.zeros_like(writes[:, :, 0]), []
    for i in range(n):
        S = g * S + writes[:, :, i]
        y.append(torch.einsum("bhc,bhcd->bhd", q[:, :, i], S))
    if not causal:
        S = torch.zeros_like(S)
        for i in reversed(range(n)):
            y[i] = y[i] + torch.einsum("bhc,bhcd->bhd", q[:, :, i], S)
            S = g * (S + writes[:, :, i])
    return torch.stack(y, 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n", [1, CHUNK, 2 * CHUNK, ABOVE, 3 * CHUNK - 1, 3 * CHUNK, 3 * CHUNK + 1, 300])
def test_chunks_are_the_recurrence(n: int, causal: bool):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    log_decay = torch.tensor([-0.7, -0.01], dtype=torch.float64, requires_grad=True)
    wanted = [q, k, v, log_decay]
    weight = torch.randn(1, 2, n, 3, dtype=torch.float64)
    expected = recurrence(q, k, v, log_decay, causal=causal)
    grads = torch.autograd.grad((expected * weight).sum(), wanted)
    for form in (retention, retention_naive):
        y = form(q, k, v, log_decay, causal=causal)
        torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
        for found, naive in zip(torch.autograd.grad((y * weight).sum(), wanted), grads, strict=True):
            torch.testing.assert_close(found, naive, rtol=1e-10, atol=1e-10)


def test_chunks_leak_nothing_from_the_future():
    torch.manual_seed(0)
    mixer = Retention(8, heads=2, causal=True)
    x = torch.randn(1, 300, 8, requires_grad=True)
    for cut in (63, 64, 130, 192, 299):
        other = torch.cat([x[:, :cut], 1e3 * torch.randn(1, 300 - cut, 8)], 1)
        y = mixer(x).tokens[:, :cut]
        assert torch.equal(y, mixer(other).tokens[:, :cut])
        (grad,) = torch.autograd.grad(y.square().sum(), x)
        assert grad[:, cut:].count_nonzero() == 0


@pytest.mark.parametrize("causal", [False, True])
def test_padding_across_chunks_is_as_good_as_absence(causal: bool):
    torch.manual_seed(0)
    mixer = Retention(8, heads=2, causal=causal).double()
    x = torch.randn(1, 250, 8, dtype=torch.float64)
    there = slice(30, 170)
    valid = torch.zeros(1, 250, dtype=torch.bool)
    valid[:, there] = True
    torch.testing.assert_close(mixer(x, valid).tokens[:, there], mixer(x[:, there]).tokens)


@pytest.mark.parametrize("causal", [False, True])
def test_the_mixer_is_a_decayed_average_of_rotated_heads(causal: bool):
    torch.manual_seed(0)
    mixer = Retention(12, heads=2, causal=causal).double()
    x = torch.randn(2, 9, 12, dtype=torch.float64)
    q, k, v = (t.unflatten(-1, (2, 6)).transpose(1, 2) for t in (x @ mixer.qkv.weight.T).split(12, dim=-1))
    q, k = rotate(q), rotate(k)
    half_lives = torch.tensor([2.0, 128.0], dtype=torch.float64)
    y = recurrence(q, k, v, -torch.log(torch.tensor(2.0, dtype=torch.float64)) / half_lives, causal=causal)
    lag = torch.arange(-4000 * (not causal), 4001, dtype=torch.float64).abs()
    mass = torch.exp2(-lag / half_lives[:, None]).sum(-1)
    y = (y / (mass[:, None, None] * 6**0.5)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixer(x).tokens, mixer.out(y))


def test_half_lives_run_from_two_to_128_tokens():
    half_lives = torch.tensor([2, 8, 32, 128])
    torch.testing.assert_close(log_decays(4).exp() ** half_lives, torch.full((4,), 0.5, dtype=torch.float64))
