"""Scores against their definitions, written out naively."""

import math
import random
from collections import Counter

import pytest

from spinodal.errors import InputError
from spinodal.scores import (
    bleu,
    chrf,
    edit_distance,
    error_rates,
    exact_match,
    without_stress,
    written_language,
)

RANDOM = random.Random(0)
REFERENCES = [" ".join(RANDOM.choices("abcdefgh", k=RANDOM.randint(6, 14))) for _ in range(20)]
HYPOTHESES = [
    " ".join(word if RANDOM.random() < 0.8 else RANDOM.choice("abcdefgh") for word in reference.split())
    + RANDOM.choice(["", "", " a", " b c"])
    for reference in REFERENCES
]


def counts(items, n: int) -> Counter:
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def naive_bleu(hypotheses: list[list[str]], references: list[list[str]]) -> float:
    logs = 0.0
    for n in (1, 2, 3, 4):
        pairs = [(counts(h, n), counts(r, n)) for h, r in zip(hypotheses, references, strict=True)]
        matched, total = sum((h & r).total() for h, r in pairs), sum(h.total() for h, _ in pairs)
        logs += math.log(matched / total) / 4
    written, wanted = sum(map(len, hypotheses)), sum(map(len, references))
    return 100 * math.exp(logs + min(0, 1 - wanted / written))


def naive_chrf(hypotheses: list[str], references: list[str]) -> float:
    precision = recall = 0.0
    for n in range(1, 7):
        pairs = [
            (counts(h.replace(" ", ""), n), counts(r.replace(" ", ""), n))
            for h, r in zip(hypotheses, references, strict=True)
        ]
        matched = sum((h & r).total() for h, r in pairs)
        precision += matched / sum(h.total() for h, _ in pairs) / 6
        recall += matched / sum(r.total() for _, r in pairs) / 6
    return 100 * 5 * precision * recall / (4 * precision + recall)


def test_bleu_is_its_definition():
    assert len(set(map(len, HYPOTHESES))) > 3
    for hypotheses, references in ((HYPOTHESES, REFERENCES), (REFERENCES, HYPOTHESES)):
        score = bleu(hypotheses, references)
        naive = naive_bleu([h.split() for h in hypotheses], [r.split() for r in references])
        assert score.value == pytest.approx(naive, rel=1e-12)
        assert 30 < score.value < 90
    assert "tok:13a" in score.signature
    assert "version:" in score.signature


def test_chrf_is_its_definition():
    score = chrf(HYPOTHESES, REFERENCES)
    assert score.value == pytest.approx(naive_chrf(HYPOTHESES, REFERENCES), rel=1e-12)
    assert "nc:6|nw:0" in score.signature


def test_japanese_is_cut_into_characters_where_mecab_is_not(monkeypatch):
    monkeypatch.setattr("spinodal.scores.find_spec", lambda name: None)
    hypotheses, references = ["元始に神は天地を造れり"], ["元始に神天地を創造たまへり"]
    score = bleu(hypotheses, references, language="ja")
    assert score.value == pytest.approx(naive_bleu([list(hypotheses[0])], [list(references[0])]), rel=1e-12)
    assert "tok:char" in score.signature
    assert bleu(hypotheses, references).value < 1e-9  # one word, and a wrong one


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_perfect_corpus_of_few_words_has_all_and_n_grams_are_as_long_as_references(length: int):
    texts = [" ".join("abcd"[:length]), "a"]
    score = bleu(texts, texts)
    assert score.value == pytest.approx(100)
    assert score.signature.endswith(f"|order:{length}") == (length < 4)
    longer = [f"{text} e f g h" for text in texts]
    assert (
        bleu(texts, longer).value < 1e-9 or length == 4
    )  # the order is that of references, not of hypotheses
    assert bleu(["a x"], ["a b"]).value == pytest.approx(
        100 * (1 / 2 * 1 / 2) ** 0.5
    )  # p_2 = 0 / 1, smoothed to 1/2


@pytest.mark.parametrize(
    ("tags", "text", "cut"),
    [
        (("zh", "zh-TW", "zh_CN", "ZH", "zh-Hans-CN", "zho_Hant", "yue"), "我喜欢猫和狗", "zh"),
        (("ja", "ja-JP", "JA_jp", "jpn_Jpan"), "元始に神は天地を造れり", "char"),
        (("th", "th-TH", "tha"), "ฉันชอบแมว", "char"),
        (("lo",), "ຂ້ອຍມັກແມວ", "char"),
        (("km-KH",), "ខ្ញុំចូលចិត្តឆ្មា", "char"),
        (("my",), "ငါကြောင်ကြိုက်တယ်", "char"),
        (("bo",), "བོད་ཡིག", "char"),
        (("ko", "ko-KR"), "나는 고양이와 개를 좋아한다", "13a"),
        (("en", "en-GB", "de", "ar"), "the cat and the dog", "13a"),
    ],
)
def test_a_language_is_cut_by_the_first_part_of_its_tag(monkeypatch, tags, text: str, cut: str):
    monkeypatch.setattr("spinodal.scores.find_spec", lambda name: None)
    assert f"tok:{cut}|" in bleu([text], [text], language=written_language([text])).signature
    for tag in tags:
        score = bleu([text], [text], language=tag)
        assert score.value == pytest.approx(100)
        assert f"tok:{cut}|" in score.signature


@pytest.mark.parametrize("language", ["", "Chinese", "中文", "z"])
def test_what_is_no_tag_of_a_language_is_refused(language: str):
    with pytest.raises(InputError, match="give the tag of a language, such as en, ja or zh-TW"):
        bleu(["a"], ["a"], language=language)


def test_exact_matches_are_exact():
    assert exact_match(["a", "b ", "c", "d"], ["a", "b", "C", "d"]) == 0.5


@pytest.mark.parametrize("score", [bleu, chrf, exact_match])
def test_what_is_right_is_all_right_and_nothing_is_nothing(score):
    best = score(REFERENCES, REFERENCES)
    worst = score(["x"] * 20, REFERENCES)
    assert getattr(best, "value", best) == pytest.approx(1 if score is exact_match else 100)
    assert getattr(worst, "value", worst) < 1e-9


@pytest.mark.parametrize("score", [bleu, chrf, exact_match])
def test_lists_that_do_not_match_are_refused(score):
    with pytest.raises(InputError, match="1 hypotheses but 2 references"):
        score(["a"], ["a", "b"])
    with pytest.raises(InputError, match="nothing to score"):
        score([], [])


def naive_distance(a: list[str], b: list[str]) -> int:
    """By its recursion."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        naive_distance(a[1:], b) + 1,
        naive_distance(a, b[1:]) + 1,
        naive_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


def test_edits_are_those_of_the_recursion_and_a_distance():
    random_words = random.Random(1)
    texts = [random_words.choices("abc", k=random_words.randint(0, 5)) for _ in range(12)]
    assert edit_distance(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert edit_distance([], ["a"]) == edit_distance(["a"], []) == 1
    for a in texts:
        assert edit_distance(a, a) == 0
        for b in texts:
            assert edit_distance(a, b) == naive_distance(a, b) == edit_distance(b, a)


def test_stress_is_a_digit_after_a_vowel_of_phonemes():
    assert without_stress("T AH0 M EY1 T OW2") == "T AH M EY T OW"
    assert without_stress("ab0 AB1 AH3 AH01 XAH1 T1") == "ab0 AB1 AH3 AH01 XAH1 T1"


def test_error_rates_take_the_nearest_of_several_references():
    hypotheses = ["a b c", "x y", ""]
    references = [["a c", "a b d"], ["x y", "x"], ["p q"]]
    assert error_rates(hypotheses, references) == ((1 + 0 + 2) / (2 + 2 + 2), 2 / 3)
    alone = error_rates(HYPOTHESES, [[r] for r in REFERENCES])
    assert alone.texts == 1 - exact_match(HYPOTHESES, REFERENCES)


@pytest.mark.parametrize(
    ("references", "said"),
    [([[]], "hypothesis 1 has no reference"), ([[" "]], "references are empty")],
    ids=["none", "empty"],
)
def test_references_that_score_nothing_are_refused(references: list, said: str):
    with pytest.raises(InputError, match=said):
        error_rates(["a"], references)
