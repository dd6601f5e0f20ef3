"""Rotary attention against its definition with complex numbers, one query and one key at a time."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from spinodal.mixers.token import attention
from spinodal.mixers.token.attention import Attention, cached_angles, rotate, rotate_pairs


def definition(mixer: Attention, x: Tensor, valid: Tensor | None) -> Tensor:
    """Pairs of features (k, k + c/2) are complex numbers that turn by base^(-2k/c) a position.

    Causal, padding takes no position.
    """
    b, n, d = x.shape
    c = d // mixer.heads
    angle = [10_000 ** (-2 * k / c) for k in range(c // 2)]
    q, k, v = (x @ w.T for w in mixer.qkv.weight.split(d))
    y = []
    for sample in range(b):
        place = list(range(n))
        if mixer.causal and valid is not None:
            place = (valid[sample].long().cumsum(0) - 1).tolist()
        for i in range(n):
            for h in range(mixer.heads):
                scores, values = [], []
                for j in range(i + 1 if mixer.causal else n):
                    if valid is not None and not valid[sample, j]:
                        continue
                    Q, K = (t[sample, at, h * c : (h + 1) * c] for t, at in ((q, i), (k, j)))
                    Q, K = (torch.complex(t[: c // 2], t[c // 2 :]) for t in (Q, K))
                    gap = place[j] - place[i]
                    turn = torch.tensor([cmath.exp(1j * gap * a) for a in angle], dtype=torch.complex128)
                    scores.append((Q.conj() * K * turn).real.sum() / math.sqrt(c))
                    values.append(v[sample, j, h * c : (h + 1) * c])
                y.append(torch.stack(scores).softmax(0) @ torch.stack(values))
    return torch.cat(y).view(b, n, d) @ mixer.out.weight.T


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_the_definition(causal: bool, padded: bool):
    torch.manual_seed(0)
    mixer = Attention(12, heads=2, causal=causal).double()
    x = torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True)
    valid = None
    if padded:
        valid = torch.ones(2, 7, dtype=torch.bool)
        valid[0, 5:] = valid[1, 3] = False
    read = slice(None) if valid is None else valid
    weight = torch.randn(2, 7, 12, dtype=torch.float64)[read]
    y, expected = mixer(x, valid).tokens[read], definition(mixer, x, valid)[read]
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-13)
    wanted = [x, *mixer.parameters()]
    found = torch.autograd.grad((y * weight).sum(), wanted)
    for grad, naive in zip(found, torch.autograd.grad((expected * weight).sum(), wanted), strict=True):
        torch.testing.assert_close(grad, naive, rtol=1e-11, atol=1e-12)


def test_only_differences_of_position_enter():
    torch.manual_seed(0)
    mixer = Attention(12, heads=2).double()
    x = torch.randn(1, 6, 12, dtype=torch.float64)
    shifted = torch.cat([torch.zeros(1, 30, 12, dtype=torch.float64), x], 1)
    valid = (torch.arange(36) >= 30)[None]
    torch.testing.assert_close(mixer(shifted, valid).tokens[:, 30:], mixer(x).tokens, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_angles_are_exact_far_out_in_every_type(dtype: torch.dtype):
    x = torch.ones(2000, 8, dtype=dtype)
    error = (rotate(x).double() - rotate(x.double())).abs().max()
    assert error < 3 * max(torch.finfo(dtype).eps, 2000 * torch.finfo(torch.float32).eps)


def test_a_rotation_can_start_anywhere():
    x = torch.randn(2, 3, 9, 6, dtype=torch.float64)
    turned = rotate(x[:, :, 5:], torch.tensor([5, 5]))
    torch.testing.assert_close(turned, rotate(x)[:, :, 5:])


def test_rotation_keeps_lengths():
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(rotate(x).norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotate(x)[:, 0], x[:, 0])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch):
    """Few numbers go to the loop too."""
    monkeypatch.setattr(attention, "LEAST", 0)


@pytest.mark.usefixtures("few")
def test_the_loop_gives_the_bits_of_the_definition():
    x = torch.randn(2, 300, 3, 10, requires_grad=True)
    turned, angles, g = x.transpose(1, 2), cached_angles(300, 10, 10_000.0), torch.randn(2, 3, 300, 10)
    y, z = rotate(turned), rotate_pairs(turned, *angles)
    assert torch.equal(y, z)
    assert "Rotation" in str(y.grad_fn)
    found, expected = (torch.autograd.grad(w, x, g, create_graph=True)[0] for w in (y, z))
    assert torch.equal(found, expected)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(rotate(turned), z)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("few")
def test_gradients_of_the_loop_can_be_differentiated_and_batched():
    x, g = torch.randn(1, 2, 5, 4, requires_grad=True), torch.randn(1, 2, 5, 4, requires_grad=True)
    (first,) = torch.autograd.grad(rotate(x), x, g, create_graph=True)
    (second,) = torch.autograd.grad(first, g, x.detach())
    torch.testing.assert_close(second, rotate(x.detach()))
    G = torch.randn(3, 1, 2, 5, 4)
    (batch,) = torch.autograd.grad(rotate(x), x, G, is_grads_batched=True)
    torch.testing.assert_close(batch, torch.stack([torch.autograd.grad(rotate(x), x, g)[0] for g in G]))


@pytest.mark.usefixtures("few")
def test_angles_of_inference_serve_in_training():
    cached_angles.cache_clear()
    x = torch.randn(1, 2, 5, 4, requires_grad=True)
    with torch.inference_mode():
        rotate(x)
    rotate(x).sum().backward()
    assert cached_angles.cache_info().hits == 1
