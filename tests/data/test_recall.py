"""Associative recall: a dictionary answers it in full, and nothing short of one above chance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinodal.data import Recall, RecallWindows, recall_windows
from spinodal.data.recall import HELD_OUT
from spinodal.data.samples import UNSELECTED, generator
from spinodal.errors import InputError


def table(dataset) -> torch.Tensor:
    return torch.stack([dataset[i]["input_ids"] for i in range(len(dataset))])


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 9), st.integers(0, 10**6))
def test_a_dictionary_of_the_past_answers_every_query(pairs, spare, more, index):
    """Reading left to right, the answer to a query is what followed its key, which came once before."""
    recall = Recall(length=4 * pairs + spare, pairs=pairs, keys=pairs + more, values=5, seed=index % 7)
    tokens, labels = RecallWindows(recall, 10**6 + 1)[index].values()
    assert tokens.shape == labels.shape == (recall.length,)
    assert tokens.min() >= 0
    assert tokens.max() < recall.vocabulary
    seen, asked = {}, set()
    for place in range(1, recall.length):
        key, value = int(tokens[place - 1]), int(tokens[place])
        if not (0 < key <= recall.keys):
            assert labels[place] == UNSELECTED
            continue
        assert value > recall.keys
        if key in seen:
            assert seen[key] == labels[place] == value
            asked.add(key)
        else:
            assert labels[place] == UNSELECTED
            seen[key] = value
    assert labels[0] == UNSELECTED
    assert asked == set(seen)
    assert len(seen) == pairs


@pytest.mark.slow
def test_keys_values_order_and_places_are_uniform():
    recall = Recall(length=64, pairs=4, keys=8, values=4)
    items = [RecallWindows(recall, 4000)[i] for i in range(4000)]
    tokens = torch.stack([item["input_ids"] for item in items]).numpy()
    answered = torch.stack([item["labels"] for item in items]).numpy() != UNSELECTED

    def chi2(counts: np.ndarray) -> float:
        return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())

    first_asked = [
        int(np.flatnonzero(t[:8] == t[np.argmax(a) - 1])[0]) // 2
        for t, a in zip(tokens, answered, strict=True)
    ]
    # 99.99th percentiles of chi^2 with 7, 3, 3 and 27 degrees
    assert chi2(np.bincount(tokens[:, 0] - 1, minlength=8)) < 29.9
    assert chi2(np.bincount(tokens[:, 1] - 9, minlength=4)) < 21.1
    assert chi2(np.bincount(first_asked, minlength=4)) < 21.1
    assert chi2(answered.sum(0)[9::2].astype(float)) < 60.9
    assert answered[:, 8::2].sum() == 0


def test_samples_are_these_samples():
    """A later numpy that draws otherwise would break the resumption of older runs."""
    recall = Recall(length=8, pairs=2, keys=4, values=4, seed=7)
    assert RecallWindows(recall, 9)[3]["input_ids"].tolist() == [4, 8, 3, 6, 3, 6, 4, 8]


def test_training_is_new_each_epoch_and_validation_is_apart():
    training, validation = recall_windows(Recall(seed=7), training=32, validation=16)
    assert (len(training), len(validation)) == (32, 16)
    frozen, first = table(validation), table(training)
    for dataset in (training, validation):
        dataset.set_epoch(1)
    assert torch.equal(table(validation), frozen)
    rows = torch.cat([first, table(training), frozen])
    assert len(torch.unique(rows, dim=0)) == len(rows)
    training.set_epoch(0)
    assert torch.equal(table(training), first)
    assert not torch.equal(table(RecallWindows(Recall(seed=8), 32)), first)
    seeds = (2**63 - 1, 2**63 - 2, 2**62, 0)
    assert len({generator(seed, HELD_OUT, 0).random() for seed in seeds}) == 4


@pytest.mark.parametrize("length", [128, 4096])
def test_a_full_context_is_all_pairs_and_queries(length):
    item = RecallWindows(Recall(length, length // 4, keys=length // 4), 1)[0]
    assert (item["input_ids"] > 0).all()
    assert (item["labels"] != UNSELECTED).sum() == length // 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "a context of 1 tokens"),
        ({"length": 63}, "pairs=16: a context of 63 tokens shows and asks from 1 to 15 pairs"),
        ({"pairs": 0}, "pairs=0"),
        ({"keys": 15}, "keys=15: 16 pairs"),
        ({"values": 1}, "values=1"),
        ({"seed": -1}, "the seed -1"),
    ],
)
def test_absurd_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Recall(**settings)
    with pytest.raises(InputError, match="0 samples"):
        RecallWindows(Recall(), 0)
