"""bfloat16 and float16: sums of decays and losses keep float32, whatever the weights and products have."""

from typing import Any

import pytest
import torch
from marks import slow_but
from small import TOKEN_MIXERS, ids, model_of
from torch import Tensor

from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries
from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM

FEW_PHASES = ("partition", "literal", "dense")  # the phase rule bounds the phases of so small a model
CHANNELS = [
    (SpinodalForMaskedLM, {"channel": {"name": name, "phases": 3} if name in FEW_PHASES else name})
    for name in entries(Kind.CHANNEL)
]
REACTIONS = {"name": "partition", "phases": 2, "pathway": "III", "reactions": 1}
CHANNELS += [(SpinodalForMaskedLM, {"channel": REACTIONS})]
CROSSES = [(SpinodalForSeq2SeqLM, {"cross": name}) for name in entries(Kind.CROSS)]


def gradient(model: Any, dtype: torch.dtype | None, *, text: Tensor) -> tuple[float, Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss = model(text, labels=text).loss
    assert loss.dtype == torch.float32
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("dtype", slow_but([torch.bfloat16, torch.float16], torch.bfloat16))
@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_backward_under_autocast(mixer: str, dtype: torch.dtype):
    model, text = model_of(SpinodalForCausalLM, mixer=mixer, length=200), ids(2, 150)
    loss, exact = gradient(model, None, text=text)
    half, found = gradient(model, dtype, text=text)
    assert half == pytest.approx(loss, rel=0.01)
    assert (found - exact).norm() < 0.1 * exact.norm()


@pytest.mark.filterwarnings("ignore:the literal parameterisation")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "values"), [*CHANNELS, *CROSSES])
def test_backward_of_channel_and_cross_mixers_under_autocast(kind: type, values: dict, dtype: torch.dtype):
    model, text = model_of(kind, length=8, **values), ids(2, 8)
    loss, exact = gradient(model, None, text=text)
    half, found = gradient(model, dtype, text=text)
    assert half == pytest.approx(loss, rel=0.02)
    assert found.isfinite().all()
    if "literal" not in str(values):  # near a pole of which no gradient has digits
        assert (found - exact).norm() < 0.1 * exact.norm()


@pytest.mark.filterwarnings("ignore:the literal parameterisation")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "values"), CHANNELS)
def test_distances_from_equilibrium_are_formed_in_float32(kind: type, values: dict, dtype: torch.dtype):
    """They are part of the loss; in bfloat16 they would have three digits, and none near equilibrium."""
    model, text = model_of(kind, length=8, **values), ids(2, 8)
    with torch.no_grad():
        exact = model(text, output_residuals=True).residuals
        with torch.autocast("cpu", dtype=dtype):
            cast = model(text, output_residuals=True).residuals
        weights = model.to(dtype)(text, output_residuals=True).residuals
    for found in (cast, weights):
        assert all(value.dtype == torch.float32 for value in found.values())
        for name in () if "literal" in str(values) else exact:
            assert found[name].item() == pytest.approx(exact[name].item(), rel=5e-3)


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
    exact, cast = (
        loss_after_steps(SpinodalForCausalLM, 32, mixer=mixer, cast=cast) for cast in (False, True)
    )
    assert cast == pytest.approx(exact, rel=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the literal parameterisation")
@pytest.mark.parametrize(("kind", "values"), [*CHANNELS, *CROSSES])
def test_a_hundred_steps_of_channel_and_cross_mixers_end_where_float32_does(kind: type, values: dict):
    exact, cast = (loss_after_steps(kind, 8, length=8, cast=cast, **values) for cast in (False, True))
    assert cast == pytest.approx(exact, rel=0.01)


def loss_after_steps(kind: type, tokens: int, *, cast: bool, **values: Any) -> float:
    """The loss of five texts of so many tokens after a hundred steps on them, under autocast or not."""
    model, texts = model_of(kind, **values).train(), [ids(4, tokens, seed=seed) for seed in range(5)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(100):
        text = texts[step % 5]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
            loss = model(text, labels=text).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return sum(model(text, labels=text).loss.item() for text in texts)
