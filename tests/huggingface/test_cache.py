"""What transformers' Cache offers, on ours: copied, pickled, repeated, selected, cropped; padding within a turn."""

import copy
import pickle
from typing import Any

import pytest
import torch
from marks import slow_but
from small import TOKEN_MIXERS, ids, model_of
from torch import Tensor

from spinodal.errors import InputError
from spinodal.models import SpinodalForCausalLM, StateCache

WIDE = {"initializer_range": 1.0, "eos_token_id": None}


def begun(model: Any, text: Tensor) -> StateCache:
    with torch.no_grad():
        return model(text, use_cache=True).cache


@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_copies_of_a_cache_go_on_by_themselves(mixer: str):
    model, text = model_of(SpinodalForCausalLM, mixer=mixer, **WIDE), ids()
    cache = begun(model, text[:, :7])
    kept = pickle.dumps(cache)
    with torch.no_grad():
        expected = model(text).logits[:, 7:]
        for other in (copy.deepcopy(cache), pickle.loads(kept), pickle.loads(kept), cache):
            torch.testing.assert_close(model(text[:, 7:], cache=other).logits, expected, rtol=1e-4, atol=1e-4)


def test_a_cache_from_a_file_belongs_to_the_model_with_its_weights():
    model, other = (model_of(SpinodalForCausalLM) for _ in range(2))
    kept = pickle.dumps(begun(model, ids()))
    other(ids(seed=2), cache=pickle.loads(kept))
    with torch.no_grad():
        other.model.embedding.weight.add_(1.0)
    with pytest.raises(InputError, match="belongs to another model"):
        other(ids(seed=2), cache=pickle.loads(kept))


@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_sequences_are_repeated_and_selected(mixer: str):
    model, text, more = model_of(SpinodalForCausalLM, mixer=mixer, **WIDE), ids(), ids(3, 4, seed=2)
    mask = torch.ones_like(text)
    mask[0, :3] = 0
    with torch.no_grad():
        cache = model(text, mask, use_cache=True).cache
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([0, 1, 3]))
        found = model(more, cache=cache).logits
        rows, seen = text[[0, 0, 1]], torch.cat([mask[[0, 0, 1]], torch.ones_like(more)], 1)
        expected = model(torch.cat([rows, more], 1), seen).logits[:, 12:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mixer", ["attention", "toeplitz", "graph"])
def test_a_mixer_that_keeps_its_tokens_can_forget_the_last(mixer: str):
    model, text = model_of(SpinodalForCausalLM, mixer=mixer, channel="swiglu", kernel=0, **WIDE), ids()
    with torch.no_grad():
        expected = model(text).logits[:, 5:]
        for crop in (5, -7):
            cache = begun(model, text)
            cache.crop(crop)
            assert cache.get_seq_length() == 5
            torch.testing.assert_close(model(text[:, 5:], cache=cache).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("values", [{"mixer": "retention", "kernel": 0}, {"mixer": "attention", "kernel": 4}])
def test_a_state_that_sums_up_its_tokens_refuses_to_forget(values: dict):
    model = model_of(SpinodalForCausalLM, channel="swiglu", **values)
    with pytest.raises(InputError, match="cannot forget the last ones"):
        begun(model, ids()).crop(-1)
    with pytest.raises(ValueError, match="not supported with stateful models"):
        model.generate(ids(1), max_new_tokens=3, prompt_lookup_num_tokens=2)


def test_prompts_are_looked_up_and_assistants_asked():
    model = model_of(SpinodalForCausalLM, mixer="attention", channel="swiglu", kernel=0, **WIDE)
    text = ids(1, 6).repeat(1, 3)
    plan: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
    expected = model.generate(text, **plan)
    assert torch.equal(model.generate(text, prompt_lookup_num_tokens=2, **plan), expected)
    assistant = model_of(SpinodalForCausalLM, mixer="attention", channel="swiglu", kernel=0, depth=1, **WIDE)
    assert torch.equal(model.generate(text, assistant_model=assistant, **plan), expected)


@pytest.mark.parametrize("kernel", slow_but([0, 4], 4))
@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_padding_within_a_second_turn_changes_nothing(mixer: str, kernel: int):
    """Each row is what its own tokens alone are: padding is neither written, nor forgets, nor takes a position."""
    model = model_of(SpinodalForCausalLM, mixer=mixer, kernel=kernel, **WIDE).double()
    first, second, third = ids(2, 6), ids(2, 5, seed=2), ids(2, 1, seed=3)
    masks = [torch.ones_like(turn) for turn in (first, second, third)]
    masks[0][0, :2] = masks[1][1, :3] = masks[1][0, 3:] = 0
    cache, found = None, []
    with torch.no_grad():
        for turn in range(3):
            out = model(
                (first, second, third)[turn], torch.cat(masks[: turn + 1], 1), cache=cache, use_cache=True
            )
            cache = out.cache
            found.append(out.logits)
        text, there = torch.cat([first, second, third], 1), torch.cat(masks, 1).bool()
        logits, whole = torch.cat(found, 1), model(text, there).logits
        for row in range(2):
            alone = model(text[row, there[row]][None]).logits[0]
            torch.testing.assert_close(logits[row, there[row]], alone, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(whole[row, there[row]], alone, rtol=1e-9, atol=1e-9)
