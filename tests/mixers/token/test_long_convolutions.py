"""Short and Toeplitz convolutions against sums written out, and how the long one starts."""

import pytest
import torch
from torch import Tensor

from spinodal.mixers.ops.toeplitz import naive_toeplitz_product, toeplitz_product
from spinodal.mixers.token.convolution import Convolution, Toeplitz


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 9])
def test_short_convolution_is_its_sum(kernel: int, causal: bool):
    torch.manual_seed(0)
    mixer = Convolution(3, kernel=kernel, causal=causal).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    shift = 0 if causal else kernel // 2
    w = mixer.weight[:, 0].flip(-1)  # w_a multiplies x_{i + shift - a}
    expected = torch.zeros_like(x)
    for i in range(6):
        for a in range(kernel):
            if 0 <= i + shift - a < 6:
                expected = expected.index_add(1, torch.tensor([i]), (w[:, a] * x[:, i + shift - a])[:, None])
    compare(mixer(x).tokens, expected, [x, mixer.weight])


def compare(y: Tensor, expected: Tensor, wanted: list[Tensor]):
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)
    weight = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(9))
    grads = (torch.autograd.grad((t * weight).sum(), wanted) for t in (y, expected))
    for found, naive in zip(*grads, strict=True):
        torch.testing.assert_close(found, naive, rtol=1e-10, atol=1e-11)


def test_ffts_leak_nothing_from_the_future():
    torch.manual_seed(0)
    n, cut = 300, 170
    t, v = torch.randn(2, n), torch.randn(1, 2, n, 3, requires_grad=True)
    other = torch.cat([v[:, :, :cut], 1e6 * torch.randn(1, 2, n - cut, 3)], 2)
    y = toeplitz_product(t, v, causal=True)
    assert torch.equal(y[:, :, :cut], toeplitz_product(t, other, causal=True)[:, :, :cut])
    (grad,) = torch.autograd.grad(y[:, :, :cut].sum(), v)
    assert grad[:, :, cut:].count_nonzero() == 0


@pytest.mark.parametrize("causal", [False, True])
def test_toeplitz_mixer_is_its_filter_between_two_maps(causal: bool):
    torch.manual_seed(0)
    mixer = Toeplitz(6, heads=2, length=9, causal=causal).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    v = mixer.value(x)
    y = [
        naive_toeplitz_product(mixer.filter[h : h + 1], v[:, None, :, 3 * h : 3 * h + 3], causal=causal)[:, 0]
        for h in (0, 1)
    ]
    torch.testing.assert_close(mixer(x).tokens, mixer.out(torch.cat(y, -1)))


@pytest.mark.parametrize("causal", [False, True])
def test_toeplitz_starts_as_decays_of_unit_norm_that_reach_from_two_tokens_to_all(causal: bool):
    mixer = Toeplitz(6, heads=3, length=50, causal=causal).double()
    torch.testing.assert_close(mixer.filter.norm(dim=1), torch.ones(3, dtype=torch.float64))
    ratio = mixer.filter[:, 1] / mixer.filter[:, 0]
    torch.testing.assert_close(
        -1 / ratio.log(), torch.tensor([2, 10, 50], dtype=torch.float64), rtol=1e-4, atol=0
    )
    if not causal:
        torch.testing.assert_close(mixer.filter[:, 1:50], mixer.filter[:, 50:].flip(1))
