"""Masks: BERT's statistics, drawn from (seed, epoch, index) and nothing else."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import DataLoaderShard, prepare_data_loader
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments, default_data_collator

from spinodal.data import Corpus, Document, MaskedWindows, Masking, character_tokenizer, masked_windows
from spinodal.data.masking import mask_tokens
from spinodal.data.samples import UNSELECTED, generator
from spinodal.errors import InputError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = character_tokenizer([LETTERS])
STREAM = np.random.default_rng(0).integers(5, len(TOKENIZER), 4001).astype(np.int32)


def windows(**settings) -> MaskedWindows:
    return MaskedWindows(STREAM, TOKENIZER, Masking(**{"length": 40, "seed": 7, **settings}))


def tables(dataset) -> tuple[torch.Tensor, torch.Tensor]:
    items = [dataset[i] for i in range(len(dataset))]
    return torch.stack([item["input_ids"] for item in items]), torch.stack([item["labels"] for item in items])


def restored(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.where(labels == UNSELECTED, inputs, labels)


def test_windows_tile_the_stream():
    dataset = windows()
    assert len(dataset) == 100  # the token left over fills no context
    assert torch.equal(restored(*tables(dataset)).flatten(), torch.from_numpy(STREAM[:4000]).long())
    with pytest.raises(IndexError):
        dataset[100]
    with pytest.raises(IndexError):
        dataset[-1]


@pytest.mark.parametrize("fraction", [0.15, 0.4])
def test_the_fractions_are_berts_within_binomial_error(fraction):
    n, v = 400_000, 26
    tokens = np.random.default_rng(1).integers(5, 5 + v, n)
    inputs, labels = mask_tokens(
        tokens, generator(3, 0, 0), mask=2, ordinary=np.arange(5, 5 + v), fraction=fraction
    )
    selected = labels != UNSELECTED
    assert np.array_equal(labels[selected], tokens[selected])
    assert np.array_equal(inputs[~selected], tokens[~selected])
    hidden = selected & (inputs == 2)
    swapped = selected & (inputs != 2) & (inputs != tokens)
    k = selected.sum()
    # a random token is the right one, and so looks kept, once in v
    for count, trials, p in (
        (k, n, fraction),
        (hidden.sum(), k, 0.8),
        (swapped.sum(), k, 0.1 * (1 - 1 / v)),
        (k - hidden.sum() - swapped.sum(), k, 0.1 * (1 + 1 / v)),
    ):
        assert abs(count - trials * p) < 4 * np.sqrt(trials * p * (1 - p))
    # replacements are uniform over the ordinary tokens: chi^2 of 25 degrees, below its 99.99th percentile
    counts = np.bincount(inputs[swapped] - 5, minlength=v)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 64


def test_neighbouring_samples_share_no_numbers():
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 2), (2**63 - 1, 0, 0)]
    numbers = np.concatenate([generator(*key).random(1000) for key in keys])
    assert len(np.unique(numbers)) == numbers.size


def test_masks_are_these_masks():
    """A later numpy that draws otherwise would break the resumption of older runs."""
    labels = windows()[3]["labels"]
    assert torch.nonzero(labels != UNSELECTED).flatten().tolist()[:6] == [2, 11, 15, 20, 21, 27]


def test_every_window_has_something_to_predict():
    for dataset in (windows(length=2), windows(fraction=1e-9)):
        labels = tables(dataset)[1]
        assert (labels != UNSELECTED).any(dim=1).all()
    assert (labels != UNSELECTED).sum() == 100  # and no more than it must


def test_all_selected_at_fraction_one():
    assert (tables(windows(fraction=1.0))[1] != UNSELECTED).all()


def test_seed_epoch_and_index_each_matter_and_nothing_else():
    first = windows()
    base = tables(first)
    assert all(torch.equal(a, b) for a, b in zip(tables(windows()), base, strict=True))
    assert not torch.equal(tables(windows(seed=8))[1], base[1])
    first[5]  # what was drawn before is no matter
    first.set_epoch(1)
    assert not torch.equal(tables(first)[1], base[1])
    first.set_epoch(0)
    assert torch.equal(first[17]["input_ids"], base[0][17])
    same_text = MaskedWindows(np.tile(STREAM[:40], 2), TOKENIZER, Masking(length=40))
    assert not torch.equal(same_text[0]["labels"], same_text[1]["labels"])


def test_a_frozen_set_keeps_its_masks():
    frozen = MaskedWindows(STREAM, TOKENIZER, Masking(length=40, seed=7), frozen=True)
    before = tables(frozen)
    frozen.set_epoch(3)
    assert all(torch.equal(a, b) for a, b in zip(tables(frozen), before, strict=True))


def test_replacements_are_never_special():
    inputs, labels = tables(windows(fraction=0.9))
    assert inputs[(inputs != TOKENIZER.mask_token_id) & (labels != UNSELECTED)].min() >= 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_that_outlive_an_epoch_hear_of_the_next():
    dataset = windows()
    loader = DataLoader(dataset, batch_size=25, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 4):
        dataset.set_epoch(epoch)
        seen = torch.cat([batch["labels"] for batch in loader])
        assert torch.equal(seen, tables(dataset)[1])


def test_a_copy_is_the_same():
    dataset = windows()
    dataset.set_epoch(2)
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert torch.equal(tables(other)[0], tables(dataset)[0])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_resumed_epoch_is_the_same(processes):
    """accelerate itself does not tell the dataset the epoch here, so the trainer has to."""

    def loader(dataset):
        return prepare_data_loader(
            DataLoader(dataset, batch_size=10, shuffle=True, generator=torch.Generator().manual_seed(1)),
            num_processes=processes,
            process_index=0,
            use_seedable_sampler=True,
            data_seed=5,
        )

    straight, epochs = windows(), []
    whole = loader(straight)
    for epoch in range(2):
        straight.set_epoch(epoch)
        epochs.append([batch["input_ids"] for batch in whole])
    resumed = windows()
    rest = skip_first_batches(loader(resumed), 2)
    assert isinstance(rest, DataLoaderShard)
    rest.set_epoch(1)
    resumed.set_epoch(1)
    again = [batch["input_ids"] for batch in rest]
    assert len(again) == 10 // processes - 2
    assert all(torch.equal(a, b) for a, b in zip(again, epochs[1][2:], strict=True))


@pytest.mark.slow
def test_the_trainer_of_transformers_takes_them(tmp_path):
    config = BertConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, logging_strategy="no", save_strategy="no",
    )  # fmt: skip
    frozen = MaskedWindows(STREAM[:400], TOKENIZER, Masking(length=40), frozen=True)
    trainer = Trainer(
        BertForMaskedLM(config),
        arguments,
        default_data_collator,
        train_dataset=windows(),
        eval_dataset=frozen,
    )
    trainer.train()
    losses = [trainer.evaluate()["eval_loss"] for _ in range(2)]
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(np.log(len(TOKENIZER)), rel=0.1)


def test_training_and_validation_are_the_split():
    corpus = Corpus("made", (Document("x", LETTERS * 40), Document("y", LETTERS[::-1] * 40)))
    masking = Masking(length=16)
    training, validation = masked_windows(corpus, TOKENIZER, masking)
    assert (training.frozen, validation.frozen) == (False, True)
    assert TOKENIZER.decode(training.tokens[:]) == "<eos>".join([*corpus.split()[0].texts, ""])
    assert TOKENIZER.decode(validation.tokens[:]) == "<eos>".join([*corpus.split()[1].texts, ""])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "a context of 1 token"),
        ({"length": -3}, "a context of -3 tokens"),
        ({"length": 2**30}, "it takes from 2 to"),
        ({"fraction": float("nan")}, "a masked fraction of nan"),
        ({"fraction": 0.0}, "a masked fraction of 0.0"),
        ({"fraction": -0.15}, "a masked fraction of -0.15"),
        ({"fraction": 1.5}, "a masked fraction of 1.5"),
        ({"fraction": float("inf")}, "a masked fraction of inf"),
        ({"seed": -1}, "the seed -1"),
        ({"seed": 2**63}, "the seed 9223372036854775808"),
    ],
)
def test_absurd_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        replace(Masking(), **settings)


def test_a_corpus_short_of_one_context_is_told_what_would_do():
    corpus = Corpus("short", (Document("x", LETTERS * 4),))  # 98 letters, 6 letters, and <eos> for each
    with pytest.raises(InputError, match=r"short \(training part\): 99 tokens .* of 128: .* at most 99"):
        masked_windows(corpus, TOKENIZER, Masking(length=128))
    with pytest.raises(InputError, match=r"short \(validation part\): 7 tokens .* of 16: .* at most 7"):
        masked_windows(corpus, TOKENIZER, Masking(length=16))
    masked_windows(corpus, TOKENIZER, Masking(length=7))


def test_a_tokenizer_without_a_mask_is_refused():
    bare = copy.deepcopy(TOKENIZER)
    bare.mask_token = None
    with pytest.raises(InputError, match="no mask token"):
        MaskedWindows(STREAM, bare, Masking(length=40))
