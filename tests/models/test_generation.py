"""Decoders: whole texts and step by step are one function; every way to generate needs no second opinion."""

from typing import Any, Protocol, cast

import pytest
import torch
from fitting import fitting_config
from marks import slow_but
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, DynamicCache
from typed import present

from spinodal.errors import InputError
from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries
from spinodal.models import SpinodalConfig, SpinodalForCausalLM, SpinodalForSeq2SeqLM
from spinodal.models.versions import CACHE

N, VOCABULARY = 24, 40
LINEAR = tuple(
    name
    for name in ("retention", "gated-linear", "phase-memory", "min-gru", "convolution")
    if name in entries(Kind.TOKEN)
)
WAYS = {
    "greedy": {"do_sample": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "sampling": {"do_sample": True, "top_k": 8, "top_p": 0.9, "temperature": 1.3},
    "several": {"do_sample": True, "num_return_sequences": 3},
}


def config(**values) -> SpinodalConfig:
    known = dict[str, Any](
        vocab_size=VOCABULARY, width=16, depth=2, heads=2, hidden=6, phases=3, length=N, source_length=12
    )
    special = dict[str, Any](pad_token_id=0, bos_token_id=1, eos_token_id=None, initializer_range=1.0)
    return fitting_config(**(known | special | values))


def causal(**values) -> SpinodalForCausalLM:
    torch.manual_seed(0)
    return SpinodalForCausalLM(config(**values)).double().eval()


def translator(**values) -> SpinodalForSeq2SeqLM:
    torch.manual_seed(0)
    return SpinodalForSeq2SeqLM(config(is_encoder_decoder=True, **values)).double().eval()


def ids(batch: int, n: int, *, seed: int = 1) -> Tensor:
    return torch.randint(2, VOCABULARY, (batch, n), generator=torch.Generator().manual_seed(seed))


class Generates(Protocol):
    def generate(self, *args: Tensor, **options: Any) -> Tensor: ...


def generated(model: SpinodalForCausalLM | SpinodalForSeq2SeqLM, *args: Tensor, **options: Any) -> Tensor:
    """What `generate` returns, which transformers declares for models with attributes that few models have."""
    return cast(Generates, model).generate(*args, **options)


@pytest.mark.parametrize("mixer", slow_but(entries(Kind.TOKEN), "attention", "retention", "convolution"))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), slow_but([(torch.float64, 1e-10), (torch.float32, 1e-5)], (torch.float64, 1e-10))
)
def test_a_text_at_once_and_token_by_token(mixer: str, dtype: torch.dtype, tolerance: float):
    model, text = causal(mixer=mixer), ids(2, N)
    nn.Module.to(model, dtype)  # the signature of PreTrainedModel.to is lost in its decorator
    whole = model(text).logits
    memory, pieces = None, []
    for part in (text[:, :9], *text[:, 9:].split(1, dim=1)):
        out = model(part, cache=memory, use_cache=True)
        memory = out.cache
        pieces.append(out.logits)
    torch.testing.assert_close(
        torch.cat(pieces, 1), whole, rtol=0, atol=tolerance * float(whole.detach().abs().max())
    )
    assert present(memory).get_seq_length() == N


@pytest.mark.parametrize("mixer", entries(Kind.TOKEN))
def test_the_future_does_not_leak(mixer: str):
    model, text = causal(mixer=mixer), ids(1, N).expand(N, -1)
    changed = torch.where(torch.ones(N, N).triu(1).bool(), ids(N, N, seed=2), text)
    moved = (model(changed).logits != model(text).logits).any(-1)
    assert not moved.tril().any()
    assert moved.any()


@pytest.mark.parametrize("mixer", slow_but(["retention", "attention", "triangular"], "retention"))
@pytest.mark.parametrize("way", WAYS)
def test_the_same_tokens_with_and_without_memory(mixer: str, way: str):
    model, said = causal(mixer=mixer), []
    for use_cache in (True, False):
        torch.manual_seed(3)
        said.append(generated(model, ids(2, 6), max_new_tokens=12, use_cache=use_cache, **WAYS[way]))
    assert torch.equal(*said)
    assert said[0].shape == (2 * WAYS[way].get("num_return_sequences", 1), 18)


@pytest.mark.parametrize(
    "mixer",
    slow_but(["retention", "attention", "gated-linear", "phase-memory", "min-gru"], "attention", "min-gru"),
)
def test_a_prompt_padded_on_the_left_goes_on_as_it_does_alone(mixer: str):
    model, short, long = causal(mixer=mixer), ids(1, 5), ids(1, 8, seed=2)
    batch = torch.cat([torch.cat([torch.zeros(1, 3, dtype=torch.long), short], 1), long])
    mask = (torch.arange(8) >= torch.tensor([[3], [0]])).long()
    together = generated(model, batch, attention_mask=mask, max_new_tokens=8, do_sample=False)
    for row, alone in ((0, short), (1, long)):
        expected = generated(model, alone, max_new_tokens=8, do_sample=False)
        assert torch.equal(together[row, 8:], expected[0, alone.shape[1] :])


@pytest.mark.parametrize("mixer", LINEAR)
def test_what_is_remembered_does_not_grow(mixer: str):
    model = causal(mixer=mixer)
    sizes = {model(ids(2, n), use_cache=True).cache.state_size() for n in (2, 7, N)}
    assert len(sizes) == 1
    grown = causal(mixer="attention")(ids(2, N), use_cache=True).cache.state_size()
    assert grown >= 2 * 2 * 16 * N


def test_the_loss_is_of_the_next_token():
    model, text = causal(), ids(3, N)
    labels = text.clone()
    labels[0, :10] = -100
    out = model(text, labels=labels)
    log_p = out.logits.log_softmax(-1)[:, :-1].gather(-1, text[:, 1:, None])[..., 0]
    kept = labels[:, 1:] != -100
    torch.testing.assert_close(out.loss, -log_p[kept].mean())
    torch.testing.assert_close(model(text, labels=labels, scored_only=True).loss, out.loss)
    torch.testing.assert_close(model(text, labels=labels, num_items_in_batch=7).loss, -log_p[kept].sum() / 7)
    torch.testing.assert_close(model(text, logits_to_keep=2).logits, out.logits[:, -2:])


def test_a_memory_belongs_to_one_model():
    one, other = causal(), causal()
    memory = one(ids(1, 4), use_cache=True).cache
    with pytest.raises(InputError, match="belongs to another model"):
        other(ids(1, 1), cache=memory)
    with pytest.raises(InputError, match="belongs to another model"):
        generated(other, ids(1, 5), cache=memory, max_new_tokens=2)
    with pytest.raises(InputError, match="DynamicCache"):
        one(ids(1, 1), cache=DynamicCache())
    with pytest.raises(InputError, match="one cache, its own"):
        generated(one, ids(1, 5), cache_implementation="static", max_new_tokens=2)


@pytest.mark.parametrize("kernel", [0, 4])
def test_a_memory_belongs_to_its_sequences(kernel: int):
    """A state of one sequence would broadcast over three in silence."""
    model = causal(mixer="min-gru", kernel=kernel)
    memory = model(ids(1, 4), use_cache=True).cache
    with pytest.raises(InputError, match="holds 1 sequences, and 3 are given"):
        model(ids(3, 1), cache=memory)
    with pytest.raises(InputError, match="holds 1 sequences, and 3 are given"):
        generated(model, ids(1, 5), cache=memory, num_beams=3, do_sample=False, max_new_tokens=2)


@pytest.mark.parametrize("mixer", ["triangular", "toeplitz"])
def test_what_a_fixed_length_cannot_hold_is_said_before_work(mixer: str):
    model = causal(mixer=mixer)
    assert generated(model, ids(1, N - 4), max_new_tokens=5, do_sample=False).shape == (1, N + 1)
    with pytest.raises(InputError, match=f"at most {N} tokens"):
        generated(model, ids(1, N - 4), max_new_tokens=6)
    with pytest.raises(InputError, match=str(N)):
        model(ids(1, N + 1))


def test_a_memory_goes_on_where_it_was():
    model, text = causal(), ids(1, 12)
    memory = model(text[:, :7], use_cache=True).cache
    expected = generated(model, text, max_new_tokens=6, do_sample=False)
    assert torch.equal(generated(model, text, cache=memory, max_new_tokens=6, do_sample=False), expected)


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")  # transformers 5.24's own
def test_a_cache_goes_by_both_its_names(name: str):
    """Releases of transformers differ in what they call it; a text written against either goes on with both."""
    model, reader, text, source = causal(), translator(), ids(1, 8), ids(1, 5)
    whole = model(text).logits[:, -1]
    begun = model(text[:, :-1], use_cache=True)
    torch.testing.assert_close(model(text[:, -1:], **{name: getattr(begun, name)}).logits[:, -1], whole)
    begun = model(text[:, :-1], use_cache=True)
    expected = generated(model, text, max_new_tokens=6, do_sample=False)
    said = generated(model, text, max_new_tokens=6, do_sample=False, **{name: begun.cache})
    assert torch.equal(said, expected)
    whole = reader(source, decoder_input_ids=text).logits[:, -1]
    begun = reader(source, decoder_input_ids=text[:, :-1], use_cache=True)
    after = reader(source, decoder_input_ids=text[:, -1:], **{name: getattr(begun, name)})
    torch.testing.assert_close(after.logits[:, -1], whole)
    assert model(text, use_cache=False).cache is None
    assert list(begun.keys())[:3] == ["logits", CACHE, "encoder_last_hidden_state"]
    for network in (model, model.model):
        with pytest.raises(InputError, match="two names of one argument"):
            network(text[:, -1:], cache=begun.cache, past_key_values=begun.cache)


def test_what_is_refused():
    model = causal(channel="partition", pathway="I")
    with pytest.raises(InputError, match="unknown argument hidden"):
        model(ids(1, 4), hidden=True)
    for gaps in (torch.tensor([0, 1, 0, 1]), torch.tensor([0, 2, 4, 6])):
        with pytest.raises(InputError, match="position_ids must number the tokens"):
            model(ids(1, 4), position_ids=gaps)
    with pytest.raises(InputError, match="residuals belong to whole sequences"):
        model(ids(1, 4), use_cache=True, output_residuals=True)
    assert set(model(ids(1, 4), output_residuals=True).residuals) == {"F", "spread", "g1", "g2"}
    with pytest.raises(InputError, match="exactly one of"):
        model()


def test_saved_and_loaded_text_goes_on_the_same(tmp_path):
    model, text = causal(), ids(1, 6)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).double().eval()
    assert isinstance(again, SpinodalForCausalLM)
    assert again.output.weight.data_ptr() == again.model.embedding.weight.data_ptr()
    said = [generated(m, text, max_new_tokens=9, do_sample=False) for m in (model, again)]
    assert torch.equal(*said)


FORMS = {
    "attention": {"mixer": "attention", "encoder_mixer": "attention"},
    "linear": {"mixer": "retention", "encoder_mixer": "retention"},
    "paper": {
        "mixer": "triangular", "encoder_mixer": "toeplitz", "cross": "static", "fused": True,
        "channel": "partition", "pathway": "I", "kernel": 0,
    },
}  # fmt: skip
every_form = pytest.mark.parametrize("form", FORMS)


@every_form
def test_a_translator_at_once_and_token_by_token(form: str):
    model, source, target = translator(**FORMS[form]), ids(2, 10), ids(2, 9, seed=2)
    mask = (torch.arange(10) < torch.tensor([[10], [6]])).long()
    whole = model(source, mask, decoder_input_ids=target)
    encoded = model.get_encoder()(source, mask)
    memory, pieces = None, []
    for part in (target[:, :3], *target[:, 3:].split(1, dim=1)):
        out = model(
            None,
            mask,
            decoder_input_ids=part,
            cache=memory,
            encoder_outputs=encoded,
            use_cache=True,
        )
        memory = out.cache
        pieces.append(out.logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole.logits, rtol=0, atol=1e-10)


@every_form
def test_a_translator_reads_its_whole_source_and_no_padding_and_not_its_future(form: str):
    model, source, target = translator(**FORMS[form]), ids(2, 10), ids(2, 9, seed=2)
    mask = (torch.arange(10) < torch.tensor([[10], [6]])).long()
    logits = model(source, mask, decoder_input_ids=target).logits
    for position in (0, 9):
        other = source.clone()
        other[:, position] = 2 + (other[:, position] - 1) % (VOCABULARY - 2)
        moved = (model(other, mask, decoder_input_ids=target).logits != logits).any(-1)
        assert moved[0].all()
        assert moved[1].all() == (position == 0)
        assert moved[1].any() == (position == 0)
    later = target.clone()
    later[:, 5:] = ids(2, 4, seed=5)
    assert torch.equal(model(source, mask, decoder_input_ids=later).logits[:, :5], logits[:, :5])


@pytest.mark.parametrize("form", slow_but(FORMS, "paper"))
@pytest.mark.parametrize("way", WAYS)
def test_a_translator_says_the_same_with_and_without_memory(form: str, way: str):
    model, said = translator(**FORMS[form]), []
    mask = (torch.arange(8) < torch.tensor([[8], [5]])).long()
    for use_cache in (True, False):
        torch.manual_seed(3)
        said.append(
            generated(
                model, ids(2, 8), attention_mask=mask, max_new_tokens=9, use_cache=use_cache, **WAYS[way]
            )
        )
    assert torch.equal(*said)


def test_a_translator_learns_from_labels_alone():
    model, source, labels = translator(**FORMS["paper"]), ids(2, 8), ids(2, 6, seed=2)
    labels[1, 4:] = -100
    out = model(source, labels=labels, output_residuals=True)
    shifted = torch.cat([torch.ones(2, 1, dtype=torch.long), labels[:, :-1]], 1).clamp(min=0)
    log_p = model(source, decoder_input_ids=shifted).logits.log_softmax(-1)
    picked = log_p.gather(-1, labels.clamp(min=0)[..., None])[..., 0][labels != -100]
    torch.testing.assert_close(out.loss, -picked.mean())
    torch.testing.assert_close(model(source, labels=labels, scored_only=True).loss, out.loss)
    assert set(out.residuals) == {"F", "spread", "g1", "g2"}
    (out.loss + sum(out.residuals.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_an_empty_source_is_refused():
    model = translator()
    with pytest.raises(InputError, match="empty source"):
        generated(
            model,
            ids(2, 4),
            attention_mask=torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]]),
            num_beams=2,
            max_new_tokens=3,
        )
    with pytest.raises(InputError, match="empty text"):
        model(ids(1, 0), decoder_input_ids=ids(1, 3))
    with pytest.raises(InputError, match="unknown argument decoder_ids"):
        model(ids(1, 4), decoder_ids=ids(1, 3))


def test_a_saved_translator_keeps_its_one_matrix(tmp_path):
    model = translator()
    model.save_pretrained(tmp_path)
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).double().eval()
    inner = again.model
    assert inner.encoder.embedding.weight.data_ptr() == inner.decoder.embedding.weight.data_ptr()
    assert again.output.weight.data_ptr() == inner.encoder.embedding.weight.data_ptr()
    source = ids(1, 7)
    assert torch.equal(
        generated(again, source, max_new_tokens=8, num_beams=2, do_sample=False),
        generated(model, source, max_new_tokens=8, num_beams=2, do_sample=False),
    )
