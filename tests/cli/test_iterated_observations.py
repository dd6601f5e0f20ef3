"""`observe --depth` as a flow, `observe --checkpoints` and `simulate --from`: what they write, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import spinodal
from small_models import small
from test_observe_command import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spinodal.runs import read
from spinodal.watch import IterationResult, TrainingSeriesResult

TRAINED = [
    "tokenizer=characters", "length=16", "batch=4", "width=16", "depth=2", "heads=2", "hidden=8", "steps=6",
    "log_every=2", "evaluate_every=2", "save_every=2", "save_total=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small ALBERT, whose layers are tied, and a small BERT, whose layers are not, with a tokenizer of words."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    places = {}
    for name in ("Albert", "Bert"):
        places[name] = tmp_path_factory.mktemp(name)
        small(f"{name}ForMaskedLM").save_pretrained(places[name])
        PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(places[name])
    return places


@pytest.mark.slow
def test_a_deep_model_is_iterated_and_its_page_is_small(monkeypatch, capsys, folders, tmp_path: Path):
    text = tmp_path / "lines.txt"
    text.write_text("to be or not to be\nin heaven and earth")
    out = tmp_path / "out"
    asked = ["--text", text, "--depth", "101", "--nulls", "none", "--out", out]
    command = ["observe", folders["Albert"], *asked]
    assert spinodal(monkeypatch, *command) == 0
    said = capsys.readouterr().out
    assert "groups at the start" in said
    found = read(out)
    assert isinstance(found, IterationResult)
    assert found.texts == 2
    assert found.courses["model"].layers[-1] == 101
    page = (out / "report.html").read_text()
    assert len(page) < 2_000_000
    assert "Fixed points" in page
    assert "https://" not in page
    assert spinodal(monkeypatch, *command[:-2], "--epsilon", "0.1", "--out", out) == 2
    assert "`overwrite`" not in (error := capsys.readouterr().err)
    assert "--overwrite" in error


@pytest.mark.slow
def test_a_step_iterates_each_layer_of_a_model_that_is_not_tied(monkeypatch, folders, tmp_path: Path):
    out = tmp_path / "out"
    command = [
        "observe",
        folders["Bert"],
        "--text",
        "to be or not",
        "--depth",
        "4",
        "--step",
        "0.5",
        "--without",
        "mlp",
    ]
    assert spinodal(monkeypatch, *command, "--nulls", "none", "--out", out) == 0
    names = [f"layer {k}{part}" for part in ("", " without mlp") for k in (1, 2, 3)]
    assert list(read(out).courses) == names
    assert read(out).experiment.step == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "0.5"], "say how often with --depth"),
        (["--depth", "5", "--without", "norm"], "layers have attention and mlp"),
        (["--depth", "500", "--view", "mlp"], "--view: layers that are iterated are measured otherwise"),
        (["--depth", "500", "--effect", "spinodal_usa"], "--effect"),
        (["--depth", "20000"], "layers, where the limit is"),
        (["--checkpoints"], "holds no whole checkpoint"),
        (["--checkpoints", "--step", "0.5"], "--step: checkpoints are observed on a text"),
    ],
)
def test_mistakes_of_flows_are_one_sentence(monkeypatch, capsys, folders, tmp_path: Path, options, said: str):
    out = tmp_path / "out"
    assert spinodal(monkeypatch, "observe", folders["Albert"], "--text", "to be", *options, "--out", out) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


@pytest.mark.slow
def test_over_training(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    """Every checkpoint that a run keeps, by step and layer; the last is the model that the run has saved."""
    run, out, plain = tmp_path / "run", tmp_path / "series", tmp_path / "plain"
    train = ["train", "transformer-mlm", *TRAINED, f"corpus={corpus}", "--out", run]
    assert spinodal(monkeypatch, *train) == 0
    ask = ["observe", run, "--text", "to be or not"]
    assert spinodal(monkeypatch, *ask, "--checkpoints", "--out", out) == 0
    found = read(out)
    assert isinstance(found, TrainingSeriesResult)
    assert found.steps.tolist() == [2, 4, 6]
    assert found.clusters.shape == (3, 3)
    assert np.isfinite(found.losses).all()
    assert spinodal(monkeypatch, *ask, "--nulls", "none", "--beta", str(found.beta), "--out", plain) == 0
    last = json.loads((plain / "observe.json").read_text())["layers"]
    for name in ("clusters", "effective_rank", "energy", "mean_cosine"):
        assert getattr(found, name)[-1] == pytest.approx([layer[name] for layer in last], rel=1e-5)
    assert "By step and layer" in (out / "report.html").read_text()


FROM = ["simulate", "--text", "to be or not to be", "--until", "0.2"]


def test_a_layer_leaves_no_room_for_other_matrices(monkeypatch, capsys, folders, tmp_path: Path):
    out = tmp_path / "out"
    start = ["--from", folders["Albert"], "--out", out]
    for options, said in (
        (start, "say which --layer"),
        ([*start, "--layer", "2", "--beta", "0"], "--beta with --from: the layer has its own"),
        ([*start, "--layer", "1"], "no norm made"),
        (["--out", out], "--text is of a trained layer: say of which model with --from"),
    ):
        assert spinodal(monkeypatch, *FROM, *options) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


@pytest.mark.slow
def test_a_simulation_starts_from_a_trained_layer(monkeypatch, capsys, folders, tmp_path: Path):
    out = tmp_path / "out"
    assert spinodal(monkeypatch, *FROM, "--from", folders["Albert"], "--layer", "2", "--out", out) == 0
    assert "2 heads, 6 tokens" in capsys.readouterr().out
    found = read(out)
    assert found.tokens.shape[1:] == (6, 16)
    assert len(found.experiment.field.heads) == 2
    assert found.experiment.field.biased
