"""Scores of generated text against references: BLEU, chrF and exact matches.

Every score counts over the whole corpus, with one reference a hypothesis. Numbers of BLEU and chrF
compare only where their signatures are the same: sacrebleu's record of how the text was cut into
words, how zero counts were smoothed, and of its version.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from spinodal.errors import InputError


class Score(NamedTuple):
    value: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, language: str = "en") -> Score:
    """100 min(1, e^(1 - r/h)) (p_1 p_2 p_3 p_4)^(1/4), lengths h and r, n-gram precisions p_n.

    `language` is that of the references, as "en" or "ja". Words end at white space and punctuation;
    Japanese has neither between them: its words are MeCab's where that is installed (`pip install
    "sacrebleu[ja]"`), else its characters, which gives larger numbers. Chinese is cut into
    characters too. The signature says which, as tok:char.
    """
    _refuse_uneven(hypotheses, references)
    from sacrebleu.metrics.bleu import BLEU

    mecab = find_spec("MeCab") and find_spec("ipadic")
    cuts = {"ja": "ja-mecab" if mecab else "char", "zh": "zh"}
    metric = BLEU(tokenize=cuts.get(language, "13a"))
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(value, str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """100 * 5 P R / (4 P + R), means P, R of precision and recall of n-grams of 1 to 6 characters.

    White space does not count, so no language needs words.
    """
    _refuse_uneven(hypotheses, references)
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(value, str(metric.get_signature()))


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """The share of hypotheses, from 0 to 1, that are their reference to the letter."""
    _refuse_uneven(hypotheses, references)
    return sum(h == r for h, r in zip(hypotheses, references, strict=True)) / len(references)


def _refuse_uneven(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise InputError(f"{len(hypotheses)} hypotheses but {len(references)} references: give one for each")
    if not references:
        raise InputError("nothing to score: there are no hypotheses")
