"""A model that no memory holds is refused before any of it is allocated, whatever class is called."""

import re
from typing import Any

import pytest
import torch

from spinodal import layers
from spinodal.errors import InputError
from spinodal.mixers import size
from spinodal.mixers.entry import Shape
from spinodal.models import (
    SpinodalConfig,
    SpinodalDecoder,
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
    SpinodalModel,
)

READERS: list[Any] = [
    SpinodalModel, SpinodalForMaskedLM, SpinodalForSequenceClassification, SpinodalForTokenClassification,
    SpinodalForQuestionAnswering,
]  # fmt: skip
WRITERS: list[Any] = [SpinodalDecoder, SpinodalForCausalLM, SpinodalForSeq2SeqLM]
DENSE: dict[str, Any] = {
    "vocab_size": 64, "channel": "dense", "mixer": "none", "width": 16, "heads": 2, "depth": 1, "phases": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(size, "machine_memory", lambda: 10**7)
    return int(size.SHARE * 10**7)


@pytest.mark.parametrize("kind", READERS, ids=lambda kind: kind.__name__)
def test_the_length_that_is_advised_fits_and_one_more_does_not(memory: int, kind: Any):
    with pytest.raises(InputError, match=r"19,\d+,\d+ parameters at length=128 take .* GB") as error:
        kind(SpinodalConfig(**DENSE, length=128))
    longest = int(re.findall(r"at most (\d+)", str(error.value))[0])
    built = kind(SpinodalConfig(**DENSE, length=longest))
    assert 4 * sum(p.numel() for p in built.parameters()) < 1.01 * memory
    with pytest.raises(InputError, match="would fit"):
        kind(SpinodalConfig(**DENSE, length=longest + 1))


@pytest.mark.parametrize("kind", READERS + WRITERS, ids=lambda kind: kind.__name__)
def test_what_no_length_makes_small_is_refused_too(kind: Any):
    with pytest.raises(InputError, match=r"parameters take .*: only less would fit"):
        kind(SpinodalConfig(vocab_size=64, width=1024, depth=2))


def test_a_wide_vocabulary_counts():
    with pytest.raises(InputError, match="only less would fit"):
        SpinodalModel(SpinodalConfig(vocab_size=10**6, width=16, depth=1))


def test_layers_are_counted_as_models_are():
    with pytest.raises(InputError, match=r"at length=64 take .* would fit"):
        layers.DensePartition(16, heads=2, phases=2, length=64)
    with pytest.raises(InputError, match="only less would fit"):
        layers.SwiGLU(1024, hidden=1024)
    with pytest.raises(InputError, match="only less would fit"):
        layers.mixer_layer("mixer", "attention", Shape(4096))


def test_the_meta_device_holds_all():
    with torch.device("meta"):
        model = SpinodalForMaskedLM(SpinodalConfig(vocab_size=64, width=1024, depth=2))
    assert 4 * sum(p.numel() for p in model.parameters()) > 10**7


@pytest.mark.parametrize("mixer", ["retention", "graph", "toeplitz", "phase-memory"])
def test_counting_draws_no_random_numbers(monkeypatch, mixer: str):
    config = SpinodalConfig(vocab_size=32, width=16, depth=1, heads=2, mixer=mixer, length=16)
    torch.manual_seed(0)
    counted = SpinodalModel(config).state_dict()
    monkeypatch.setattr("spinodal.models.encoder.require_memory", lambda _: None)
    torch.manual_seed(0)
    for name, value in SpinodalModel(config).state_dict().items():
        assert torch.equal(counted[name], value), name
