"""bfloat16 and float16: sums of decays and losses keep float32, whatever the weights and products have."""

from typing import Any

import pytest
import torch
from small import TOKEN_MIXERS, ids, model_of
from torch import Tensor

from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM


def gradient(model: Any, dtype: torch.dtype | None, *, text: Tensor) -> tuple[float, Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss = model(text, labels=text).loss
    assert loss.dtype == torch.float32
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_backward_under_autocast(mixer: str, dtype: torch.dtype):
    model, text = model_of(SpinodalForCausalLM, mixer=mixer, length=200), ids(2, 150)
    loss, exact = gradient(model, None, text=text)
    half, found = gradient(model, dtype, text=text)
    assert half == pytest.approx(loss, rel=0.01)
    assert (found - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("mixer", ["retention", "gated-linear", "phase-memory", "min-gru"])
def test_autocast_is_no_worse_than_weights_in_bfloat16(mixer: str):
    """Decays that are summed in bfloat16 would double the error."""
    model, text = model_of(SpinodalForCausalLM, mixer=mixer, channel="swiglu", length=256), ids(2, 256)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
        exact = model(text).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = model(text).logits.float()
        weights = model.bfloat16()(text).logits.float()
    assert (cast - exact).norm() < 1.3 * (weights - exact).norm()


@pytest.mark.parametrize("kind", [SpinodalForCausalLM, SpinodalForMaskedLM])
def test_a_loss_of_bfloat16_logits_is_formed_in_float32(kind: type):
    model, text = model_of(kind, length=512).bfloat16(), ids(2, 512)
    with torch.no_grad():
        out = model(text, labels=text)
    logits, labels = out.logits.double(), text
    if kind is SpinodalForCausalLM:
        logits, labels = logits[:, :-1], text[:, 1:]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert out.loss.dtype == torch.float32
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_long_convolution_takes_weights_in_half_precision(dtype: torch.dtype):
    model = model_of(SpinodalForCausalLM, mixer="toeplitz", channel="swiglu", length=300)
    text = ids(1, 300)
    exact = model(text).logits
    half = model.to(dtype)
    found = half(text).logits.float()
    assert (found - exact).norm() < 0.05 * exact.norm()
    half(text, labels=text).loss.backward()


@pytest.mark.slow
@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_a_hundred_steps_under_autocast_end_where_float32_does(mixer: str):
    losses = []
    for enabled in (False, True):
        model = model_of(SpinodalForCausalLM, mixer=mixer, length=64).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for step in range(100):
            text = ids(4, 32, seed=step % 5)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss = model(text, labels=text).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            losses.append(sum(model(t, labels=t).loss.item() for t in (ids(4, 32, seed=s) for s in range(5))))
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
