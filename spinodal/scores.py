"""Scores of generated text against references: BLEU, chrF, exact matches and error rates.

Every score counts over the whole corpus, with one reference a hypothesis, error rates with one or
several. Numbers of BLEU and chrF compare only where their signatures are the same: sacrebleu's record
of how the text was cut into words, how zero counts were smoothed, and of its version.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from spinodal.errors import InputError

ORDER = 4  # the longest n-grams of BLEU
JAPANESE = {"ja", "jpn"}
CHINESE = {"zh", "zho", "chi", "cmn", "yue", "wuu", "nan", "hak", "lzh"}
# Other languages without spaces between words; the scripts go by the first word of their letters' Unicode names
UNSPACED = {"th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur", "bo", "bod", "tib", "dz", "dzo"}
STRESSED = re.compile(r"\b(AA|AE|AH|AO|AW|AY|EH|ER|EY|IH|IY|OW|OY|UH|UW)[012]\b")  # vowels of ARPAbet
SCRIPTS = {"CJK": "zh", "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my", "TIBETAN": "bo"}


class Score(NamedTuple):
    """A score from 0 to 100 (`value`), and sacrebleu's record of how it was computed (`signature`)."""

    value: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, language: str = "en") -> Score:
    """100 min(1, e^(1 - r/h)) (p_1 ... p_N)^(1/N) of h and r words, p_n the precision of n-grams.

    The hypotheses have h words in all, the references r. N is 4, or the number of words of the longest
    reference where that is less: the signature then ends with order:N.
    `language` is the tag of the references' language, "en", "ja" or "zh-TW", of which the first part counts. Words
    end at white space and punctuation; Japanese has neither between them: its words are MeCab's where that is
    installed (`pip install "sacrebleu[ja]"`), else its characters, which gives larger numbers. Chinese, Thai, Lao,
    Khmer, Burmese and Tibetan are cut into characters too. The signature says which, as tok:char. InputError for
    what is no tag of a language.
    """
    _refuse_uneven(hypotheses, references)
    from sacrebleu.metrics.bleu import BLEU

    tokenize = _tokenizer(language)
    metric = BLEU(tokenize=tokenize)
    longest = max(len(metric.tokenizer(reference.rstrip()).split()) for reference in references)
    order = min(ORDER, max(1, longest))
    if order < ORDER:
        metric = BLEU(tokenize=tokenize, max_ngram_order=order)
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(value, str(metric.get_signature()) + (f"|order:{order}" if order < ORDER else ""))


def _tokenizer(language: str) -> str:
    """How sacrebleu cuts text of a language into words."""
    name = language.replace("_", "-").partition("-")[0].lower()
    if not (name.isascii() and name.isalpha() and len(name) in (2, 3)):
        raise InputError(
            f"`language` {language!r}: give the tag of a language, such as en, ja or zh-TW", field="language"
        )
    if name in JAPANESE:
        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    return "zh" if name in CHINESE else "char" if name in UNSPACED else "13a"


def written_language(texts: Sequence[str]) -> str:
    """A tag for the `language` of `bleu`, by script: "en" for scripts with spaces between words."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    if any("\u3040" <= letter <= "\u30ff" for letter in letters):  # kana
        return "ja"
    scripts = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in letters)
    most = max(scripts, key=scripts.__getitem__, default="")
    return SCRIPTS.get(most, "en")


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """100 * 5 P R / (4 P + R), P and R the mean precision and recall of n-grams of 1 to 6 characters.

    White space does not count, so texts need not be cut into words.
    """
    _refuse_uneven(hypotheses, references)
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(value, str(metric.get_signature()))


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """The share of hypotheses, from 0 to 1, that equal their reference character by character."""
    _refuse_uneven(hypotheses, references)
    return sum(h == r for h, r in zip(hypotheses, references, strict=True)) / len(references)


class ErrorRates(NamedTuple):
    """Shares of symbols and of texts that are wrong; the former can exceed 1."""

    symbols: float
    texts: float


def error_rates(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> ErrorRates:
    """sum_i e_i / sum_i n_i and the share of e_i > 0, e_i the edits to the nearest reference, n_i its symbols.

    Symbols are what stands between white space, and edits insert, delete or replace one [levenshtein1966]. Of phonemes
    these are the phoneme and the word error rate, each word with all its pronunciations. InputError for a hypothesis
    without references, and for references without symbols.

    >>> from spinodal.scores import error_rates
    >>> error_rates(["T AH0 M EY1 T OW0"], [["T AH0 M AA1 T OW2", "T AH0 M EY1 T OW2"]])
    ErrorRates(symbols=0.16666666666666666, texts=1.0)
    """
    _refuse_uneven(hypotheses, references)
    wrong, nearest = [], []
    for number, (hypothesis, several) in enumerate(zip(hypotheses, references, strict=True), start=1):
        if not several:
            raise InputError(f"hypothesis {number} has no reference")
        said, found = hypothesis.split(), [reference.split() for reference in several]
        edits, symbols = min((edit_distance(said, reference), len(reference)) for reference in found)
        wrong.append(edits)
        nearest.append(symbols)
    if not sum(nearest):
        raise InputError("nothing to score: the references are empty")
    return ErrorRates(sum(wrong) / sum(nearest), sum(edits > 0 for edits in wrong) / len(wrong))


def without_stress(phonemes: str) -> str:
    """The text without the digit of stress that ends a vowel of ARPAbet, 0, 1 or 2: "T AH M EY T OW".

    >>> from spinodal.scores import without_stress
    >>> without_stress("T AH0 M EY1 T OW2")
    'T AH M EY T OW'
    """
    return STRESSED.sub(r"\1", phonemes)


def edit_distance(said: Sequence[str], reference: Sequence[str]) -> int:
    """The fewest insertions, deletions, replacements that turn `said` into `reference` [levenshtein1966]."""
    row = list(range(len(reference) + 1))
    for i, mine in enumerate(said, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(reference, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (mine != other))
    return row[-1]


def _refuse_uneven(hypotheses: Sequence[str], references: Sequence[object]) -> None:
    if len(hypotheses) != len(references):
        raise InputError(f"{len(hypotheses)} hypotheses but {len(references)} references: give one for each")
    if not references:
        raise InputError("nothing to score: there are no hypotheses")
