"""Arguments that tokenizers, collators and other libraries hand to every model, and what a misspelling meets."""

from typing import Any

import pytest
import torch
from small import ids, model_of

from spinodal.data import byte_pair_tokenizer
from spinodal.errors import InputError
from spinodal.models import (
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
    SpinodalModel,
)

EVERY = (SpinodalModel, SpinodalForMaskedLM, SpinodalForSequenceClassification, SpinodalForCausalLM)


@pytest.mark.parametrize("kind", EVERY)
def test_what_means_nothing_here_changes_nothing(kind: type):
    model, text = model_of(kind), ids()
    usual = {
        "token_type_ids": torch.ones_like(text),
        "position_ids": torch.arange(12)[None],
        "cache_position": torch.arange(12),
        "use_cache": False,
        "output_attentions": False,
    }
    expected = model(text)[0]
    for name, value in usual.items():
        assert torch.equal(model(text, **{name: value})[0], expected), name
    with pytest.warns(UserWarning, match="no attention weights"):
        assert torch.equal(model(text, output_attentions=True)[0], expected)
    with pytest.raises(InputError, match=r"unknown argument token_type_idz: .* did you mean token_type_ids"):
        model(text, token_type_idz=text)


@pytest.mark.parametrize("mixer", ["attention", "retention"])
def test_positions_are_honoured_or_refused(mixer: str):
    model, text = model_of(SpinodalForCausalLM, mixer=mixer), ids()
    mask = torch.ones_like(text)
    mask[0, :4] = 0
    counted = (mask.cumsum(1) - 1).clamp(min=0)
    expected = model(text, mask).logits
    for positions in (counted, counted + 7, torch.arange(12)[None]):
        assert torch.equal(model(text, mask, position_ids=positions).logits, expected)
    begun = model(text[:, :8], mask[:, :8], use_cache=True, position_ids=counted[:, :8])
    after = model(text[:, 8:], mask, cache=begun.cache, position_ids=counted[:, 8:])
    torch.testing.assert_close(after.logits, expected[:, 8:], rtol=1e-4, atol=1e-5)
    for wrong in (torch.arange(12).flip(0)[None], torch.arange(12)[None] % 6):
        with pytest.raises(InputError, match="number the tokens of a sequence one after another"):
            model(text, position_ids=wrong)
    begun = model(text[:, :8], use_cache=True)
    with pytest.raises(InputError, match="do not go on from those of the cache"):
        model(text[:, 8:], cache=begun.cache, position_ids=torch.arange(4)[None])
    with pytest.raises(InputError, match=r"position_ids are \(1, 3\)"):
        model(text, position_ids=torch.arange(3)[None])


def test_logits_at_places_and_labels_that_were_shifted():
    model, text = model_of(SpinodalForCausalLM), ids()
    out = model(text, labels=text)
    torch.testing.assert_close(model(text, logits_to_keep=torch.tensor([3, 5])).logits, out.logits[:, [3, 5]])
    shifted = torch.cat([text[:, 1:], torch.full((2, 1), -100)], 1)
    torch.testing.assert_close(model(text, shift_labels=shifted).loss, out.loss)


def test_a_translator_reads_embeddings():
    model, source, target = model_of(SpinodalForSeq2SeqLM), ids(), ids(seed=2)
    expected = model(source, decoder_input_ids=target).logits
    embedded = {name: model.get_input_embeddings()(text) for name, text in (("s", source), ("t", target))}
    found = model(inputs_embeds=embedded["s"], decoder_inputs_embeds=embedded["t"]).logits
    torch.testing.assert_close(found, expected)
    assert torch.equal(
        model(source, decoder_input_ids=target, position_ids=torch.arange(12)[None]).logits, expected
    )
    with pytest.raises(InputError, match="number the tokens of a sequence one after another"):
        model(source, decoder_input_ids=target, position_ids=torch.arange(12).flip(0)[None])


@pytest.mark.parametrize("kind", [SpinodalForCausalLM, SpinodalForSeq2SeqLM])
def test_generation_takes_and_refuses_what_a_call_does(kind: type):
    model, text = model_of(kind), ids()
    plan: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False}
    expected = model.generate(text, **plan)
    for more in ({"token_type_ids": torch.ones_like(text)}, {"cache_position": torch.arange(12)}):
        assert torch.equal(model.generate(text, **more, **plan), expected)
    for beams in (1, 2):
        with pytest.raises(InputError, match="output_attentions=True: these models return no attention"):
            model.generate(
                text, output_attentions=True, return_dict_in_generate=True, num_beams=beams, **plan
            )


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translator_writes_from_a_source_that_was_encoded_before(beams: int):
    model, text = model_of(SpinodalForSeq2SeqLM, initializer_range=1.0), ids()
    mask = torch.ones_like(text)
    mask[0, 8:] = 0
    plan: dict[str, Any] = {
        "max_new_tokens": 6,
        "do_sample": False,
        "num_beams": beams,
        "attention_mask": mask,
    }
    encoded = model.get_encoder()(text, mask)
    assert torch.equal(model.generate(encoder_outputs=encoded, **plan), model.generate(text, **plan))


def test_texts_end_at_a_string():
    tokenizer = byte_pair_tokenizer(["to be or not to be, that is the question"] * 9, vocabulary=270)
    model = model_of(SpinodalForCausalLM, vocab_size=len(tokenizer), eos_token_id=None, initializer_range=1.0)
    free = model.generate(ids(1, 5), max_new_tokens=6, do_sample=False)
    stop = tokenizer.decode(free[0, 7:8])
    stopped = model.generate(
        ids(1, 5), max_new_tokens=6, do_sample=False, tokenizer=tokenizer, stop_strings=[stop]
    )
    assert torch.equal(stopped[0], free[0, : stopped.shape[1]])


@pytest.mark.parametrize("kind", [SpinodalForCausalLM, SpinodalForSeq2SeqLM])
def test_layers_are_given_with_a_cache_and_while_generating(kind: type):
    model, text = model_of(kind), ids()
    more = {"decoder_input_ids": text} if kind is SpinodalForSeq2SeqLM else {}
    whole = model(text, use_cache=False, output_hidden_states=True, **more).hidden_states
    cached = model(text, use_cache=True, output_hidden_states=True, **more).hidden_states
    assert len(whole) == len(cached) == 3
    for one, other in zip(whole, cached, strict=True):
        torch.testing.assert_close(one, other)
    said = model.generate(
        text, max_new_tokens=2, do_sample=False, output_hidden_states=True, return_dict_in_generate=True
    )
    layers = said.hidden_states if kind is SpinodalForCausalLM else said.decoder_hidden_states
    assert [len(step) for step in layers] == [3, 3]
    if kind is SpinodalForSeq2SeqLM:
        assert len(said.encoder_hidden_states) == 3
        model.config.output_hidden_states = True
        assert len(model(text, **more).decoder_hidden_states) == 3


def test_a_cache_is_returned_in_evaluation_as_the_configuration_says():
    model, text = model_of(SpinodalForCausalLM), ids()
    assert model(text).cache is not None
    assert model(text, use_cache=False).cache is None
    assert model(text, output_residuals=True).cache is None
    assert model.train()(text).cache is None
    assert model_of(SpinodalForCausalLM, use_cache=False)(text).cache is None
