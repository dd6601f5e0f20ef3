"""spinodal observe: what it writes, and one sentence for each mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from scipy.io import wavfile
from small_models import inputs_of, small
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

from spinodal.cli import observe
from spinodal.errors import InputError
from spinodal.models import SpinodalConfig, SpinodalForSeq2SeqLM
from spinodal.runs import SaveError, read_run
from spinodal.watch import (
    ObservationComparison,
    Subject,
    loss,
    open_model,
    read_trajectory,
    subject,
    text_batches,
)

WORDS = [
    "[PAD]",
    "[UNK]",
    "[MASK]",
    "to",
    "be",
    "or",
    "not",
    "that",
    "is",
    "the",
    "question",
    "of",
    "all",
    "things",
    "in",
    "heaven",
    "and",
    "earth",
]
TEXT = "to be or not to be\nthat is the question of all things\nin heaven and earth"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT as `save_pretrained` writes it, with a tokenizer of words."""
    place = tmp_path_factory.mktemp("model")
    small("BertForMaskedLM", max_position_embeddings=12).save_pretrained(place)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(place)
    return place


def spinodal(*arguments: str | Path):
    """Runs a command; its InputError is raised."""
    app = typer.Typer()
    app.callback()(lambda: None)  # a group, although it has one command
    observe.add_to(app)
    found = CliRunner().invoke(app, list(map(str, arguments)))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0


@pytest.fixture(scope="module")
def observed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an observation, and of the text beside it."""
    out = tmp_path_factory.mktemp("observed")
    (out / "lines.txt").write_text(TEXT)
    spinodal(
        "observe",
        folder,
        "--text",
        out / "lines.txt",
        "--out",
        out,
        "--effect",
        "spinodal_beta:4,spinodal_usa",
    )
    return out


def test_an_observation_is_written_whole(observed: Path, folder: Path):
    result = json.loads((observed / "observe.json").read_text())
    assert [layer["index"] for layer in result["layers"]] == [0, 1, 2, 3]
    assert set(result["layers"][0]["mass_above"]) == {".9", ".99", ".999"}
    for name in ("random-weights", "shuffled-tokens"):
        assert result["nulls"][name]["layers"][3].keys() >= {
            "mean_cosine",
            "effective_rank",
            "energy",
            "clusters",
        }
    assert result["inputs"] == 3
    assert [row["loss"] is not None for row in result["effect"].values()] == [True] * 3
    assert read_trajectory(observed / "trajectory.safetensors").tokens.shape == (4, 1, 6, 16)
    page = (observed / "report.html").read_text()
    assert "sphere-canvas" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    with pytest.raises(InputError, match="`overwrite` replaces it"):
        spinodal("observe", folder, "--text", "to be", "--out", observed)


@pytest.mark.slow
def test_models_and_old_observations_stand_side_by_side(observed: Path, folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    text = observed / "lines.txt"
    spinodal("observe", "--compare", observed, folder, "--text", text, "--out", out, "--nulls", "none")
    both = read_run(out).result_as(ObservationComparison)
    assert list(both.observations) == [observed.name, folder.name]
    a, b = (result.layers[-1].mean_cosine for result in both.observations.values())
    assert a == b
    assert both.origins[observed.name]["config"]["effect"] == ["spinodal_beta:4", "spinodal_usa"]
    assert "By depth" in (out / "report.html").read_text()


@pytest.mark.slow
def test_arrays_need_no_model(tmp_path: Path):
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).standard_normal((3, 8, 5)))
    spinodal("observe", tmp_path / "x.npz", "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "observe.json").read_text())
    assert (result["model"], len(result["layers"]), result["nulls"]) == ("x.npz", 3, {})


@pytest.mark.slow
def test_a_report_that_fails_is_had_by_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object):
        raise RuntimeError("no ink")

    np.savez(tmp_path / "x.npz", np.random.default_rng(0).standard_normal((3, 8, 5)))
    command, out = ("observe", tmp_path / "x.npz", "--out", tmp_path / "out"), tmp_path / "out"
    with monkeypatch.context() as broken:
        broken.setattr("spinodal.report.observation.observation_page", fail)
        with pytest.raises(SaveError, match=r"numbers are saved.*no ink.*the same command draws it again"):
            spinodal(*command)
    assert read_run(out).finished
    with pytest.warns(UserWarning, match="it is kept, not made again"):
        spinodal(*command)
    assert "sphere-canvas" in (out / "report.html").read_text()


@pytest.mark.slow
def test_records_of_old_observations_are_compared(tmp_path: Path):
    """Folders and records alike, without a text: there is nothing to observe."""
    old = Path(__file__).parent.parent / "pins" / "data" / "finished"
    places = [old / "observe-arrays" / "observe.json", old / "observe-model"]
    spinodal("observe", "--compare", *places, "--out", tmp_path / "out")
    found = read_run(tmp_path / "out").result_as(ObservationComparison)
    assert list(found.observations) == ["observe-arrays", "observe-model"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--text", "to be"], "text"),
        (["--sound", "voice.wav"], "sound"),
        (["--truncate"], "truncate"),
        (["--nulls", "shuffled-tokens"], "nulls"),
        (["--inputs", "3"], "inputs"),
        (["--depth", "2"], "depth"),
    ],
)
def test_arrays_read_no_text_and_have_no_nulls(tmp_path: Path, options: list[str], name: str):
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).standard_normal((3, 8, 5)))
    with pytest.raises(InputError, match=rf"x\.npz holds arrays: `{name}`") as refused:
        spinodal("observe", tmp_path / "x.npz", *options, "--out", tmp_path / "out")
    assert refused.value.fields == (name,)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_arrays_without_nulls_are_what_none_asks_for(tmp_path: Path):
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).standard_normal((3, 8, 5)))
    spinodal("observe", tmp_path / "x.npz", "--nulls", "none", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "observe.json").is_file()


def test_a_file_of_arrays_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"laers\.npz: there is no such file"):
        spinodal("observe", tmp_path / "laers.npz", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give `text`"),
        (["--text", "be"], "is 1 token"),
        (["--text", "to be " * 10], "20 tokens, .* takes 12"),
        (["--text", "to be", "--stack", "decoder"], "no one stack 'decoder'"),
        (["--text", "to be", "--view", "normed"], "one of residual"),
        (["--text", "to be", "--depth", "9"], "only tied layers"),
        (["--text", "to be", "--nulls", "noise"], "the nulls are"),
        (["--text", "to be", "--epsilon", "3"], "`epsilon` 3"),
        (["--text", "to be", "--effect", "softmax"], "no interaction"),
        (["--text", "to be", "--effect", "spinodal_usa,spinodal_usa"], "stands twice"),
        (["--text", "to be", "--inputs", "0"], "`inputs` 0"),
        (["--sound", "nowhere.wav"], "is no .wav file"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, tmp_path: Path, options: list[str], said: str):
    with pytest.raises(InputError, match=said):
        spinodal("observe", folder, *options, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_text_hears_nothing(folder: Path, tmp_path: Path):
    wavfile.write(tmp_path / "tone.wav", 16_000, np.zeros(1600, dtype=np.int16))
    with pytest.raises(InputError, match="does not say how it hears"):
        spinodal("observe", folder, "--sound", tmp_path / "tone.wav", "--out", tmp_path / "out")


def test_truncation_is_asked_for(folder: Path):
    [batch] = text_batches(open_model(folder), ["to be " * 10], truncate=True)
    assert batch["input_ids"].shape == (1, 12)


def test_names_that_are_nothing_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="there is no folder"):
        spinodal("observe", "./nowhere", "--text", "to be", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="--compare"):
        spinodal("observe", "minilm", "smollm2", "--text", "to be", "--out", tmp_path / "out")


@pytest.mark.slow
def test_models_of_one_name_stay_two(folder: Path, tmp_path: Path):
    for side in "ab":
        shutil.copytree(folder, tmp_path / side / "run")
    places = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    spinodal("observe", "--compare", *places, "--text", "to be", "--nulls", "none", "--out", tmp_path / "out")
    assert len(read_run(tmp_path / "out").result["observations"]) == 2
    with pytest.raises(InputError, match="one model twice"):
        spinodal("observe", "--compare", folder, folder, "--text", "to be", "--out", tmp_path / "twice")


def test_a_file_that_is_not_there_is_no_text(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"lines\.txt: there is no such file"):
        spinodal("observe", folder, "--text", "lines.txt", "--out", tmp_path / "out")


def test_without_a_network_the_hub_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def nowhere(*_: object):
        raise OSError("Name or service not known")

    monkeypatch.setattr(subject.socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(subject, "getproxies", dict)
    with pytest.raises(InputError, match="the hub cannot be reached"):
        spinodal("observe", "nobody/nothing", "--text", "to be", "--out", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_our_own_translators_are_observed(folder: Path, tmp_path: Path, stack: str):
    torch.manual_seed(0)
    config = SpinodalConfig(
        vocab_size=len(WORDS),
        width=16,
        depth=2,
        heads=2,
        is_encoder_decoder=True,
        bos_token_id=3,
        pad_token_id=0,
    )
    model = SpinodalForSeq2SeqLM(config)
    model.save_pretrained(tmp_path / "run" / "model")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "run" / "model")
    spinodal(
        "observe", tmp_path / "run", "--stack", stack, "--text", "to be or not", "--out", tmp_path / "out"
    )
    result = json.loads((tmp_path / "out" / "observe.json").read_text())
    assert result["architecture"] == "SpinodalForSeq2SeqLM"
    assert stack in result["stack"]["name"]
    assert set(result["nulls"]) == {"random-weights", "shuffled-tokens"}
    with pytest.raises(InputError, match="ignores attention plug-ins"):
        spinodal(
            "observe",
            tmp_path / "run",
            "--text",
            "to be",
            "--effect",
            "spinodal_usa",
            "--out",
            tmp_path / "no",
        )
    assert not (tmp_path / "no").exists()


def test_files_of_another_model_are_refused(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "odd")
    weights = load_file(tmp_path / "odd" / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "layer.1." not in k}, tmp_path / "odd" / "model.safetensors"
    )
    with pytest.raises(InputError, match="its layers would be random"):
        spinodal("observe", tmp_path / "odd", "--text", "to be", "--out", tmp_path / "out")


def test_an_encoder_decoder_has_a_loss():
    kind = "T5ForConditionalGeneration"
    inputs = inputs_of(kind)
    model = small(kind)
    with torch.no_grad():
        logits = model(**inputs).logits.log_softmax(-1)
    ids = inputs["decoder_input_ids"]
    by_hand = -np.mean(
        [float(logits[b, i, ids[b, i + 1]]) for b in range(len(ids)) for i in range(ids.shape[1] - 1)]
    )
    assert loss(Subject(kind, model, None), inputs, 0) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("option", [("--text", "to be"), ("--depth", "3")])
def test_what_only_a_model_reads_is_refused_where_none_runs(monkeypatch, tmp_path: Path, option):
    """Observations that are there already are read as they are, whatever text is given."""
    monkeypatch.setattr("spinodal.watch.find_observation", Path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="observations are compared as they are") as refused:
        spinodal("observe", "--compare", "one", "two", *option)
    assert refused.value.fields == (option[0][2:],)
