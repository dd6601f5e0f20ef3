"""What a call of attention says is kept or refused: masks of every form, causality, caches, packing, types, sources."""

from typing import Any

import pytest
import torch
from small_models import inputs_of, small
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertLMHeadModel,
    BertModel,
    CLIPConfig,
    CLIPModel,
    EncoderDecoderModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaForCausalLM,
)

from spinodal.errors import InputError
from spinodal.models import (
    INTERACTIONS,
    GraphFlow,
    Temperature,
    Unnormalised,
    interaction,
    replaced_attention,
)
from spinodal.models.attention_functions.couplings import couplings
from spinodal.models.attention_functions.replace import AttentionFunction, Calls
from spinodal.watch import Subject
from spinodal.watch.effect import check_interactions

LLAMA, LENGTH = "LlamaForCausalLM", 7
LEAST = torch.finfo(torch.float32).min
CAUSAL = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
GAP = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)[None]).abs().float()
MASKS: dict[str, Tensor] = {
    "boolean": CAUSAL[None, None],
    "boolean, a row that sees nothing": (CAUSAL & (torch.arange(LENGTH) != 2)[:, None])[None, None],
    "additive": torch.zeros(LENGTH, LENGTH).masked_fill(~CAUSAL, LEAST)[None, None],
    "additive, infinite": torch.zeros(LENGTH, LENGTH).masked_fill(~CAUSAL, -torch.inf)[None, None],
    "additive, ten thousand": torch.zeros(LENGTH, LENGTH).masked_fill(~CAUSAL, -1e4)[None, None],
    "additive, a row that sees nothing": torch.zeros(LENGTH, LENGTH)
    .masked_fill(~CAUSAL | (torch.arange(LENGTH) == 2)[:, None], LEAST)[None, None],
    "distance penalty": (-GAP).masked_fill(~CAUSAL, LEAST)[None, None],
    "a penalty for each head": torch.stack([-GAP, -GAP / 4]).masked_fill(~CAUSAL, LEAST)[None],
    "biases that forbid nothing": torch.randn(2, 2, LENGTH, LENGTH),
}  # fmt: skip


def logits(model: nn.Module, **inputs: Any) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("name", ["spinodal_beta", "spinodal_threshold:1e9"])
def test_every_form_of_mask_is_the_models_own(form: str, name: str):
    model, inputs = small(LLAMA), inputs_of(LLAMA) | {"attention_mask": MASKS[form]}
    own = logits(model, **inputs)
    model.set_attn_implementation(name)
    torch.testing.assert_close(logits(model, **inputs), own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_a_boolean_causal_mask_leaks_nothing(name: str):
    model, ids = small(LLAMA), inputs_of(LLAMA)["input_ids"]
    model.set_attn_implementation(name)
    later = ids.clone()
    later[:, -1] = (later[:, -1] + 1) % 50
    a, b = (logits(model, input_ids=x, attention_mask=MASKS["boolean"]) for x in (ids, later))
    torch.testing.assert_close(a[:, :-1], b[:, :-1], atol=1e-6, rtol=1e-6)


def test_a_mask_of_whole_numbers_is_refused():
    model, inputs = small(LLAMA), inputs_of(LLAMA)
    model.set_attn_implementation("spinodal_beta")
    with pytest.raises(InputError, match="a mask of int64"):
        model(**inputs, attention_mask=MASKS["boolean"].long())


def test_a_mask_of_another_length_is_refused():
    model, inputs = small(LLAMA), inputs_of(LLAMA)
    model.set_attn_implementation("spinodal_beta")
    with pytest.raises(InputError, match="does not fit 7 queries on 7 keys"):
        model(**inputs, attention_mask=MASKS["boolean"][..., :5])


def test_a_row_that_sees_nothing_has_finite_gradients():
    for name in INTERACTIONS:
        model, inputs = small(LLAMA), inputs_of(LLAMA)
        model.set_attn_implementation(name)
        for form in ("boolean, a row that sees nothing", "additive, a row that sees nothing"):
            model.zero_grad()
            model(**inputs, attention_mask=MASKS[form], labels=inputs["input_ids"]).loss.backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_biases_are_part_of_the_exponent():
    torch.manual_seed(0)
    e, b = torch.randn(2, 1, 1, 4, 4, dtype=torch.float64)
    allowed, most = torch.ones(4, 4, dtype=torch.bool).tril()[None, None], e.abs() + 1
    torch.testing.assert_close(
        Temperature(2.0).weights(e, most, allowed, b), Temperature(2.0).weights(e + b, most, allowed)
    )
    usa, plain = (Unnormalised(2.0).weights(e, most, allowed, x) for x in (b, None))
    torch.testing.assert_close(usa, plain * (2 * b).exp())
    one_way = GraphFlow().weights(e, most, allowed, b)
    row = (e[0, 0, 2, :2] + e[0, 0, :2, 2]) / 2 + b[0, 0, 2, :2]
    torch.testing.assert_close(one_way[0, 0, 2, :2], row.softmax(0))
    both_ways = GraphFlow().weights(e, most, torch.ones_like(allowed), b)
    symmetric = GraphFlow().weights(e, most, torch.ones_like(allowed), (b + b.mT) / 2)
    torch.testing.assert_close(both_ways, symmetric)


def test_a_call_without_a_mask_that_says_it_is_causal_is_causal():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 5, 4)
    own = AttentionInterface()["sdpa"]
    ours = AttentionFunction(Temperature(), Calls())
    for causal in (True, False):
        theirs = own(nn.Identity(), q, k, v, None, is_causal=causal)[0]
        torch.testing.assert_close(ours(nn.Identity(), q, k, v, None, is_causal=causal)[0], theirs)


def test_dropout_is_kept():
    q = torch.randn(1, 2, 5, 4)
    module = nn.Identity().train()
    assert not AttentionFunction(Temperature(), Calls())(module, q, q, q, None, dropout=1.0)[0].any()


@pytest.mark.parametrize("keyword", ["s_aux", "sinks", "indices", "block_indices"])
def test_what_no_interaction_has_a_place_for_is_refused(keyword: str):
    q = torch.randn(1, 2, 5, 4)
    unknown: dict[str, Any] = {keyword: torch.zeros(2)}
    with pytest.raises(InputError, match="it would be another model"):
        AttentionFunction(Temperature(), Calls())(nn.Identity(), q, q, q, None, **unknown)


def test_exponents_are_float32_at_least():
    q = torch.randn(1, 2, 5, 4)
    for kind, wanted in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
        x = q.to(kind)
        found = couplings(nn.Identity(), x, x, torch.zeros(1, 1, 5, 5, dtype=kind), None, {})
        assert found.bias is not None
        assert found.e.dtype == found.most.dtype == found.bias.dtype == wanted
        w = AttentionFunction(Temperature(), Calls())(nn.Identity(), x, x, x, None)[1]
        assert w.dtype == kind


CROSSED = ["spinodal_sin", "spinodal_graph"]


def crossed() -> list[tuple[Any, dict[str, Tensor]]]:
    """Three models with cross-attention whose queries are as many as its keys."""
    torch.manual_seed(0)
    ids = torch.randint(3, 50, (1, 6))
    bart = BartConfig(
        vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        is_decoder=True, add_cross_attention=True,
    )  # fmt: skip
    both = {"input_ids": ids, "decoder_input_ids": ids}
    source = {"input_ids": ids, "encoder_hidden_states": torch.randn(1, 6, 16)}
    return [
        (BartForConditionalGeneration(bart).eval(), both),
        (small("T5ForConditionalGeneration"), both),
        (BertModel(bert).eval(), source),
    ]


@pytest.mark.parametrize("name", CROSSED)
def test_cross_attention_of_equal_length_is_refused(name: str):
    for model, inputs in crossed():
        with (
            pytest.raises(InputError, match="cross-attention"),
            replaced_attention(model, INTERACTIONS[name](), inputs),
        ):
            pass


@pytest.mark.parametrize("name", CROSSED)
def test_the_effect_of_an_interaction_is_refused_before_any_work(name: str):
    model, inputs = crossed()[0]
    with pytest.raises(InputError, match="cross-attention"):
        check_interactions(Subject("bart", model, None), [inputs], [interaction(name)])


@pytest.mark.parametrize("name", CROSSED)
def test_an_encoder_that_could_be_a_decoder_is_not_refused(name: str):
    for model, inputs in crossed()[:2]:
        model.set_attn_implementation(name)
        model.get_encoder()(inputs["input_ids"])


def gemma() -> Any:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, head_dim=8,
        num_key_value_heads=1, sliding_window=4, pad_token_id=0, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(6 if p.ndim == 2 else 1)
    return model


@pytest.mark.parametrize("name", ["spinodal_beta", "spinodal_usa", "spinodal_threshold", "spinodal_sin"])
def test_a_cache_changes_no_token(name: str):
    model, ids = gemma(), torch.randint(3, 50, (2, 10))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    model.set_attn_implementation(name)
    kwargs: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False}
    assert torch.equal(model.generate(ids, **kwargs), model.generate(ids, use_cache=False, **kwargs))


def test_a_cache_whose_last_values_are_not_the_queries_is_refused():
    inputs = inputs_of(LLAMA)
    model: Any = small(LLAMA)
    model.set_attn_implementation("spinodal_sin")
    with pytest.raises(InputError, match="a cache of fixed length"):
        model.generate(inputs["input_ids"], max_new_tokens=3, cache_implementation="static")
    model.set_attn_implementation("spinodal_graph")
    with pytest.raises(InputError, match="use_cache=False"):
        model.generate(inputs["input_ids"], max_new_tokens=3)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_packed_texts_are_those_of_the_parts(name: str):
    model, ids = gemma(), torch.randint(3, 50, (1, 10))
    model.set_attn_implementation(name)
    places = torch.cat([torch.arange(4), torch.arange(6)])[None]
    whole = logits(model, input_ids=ids, position_ids=places, use_cache=False)
    parts = [logits(model, input_ids=x, use_cache=False) for x in (ids[:, :4], ids[:, 4:])]
    torch.testing.assert_close(whole, torch.cat(parts, 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["spinodal_usa", "spinodal_beta:2.5", "spinodal_graph:1.0:2"])
def test_a_saved_model_comes_back_with_its_interaction(name: str, tmp_path):
    model, inputs = small(LLAMA), inputs_of(LLAMA)
    model.set_attn_implementation(name)
    wanted = logits(model, **inputs)
    for place in (tmp_path / "once", tmp_path / "twice"):
        model.save_pretrained(place)
        model = LlamaForCausalLM.from_pretrained(place).eval()
        assert model.config._attn_implementation == name
        torch.testing.assert_close(logits(model, **inputs), wanted, atol=0, rtol=0)
    other = LlamaForCausalLM.from_pretrained(place, attn_implementation="sdpa")
    other.save_pretrained(tmp_path / "own")
    assert LlamaForCausalLM.from_pretrained(tmp_path / "own").config._attn_implementation == "sdpa"


def clip() -> CLIPModel:
    torch.manual_seed(0)
    sides = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = sides | {"vocab_size": 50, "max_position_embeddings": 16}
    return CLIPModel(
        CLIPConfig(text_config=text, vision_config=sides | {"image_size": 8, "patch_size": 4})
    ).eval()


@pytest.mark.parametrize("part", ["text_config", "vision_config", ""])
def test_an_interaction_in_one_part_of_a_model_comes_back_in_that_part(part: str, tmp_path):
    model = clip()
    model.set_attn_implementation({part: "spinodal_usa"})
    model.save_pretrained(tmp_path)
    configs = [CLIPModel.from_pretrained(tmp_path).config, model.config]
    for name in ("text_config", "vision_config"):
        loaded, saved = (getattr(config, name)._attn_implementation for config in configs)
        assert loaded == saved
        assert (saved == "spinodal_usa") == (name == part)
    assert configs[0]._attn_implementation == configs[1]._attn_implementation


def test_both_models_of_an_encoder_decoder_take_an_interaction_and_give_it_back():
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    }  # fmt: skip
    decoder = BertLMHeadModel(BertConfig(**sizes, is_decoder=True, add_cross_attention=True))
    model = EncoderDecoderModel(encoder=BertModel(BertConfig(**sizes)), decoder=decoder).eval()
    ids = torch.randint(3, 50, (1, 6))
    inputs = {"input_ids": ids, "decoder_input_ids": ids}
    own = logits(model, **inputs)
    with replaced_attention(model, Temperature(30.0), inputs) as calls:
        before = calls.count
        assert not torch.equal(logits(model, **inputs), own)
        assert calls.count - before == 6
    torch.testing.assert_close(logits(model, **inputs), own, atol=0, rtol=0)


def test_names_with_parameters_are_refused_where_they_make_no_interaction():
    model = small(LLAMA)
    with pytest.raises(InputError, match="beta of spinodal_beta"):
        model.set_attn_implementation("spinodal_beta:hot")
    with pytest.raises(InputError, match="and no more"):
        model.set_attn_implementation("spinodal_beta:1:2")
    with pytest.raises(InputError, match="steps of spinodal_graph is a whole number"):
        model.set_attn_implementation("spinodal_graph:1:2.5")
