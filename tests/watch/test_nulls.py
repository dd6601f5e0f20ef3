"""Nulls: what must be kept is kept, what must be lost is lost."""

import pytest
import torch
from small_models import inputs_of, small
from torch import nn

from spinodal.errors import InputError
from spinodal.watch.nulls import random_weights, shuffle_tokens


def test_fresh_weights_of_the_same_shapes_and_the_same_for_one_seed():
    model = small("BertForMaskedLM")
    state = torch.get_rng_state()
    a, b, c = (random_weights(model, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    weights = [m.state_dict()[name] for m in (model, a, b, c)]
    assert {k: v.shape for k, v in a.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[3])
    assert not torch.equal(weights[0], weights[1])


def test_plain_modules_are_reset_and_what_cannot_be_is_named():
    plain = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    )
    made = random_weights(plain, 0)
    name = "layers.0.linear1.weight"
    assert not torch.equal(made.get_parameter(name), plain.get_parameter(name))

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    with pytest.raises(InputError, match="Bare"):
        random_weights(nn.Sequential(Bare()), 0)


def test_ids_are_permuted_between_the_marks_and_padding_stays():
    ids = torch.arange(20).view(2, 10)
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[1, 6:] = 0
    found = shuffle_tokens({"input_ids": ids, "attention_mask": mask}, 0)
    assert found is not None
    assert found["input_ids"].sort(1).values.equal(ids)
    assert found["input_ids"][:, 0].equal(ids[:, 0])
    assert found["input_ids"][1, 5:].equal(ids[1, 5:])
    assert not found["input_ids"].equal(ids)
    again = shuffle_tokens({"input_ids": ids, "attention_mask": mask}, 0)
    assert again is not None
    assert again["input_ids"].equal(found["input_ids"])


def test_frames_and_patches_are_permuted_as_wholes():
    sound = inputs_of("WhisperForConditionalGeneration")["input_features"]
    found = shuffle_tokens({"input_features": sound}, 0)
    assert found is not None
    columns = lambda x: sorted(tuple(c) for c in x[0].T.tolist())
    assert columns(found["input_features"]) == columns(sound)
    images = torch.arange(64.0).view(1, 1, 8, 8)
    cut = shuffle_tokens({"pixel_values": images}, 0, patch=4)
    assert cut is not None
    tiles = lambda x: sorted(x[0, 0, i : i + 4, j : j + 4].flatten().tolist() for i in (0, 4) for j in (0, 4))
    assert tiles(cut["pixel_values"]) == tiles(images)
    assert not cut["pixel_values"].equal(images)
    assert shuffle_tokens({"pixel_values": images}, 0) is None
