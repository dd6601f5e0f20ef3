"""Copies and nearest sentences: the cosine written out, and scores that a perfect and a copying translator have."""

import math

import numpy as np
import pytest

from spinodal.data.pairs import pairs_from_rows
from spinodal.training.baselines import nearest_scores, nearest_sources

TRAINING = ["a red house stands here", "a blue house stands there", "many cats sleep all day long"]


def naive_cosine(one: str, other: str) -> float:
    def weights(text: str) -> dict[str, float]:
        words = text.lower().split()
        return {
            word: words.count(word)
            * math.log((1 + len(TRAINING)) / (1 + sum(word in t.split() for t in TRAINING)))
            for word in words
        }

    u, v = weights(one), weights(other)
    length = math.sqrt(sum(w * w for w in u.values()) * sum(w * w for w in v.values()))
    return sum(u[word] * v.get(word, 0.0) for word in u) / length


def test_the_nearest_source_has_the_largest_cosine():
    asked = ["The red house", "cats sleep", "a blue cats day house", "unseen words alone"]
    index, cosine = nearest_sources(TRAINING, asked)
    expected = np.array([[naive_cosine(text, known) for known in TRAINING] for text in asked])
    assert index[:3].tolist() == expected.argmax(1)[:3].tolist() == [0, 2, 1]
    assert cosine == pytest.approx(expected.max(1))


def test_scores_of_those_who_translate_nothing():
    """Sources that are trained on are near; the one of unseen words is far."""
    training = pairs_from_rows("made", [(text, text.upper() + " !") for text in TRAINING])
    sources = [*TRAINING, "words that nobody has seen here"]
    targets = [text.upper() + " !" for text in sources]
    found = nearest_scores(targets, sources, targets, training)
    assert found["far_share"] == 1 / 4
    assert found["far_bleu"] == pytest.approx(100)
    assert found["far_nearest_bleu"] < 20
    assert found["copied_bleu"] < 20
    assert 60 < found["nearest_bleu"] < 100
