"""How models start, and which configurations are refused before they do."""

import math
from typing import Any

import pytest
import torch
from fitting import fitting_config
from huggingface_hub.errors import StrictDataclassFieldValidationError

from spinodal.errors import InputError
from spinodal.mixers.base import START, OutputProjection
from spinodal.mixers.channel.partition_network import HeadLinear
from spinodal.mixers.token.convolution import Convolution, Toeplitz
from spinodal.models import (
    SpinodalConfig,
    SpinodalForMaskedLM,
    SpinodalForTokenClassification,
    SpinodalModel,
)

SHAPE: dict[str, Any] = dict(vocab_size=500, width=16, depth=2, heads=2, hidden=6, phases=3, length=20)


def config(**changes: Any) -> SpinodalConfig:
    return fitting_config(**SHAPE | changes)


def test_layers_keep_their_own_starts():
    torch.manual_seed(0)
    model = SpinodalForMaskedLM(config(mixer="toeplitz", channel="dense", length=6))
    modules = list(model.modules())
    filters = [m for m in modules if isinstance(m, Toeplitz)]
    assert len(filters) == 2
    for mixer in filters:
        alone = Toeplitz(16, heads=2, length=6)
        assert torch.equal(mixer.filter, alone.filter)
    convolutions = [m for m in modules if isinstance(m, Convolution)]
    assert len(convolutions) == 2
    for mixer in convolutions:
        assert 0.4 < mixer.weight.abs().max() <= 0.5
    dense = [m for m in modules if isinstance(m, HeadLinear)]
    assert len(dense) == 10
    for layer in dense:
        bound = layer.weight.shape[1] ** -0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound * 3**-0.5, rel=0.05)
        assert layer.bias.count_nonzero() == 0
    for module in modules:
        if type(module) is torch.nn.Linear and module is not model.decoder:
            bound = module.in_features**-0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound * 3**-0.5, rel=0.1)
        if isinstance(module, OutputProjection):
            assert module.weight.std().item() == pytest.approx(START * module.in_features**-0.5, rel=0.1)
        if isinstance(module, torch.nn.LayerNorm):
            assert torch.equal(module.weight, torch.ones(16))
    assert model.model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_range_of_embeddings_is_the_configuration_s():
    torch.manual_seed(0)
    model = SpinodalModel(config(initializer_range=0.5))
    assert model.embedding.weight.std().item() == pytest.approx(0.5, rel=0.05)


def test_one_seed_is_one_model():
    models = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        models.append(
            SpinodalForMaskedLM(config(channel="partition", pathway="III", reactions=1)).state_dict()
        )
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["model.embedding.weight"], models[2]["model.embedding.weight"])


def test_untrained_models_know_nothing():
    torch.manual_seed(0)
    model = SpinodalForMaskedLM(config())
    ids = torch.randint(500, (4, 20))
    loss = model(ids, labels=torch.randint(500, (4, 20))).loss
    assert loss.item() == pytest.approx(math.log(500), rel=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": "96"}, "'width' expected int, got str"),
        ({"fused": 1}, "'fused' expected bool, got int"),
        ({"dropout": "none"}, "'dropout' expected float, got str"),
        ({"mixer": None}, "'mixer' expected str, got NoneType"),
    ],
)
def test_values_of_the_wrong_type_are_refused(values: dict, message: str):
    with pytest.raises(StrictDataclassFieldValidationError, match=message):
        SpinodalConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width=0: a model needs at least 1"),
        ({"heads": 0}, "heads=0"),
        ({"depth": 0}, "depth=0"),
        ({"hidden": -1}, "hidden=-1"),
        ({"kernel": -1}, "kernel=-1: a model needs at least 0"),
        ({"mixer": "atention"}, "'atention'.*mean attention"),
    ],
)
def test_impossible_models_are_refused(values: dict, message: str):
    with pytest.raises(InputError, match=message):
        SpinodalModel(config(**values))


@pytest.mark.parametrize("values", [{"num_labels": 1}, {"problem_type": "regression"}])
def test_a_token_is_classified_by_a_choice_among_labels(values: dict):
    assert SpinodalForTokenClassification(config(num_labels=3)).score.out_features == 3
    with pytest.raises(InputError, match="a choice of one label takes two or more"):
        SpinodalForTokenClassification(config(**values))


def test_names_of_the_library_are_names_of_ours():
    shape = config()
    assert (shape.hidden_size, shape.num_hidden_layers) == (shape.width, shape.depth) == (16, 2)
    assert (shape.num_attention_heads, shape.intermediate_size) == (shape.heads, shape.hidden) == (2, 6)
