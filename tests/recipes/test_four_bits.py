"""Four bits: whole multiples of one step a row, a rotation that changes nothing by itself, a model left as it was."""

import numpy as np
import pytest
import torch

from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.recipes import four_bits


@pytest.fixture
def model() -> SpinodalForCausalLM:
    torch.manual_seed(0)
    return SpinodalForCausalLM(
        SpinodalConfig(vocab_size=20, width=16, depth=2, heads=2, channel="swiglu")
    ).eval()


def test_a_row_in_four_bits_has_fifteen_values_and_clipping_is_no_worse():
    x = torch.randn(5, 1000, dtype=torch.double) ** 3
    plain, clipped = four_bits.rounded(x, [1.0]), four_bits.rounded(x, four_bits.CLIPS)
    for row, found in zip(x, plain, strict=True):
        step = row.abs().max() / 7
        assert torch.equal(found, (row / step).round() * step)
        assert (found - row).abs().max() <= step / 2 + 1e-12
        assert len(found.unique()) <= 15
    error, clipped_error = ((found - x).square().sum(-1) for found in (plain, clipped))
    assert (clipped_error <= error).all()
    assert (clipped_error < 0.9 * error).all()
    torch.testing.assert_close(four_bits.rounded(plain, [1.0]), plain)


def test_a_rotation_alone_changes_no_logit(model: SpinodalForCausalLM, monkeypatch: pytest.MonkeyPatch):
    """With numbers that are not rounded; afterwards the model is, bit for bit, what it was."""
    ids = torch.arange(12)[None]
    before = model(ids).logits
    with four_bits.four_bits(model, [1.0], rotated=True, seed=1):
        assert (model(ids).logits - before).abs().max() > 1e-3
        monkeypatch.setattr(four_bits, "rounded", lambda x, clips: x)
    with four_bits.four_bits(model, [1.0], rotated=True, seed=1):
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-5)
    assert torch.equal(model(ids).logits, before)
    assert len(four_bits.channel_matrices(model)) == 4


def test_the_kurtosis_of_gaussian_numbers_is_three(model: SpinodalForCausalLM):
    [first, *_] = [m for m in four_bits.channel_matrices(model) if isinstance(m, four_bits.OutputProjection)]
    with four_bits.kurtoses(model) as found:
        first(torch.randn(40, 50, first.in_features))
    n = first.in_features
    assert found == [pytest.approx(3 * n / (n + 2), rel=0.02)]  # of n numbers with their own mean square


def test_the_error_of_a_mean_is_of_its_seeds():
    assert four_bits.mean_and_error("cost", np.array([1.0, 2.0, 3.0])) == {
        "cost": 2.0,
        "cost, error": pytest.approx(3**-0.5),
    }
    assert four_bits.mean_and_error("cost", np.array([1.0])) == {"cost": 1.0}


def test_a_model_is_restored_where_an_error_ends_the_block(model: SpinodalForCausalLM):
    ids = torch.arange(12)[None]
    before = model(ids).logits
    with pytest.raises(ValueError, match="stop"), four_bits.four_bits(model, [1.0], rotated=True, seed=1):
        raise ValueError("stop")
    assert torch.equal(model(ids).logits, before)
