"""Causal contexts: every token predicted once, by Hugging Face's convention, cut anew each epoch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import LlamaConfig, LlamaForCausalLM

from spinodal.data import CausalWindows, Corpus, Document, causal_windows, character_tokenizer, samples
from spinodal.errors import InputError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = character_tokenizer([LETTERS])
STREAM = np.random.default_rng(0).integers(5, len(TOKENIZER), 4001).astype(np.int32)


def tokens(dataset) -> torch.Tensor:
    return torch.stack([dataset[i]["input_ids"] for i in range(len(dataset))])


def test_every_token_but_the_first_is_predicted_once():
    places = CausalWindows(np.arange(4001, dtype=np.int32), 41, frozen=True)
    assert torch.equal(tokens(places)[:, 1:].flatten(), torch.arange(1, 4001))
    ragged = CausalWindows(np.arange(4001 + 39, dtype=np.int32), 41, frozen=True)
    assert len(ragged) == len(places)  # 39 left over predict no whole context


def test_a_long_set_that_judges_is_a_bounded_one_all_along_the_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(samples, "JUDGED", 400)
    places = tokens(CausalWindows(np.arange(4001, dtype=np.int32), 41, frozen=True))
    assert 9 <= len(places) <= 11
    assert places[0, 0] == 0
    assert places[-1, -1] > 3600
    assert len(CausalWindows(np.arange(4001, dtype=np.int32), 41)) == 100
    assert len(CausalWindows(np.arange(401, dtype=np.int32), 41, frozen=True)) == 10


def test_labels_are_the_inputs_and_the_model_shifts_them():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    item = CausalWindows(STREAM, 20, frozen=True)[3]
    batch = {name: values[None] for name, values in item.items()}
    with torch.no_grad():
        out = model(**batch)
    nats = [-float(log_softmax(out.logits[0, i], -1)[STREAM[57 + i + 1]]) for i in range(19)]
    assert float(out.loss) == pytest.approx(np.mean(nats), rel=1e-5)
    item["labels"][0] = -100
    assert item["input_ids"][0] == STREAM[57]  # two tensors, not one


def test_each_epoch_cuts_the_ring_elsewhere():
    dataset = CausalWindows(STREAM, 41, seed=7)
    cuts = []
    for epoch in range(5):
        dataset.set_epoch(epoch)
        read = tokens(dataset)
        assert torch.equal(read[1:, 0], read[:-1, -1])
        stream = torch.cat([read[:1, 0], read[:, 1:].flatten()]).numpy()
        (cut,) = [k for k in range(4001) if np.array_equal(np.roll(STREAM, -k)[: stream.size], stream)]
        cuts.append(cut)
    assert len(set(cuts)) == 5
    again = CausalWindows(STREAM, 41, seed=7)
    again.set_epoch(4)
    assert torch.equal(tokens(again), read)
    other = CausalWindows(STREAM, 41, seed=8)
    other.set_epoch(4)
    assert not torch.equal(tokens(other), read)


def test_the_cuts_are_these_cuts():
    """A later numpy that draws otherwise would break the resumption of older runs."""
    dataset = CausalWindows(np.arange(4001, dtype=np.int32), 41, seed=7)
    assert int(dataset[0]["input_ids"][0]) == 655


def test_the_parts_of_a_corpus():
    corpus = Corpus("made", tuple(Document(str(i), LETTERS * 40) for i in range(2)))
    training, validation = causal_windows(corpus, TOKENIZER, 16, seed=3)
    assert (training.frozen, validation.frozen, training.seed) == (False, True, 3)
    assert TOKENIZER.decode(training.tokens[:]) == "<eos>".join([*corpus.split()[0].texts, ""])
    before = tokens(validation)
    validation.set_epoch(2)
    assert torch.equal(tokens(validation), before)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (1, "a context of 1 tokens: it takes from 2"),
        (0, "a context of 0 tokens"),
        (108, r"made \(validation part\): 106 tokens do not fill one context of 108: .* at most 106"),
        (3000, r"made \(training part\): 1978 tokens"),
    ],
)
def test_a_length_that_does_not_fit_is_refused(length, message):
    corpus = Corpus("made", tuple(Document(str(i), LETTERS * 40) for i in range(2)))
    with pytest.raises(InputError, match=message):
        causal_windows(corpus, TOKENIZER, length)
    with pytest.raises(InputError, match="the seed -1"):
        causal_windows(corpus, TOKENIZER, 16, seed=-1)
