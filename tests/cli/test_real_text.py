"""The command line on text as users have it: encodings, keys and names that are wrong, and what it says of them."""

import gzip
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_commands import SHORT, TINY, spinodal

from spinodal.cli.translate import sources
from spinodal.errors import InputError
from spinodal.report import page
from spinodal.runs import read_run
from spinodal.training import DataConfig, Experiment, Schedule, override, parse_overrides, train, training_run
from spinodal.version import __version__

WORDS = "to be or not to be, that is the question; "


def tiny(corpus: Path, **model) -> Experiment:
    data = DataConfig(str(corpus), tokenizer="characters", length=16)
    schedule = Schedule(steps=4, batch=4, log_every=2, evaluate_every=4, save_every=4)
    return Experiment(data, {"width": 16, "depth": 1, "heads": 2, "hidden": 8} | model, schedule)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(WORDS * 40)
    return path


@pytest.mark.slow
def test_training_reads_lines_of_json(monkeypatch, tmp_path: Path):
    lines = "".join(json.dumps({"content": WORDS * 8}) + "\r\n" for _ in range(5))
    path, out = tmp_path / "corpus.JSONL.gz", tmp_path / "run"
    path.write_bytes(gzip.compress(lines.encode("utf-16")))
    command = ["train", "pet-mlm", *TINY, *SHORT, f"corpus={path}", "text_field=content", "--out", out]
    assert spinodal(monkeypatch, *command) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["text_field"] == "content"
    vocabulary = json.loads((out / "model" / "tokenizer.json").read_text())["model"]["vocab"]
    assert set(WORDS) <= set(vocabulary)
    assert "{" not in vocabulary


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbfriver\r\n\r\nsea\r\n", "river\r\nsea\r\n".encode("utf-16")])
def test_standard_input_is_read_as_a_file_is(monkeypatch, tmp_path: Path, raw: bytes):
    (tmp_path / "t.txt").write_bytes(raw)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert sources([], Path("-")) == sources([], tmp_path / "t.txt") == ["river", "sea"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    with pytest.raises(InputError, match="standard input is not UTF-8 text: byte 3 is 0xe9"):
        sources([], Path("-"))


def test_an_argument_in_another_encoding_is_named(monkeypatch, capsys):
    said = b"caf\xe9 <mask>".decode("utf-8", "surrogateescape")
    for command in (["fill", "run", said], ["observe", "minilm", "--text", said], ["translate", "run", said]):
        assert spinodal(monkeypatch, *command) == 2
        assert "is not UTF-8 text: its character 4 is byte 0xe9" in capsys.readouterr().err


@pytest.mark.slow
def test_fill_and_generate_refuse_the_same_characters(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    train(tiny(corpus), tmp_path / "fill")
    data = DataConfig(str(corpus), "causal", "characters", length=16)
    lm = tiny(corpus)
    train(Experiment(data, lm.model, lm.schedule), tmp_path / "lm")
    for command in (
        ["fill", tmp_path / "fill", "to QZQ<mask>"],
        ["generate", tmp_path / "lm", "--prompt", "to QZQ"],
    ):
        assert spinodal(monkeypatch, *command) == 2
        error = capsys.readouterr().err
        assert "the text holds 'Q' at character 4, and 'Z', which this model has never seen" in error
    assert spinodal(monkeypatch, "fill", tmp_path / "fill", "to <unk><mask>") == 0  # as it was written


def test_an_error_stands_alone(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    wrong = [f"corpus={corpus}", "length=5000", "tokenizer=characters"]
    for command in (
        ["train", "pet-mlm", *wrong, "--out", tmp_path / "run"],
        ["compare", "pet-mlm", *wrong, "--out", tmp_path / "comparison"],
        ["simulate", "--n", "4", "--until", "1", "--beta", "nan", "--out", tmp_path / "flow"],
    ):
        assert spinodal(monkeypatch, *command) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")


def test_a_key_given_twice_is_refused():
    with pytest.raises(InputError, match="steps is given twice, steps=2 and steps=3: give it once"):
        parse_overrides(["steps=2", "lr=1e-3", "steps=3"])


def test_the_version(monkeypatch, capsys):
    assert spinodal(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"spinodal {__version__}\n"


@pytest.mark.parametrize("name", ["pet_lm", "PET-LM", "pet-ml"])
def test_the_nearest_recipe_is_named(monkeypatch, capsys, name: str):
    assert spinodal(monkeypatch, "train", name) == 2
    assert "(did you mean pet-" in capsys.readouterr().err


@pytest.mark.slow
def test_reactions_without_a_constraint_are_counted(corpus: Path, tmp_path: Path):
    reactions = tiny(corpus, channel="partition", pathway="I", phases=2)
    idle = (
        16 * 2 * 8 + 8 * 2 * 2 + 2 * 2
    )  # stoichiometry, constants and their bias: hidden 8, 2 heads, 2 reactions
    with pytest.warns(UserWarning, match=f"^{idle} parameters learn nothing: .*add method=augmented"):
        train(reactions, tmp_path / "idle")
    train(override(reactions, {"method": "augmented", "constrain": "F,g1,g2"}), tmp_path / "taught")


@pytest.mark.slow
def test_a_checkpoint_is_said_to_be_kept_only_where_there_is_one(corpus: Path, tmp_path: Path):
    small, often = tiny(corpus), Schedule(steps=20, batch=4, log_every=1, evaluate_every=20)
    for save_every, said in ((20, "no checkpoint was written yet"), (1, "checkpoint-[0-9]+ is kept")):
        schedule = replace(often, save_every=save_every, lr=1e30, clip=1e30, warmup=0.0)
        with pytest.raises(FloatingPointError, match=said):
            train(Experiment(small.data, small.model, schedule), tmp_path / str(save_every))


@pytest.mark.slow
def test_the_page_reads_one_seed_and_a_tie_as_they_are(corpus: Path, tmp_path: Path):
    train(tiny(corpus), tmp_path / "run")
    runs = [training_run(read_run(tmp_path / "run").record)]
    assert "<dt>seed</dt><dd>0</dd>" in page({"": {"own": runs}})
    other = [replace(runs[0], seed=1)]
    both = page({"": {"own": runs + other, "rival": runs + other}})
    assert "<dt>seeds</dt><dd>0, 1</dd>" in both
    assert "Models tie where the 95% interval of the difference" in both
    assert "A tie:" not in both


@pytest.mark.slow
def test_square_brackets_of_a_text_are_text(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    corpus.write_text("to be [/b] or a[i] and [bold] " * 60)
    train(tiny(corpus), tmp_path / "run")
    assert spinodal(monkeypatch, "fill", tmp_path / "run", "a [/b] [bold] <mask>", "--top", "1") == 0
    assert "a [/b] [bold] " in capsys.readouterr().out
