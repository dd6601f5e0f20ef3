"""Causal text, pairs and recall train, are measured, are resumed bit for bit, and then speak."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from marks import slow_but
from safetensors.torch import load_file
from test_resume import LABEL, history
from transformers import AutoTokenizer, pipeline
from typed import of_kind, present

from spinodal.data.translation import PairWindows
from spinodal.errors import InputError, ScoringError
from spinodal.inference import Sampling, continuation, fillings, translations
from spinodal.models import SpinodalForSeq2SeqLM
from spinodal.runs import read_run
from spinodal.training import DataConfig, Experiment, Schedule, TrainingResult, override, train
from spinodal.training.build import prepare_data
from spinodal.training.tasks import check_text

TINY = {"width": 16, "depth": 1, "heads": 2, "channel": "swiglu", "hidden": 8}
STEPS = Schedule(steps=12, batch=8, log_every=1, evaluate_every=6, save_every=6)


def pairs(path: Path, count: int = 150) -> Path:
    """Words turned round: few letters, so that a small model can begin to learn."""
    words = ("aab", "bab", "cab", "abc", "bca", "cba", "acb")
    path.write_text("".join(f"{a} {b}\t{b[::-1]} {a[::-1]}\n" for a, b in every_pair(words, count)))
    return path


def every_pair(words: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    n = len(words)
    return [(words[i % n] + str(i), words[(i // n) % n]) for i in range(count)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("texts")
    corpus = folder / "corpus.txt"
    corpus.write_text(
        " ".join(("phase", "liquid", "token", "split")[(i * i + i // 3) % 4] for i in range(400))
    )
    return {"corpus": corpus, "pairs": pairs(folder / "pairs.tsv")}


def experiment(task: str, texts: dict[str, Path]) -> Experiment:
    text = {
        "causal": DataConfig(str(texts["corpus"]), "causal", "characters", length=16),
        "translation": DataConfig(
            str(texts["pairs"]), "translation", "characters", length=16, source_length=16
        ),
        "recall": DataConfig(task="recall", length=16, pairs=3),
    }
    return Experiment(text[task], TINY, STEPS)


@pytest.fixture(scope="module")
def runs(
    texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, TrainingResult]]:
    out = tmp_path_factory.mktemp("runs")
    return {
        t: (out / t, train(experiment(t, texts), out / t, LABEL)) for t in ("causal", "translation", "recall")
    }


@pytest.mark.parametrize(
    ("task", "scores"),
    [("causal", set()), ("translation", {"bleu", "chrf", "exact"}), ("recall", {"accuracy"})],
)
def test_a_run_is_measured(runs: dict[str, tuple[Path, TrainingResult]], task: str, scores: set[str]):
    _, run = runs[task]
    final = run.final
    assert set(final) == {"held_out_loss", "seconds", "tokens_per_second", "steps"} | scores
    losses = [row["held_out_loss"] for row in run.metrics if "held_out_loss" in row]
    assert losses[-1] < losses[0]
    assert run.probe is not None
    assert run.probe.mean_cosine


@pytest.mark.parametrize("task", slow_but(["causal", "translation"], "causal"))
@pytest.mark.slow
def test_killed_and_resumed_is_bit_equal(
    task: str, texts: dict[str, Path], runs: dict[str, tuple[Path, TrainingResult]], tmp_path: Path
):
    whole, run = runs[task]
    out, plan = tmp_path / "killed", experiment(task, texts)

    def die(step: float, steps: float):
        if step == 9:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(
        target=train, args=(plan, out, LABEL), kwargs={"progress": die}
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert history(train(plan, out, LABEL, resume=True)) == history(run)
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (out, whole))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


WAYS = {
    "greedy": Sampling(temperature=0),
    "beams": Sampling(beams=3),
    "sampling": Sampling(temperature=1.2, top_k=5, top_p=0.9, seed=4),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_text_goes_on(
    runs: dict[str, tuple[Path, TrainingResult]], way: str, capsys: pytest.CaptureFixture
):
    run, _ = runs["causal"]
    said = [continuation(run, "phase li", tokens=6, sampling=WAYS[way], stream=i == 1) for i in range(2)]
    assert said[0] == said[1]
    assert said[0].startswith("phase li")
    assert 8 < len(said[0]) <= 8 + 6
    assert capsys.readouterr().out.rstrip("\n") == ("" if way == "beams" else said[0])


def test_a_run_is_ready_for_pipelines(runs: dict[str, tuple[Path, TrainingResult]]):
    """Prompts of different lengths in one batch: the tokenizer pads on the left, and is saved so."""
    run, _ = runs["causal"]
    assert AutoTokenizer.from_pretrained(run / "model").padding_side == "left"
    write = pipeline("text-generation", model=str(run / "model"))
    prompts = ["phase li", "token"]
    together = write(prompts, batch_size=2, max_new_tokens=5, do_sample=False)
    for prompt, (said,) in zip(prompts, together, strict=True):
        assert said["generated_text"] == continuation(run, prompt, tokens=5, sampling=WAYS["greedy"])


@pytest.mark.parametrize("way", WAYS)
def test_texts_are_translated(runs: dict[str, tuple[Path, TrainingResult]], way: str):
    run, _ = runs["translation"]
    said = list(translations(run, ["aab0 bab", "cab2 abc"], sampling=WAYS[way]))
    assert len(said) == 2
    assert all(isinstance(text, str) and len(text) <= 16 for text in said)


def test_the_scores_are_those_of_the_saved_model(
    runs: dict[str, tuple[Path, TrainingResult]], texts: dict[str, Path]
):
    from spinodal.scores import chrf
    from spinodal.training.run import prepare_data

    run, result = runs["translation"]
    pairs = of_kind(prepare_data(experiment("translation", texts)).test, PairWindows).pairs
    said = list(translations(run, list(pairs.sources)))
    assert result.final["chrf"] == pytest.approx(chrf(said, pairs.targets).value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: continuation(r["causal"], ""), "empty"),
        (lambda r: continuation(r["causal"], "phaze §"), "z"),
        (lambda r: continuation(r["causal"], "phase", tokens=0), "tokens=0"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(top_p=0)), "top_p=0"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(beams=0)), "beams=0"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(seed=-1)), "seed=-1"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(seed=2**32)), "seed=4294967296"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(temperature=1e-45)), "temperature=1"),
        (lambda r: continuation(r["causal"], "phase", sampling=Sampling(temperature=float("inf"))), "inf"),
        (lambda r: continuation(r["causal"], "ph\udcffase"), "not UTF-8: character 3"),
        (lambda r: translations(r["translation"], [""]), "empty"),
        (lambda r: translations(r["translation"], ["aab", "aab" * 9]), "text 2, .* up to 16"),
        (
            lambda r: translations(r["causal"], ["aab"]),
            "causal holds a SpinodalForCausalLM, .* spinodal generate",
        ),
        (lambda r: continuation(r["translation"], "aab"), "spinodal translate"),
        (lambda r: fillings(r["causal"], "aab <mask>"), "spinodal generate"),
    ],
)
def test_what_is_refused(runs: dict[str, tuple[Path, TrainingResult]], call, message: str):
    with pytest.raises(InputError, match=message):
        call({name: folder for name, (folder, _) in runs.items()})


def test_a_vocabulary_is_of_byte_pairs_alone():
    with pytest.raises(InputError, match="a vocabulary of 4 tokens"):
        check_text(DataConfig(tokenizer="bpe", vocabulary=4))
    check_text(DataConfig(tokenizer="characters", vocabulary=4))


@pytest.mark.slow
def test_a_fixed_length_is_said_before_work(texts: dict[str, Path], tmp_path: Path):
    plan = override(experiment("causal", texts), {"mixer": "toeplitz", "steps": 6})
    train(plan, tmp_path / "run", LABEL)
    assert continuation(tmp_path / "run", "phase", tokens=12).startswith("phase")
    with pytest.raises(InputError, match="at most 16 tokens"):
        continuation(tmp_path / "run", "phase", tokens=13)


def test_labels_run_down_to_the_answers_of_recall(runs: dict[str, tuple[Path, TrainingResult]]):
    """Chance is one of 64 values; a model that has learned nothing is near it."""
    folder, run = runs["recall"]
    assert 0 <= run.final["accuracy"] <= 0.2
    assert json.loads((folder / "run.json").read_text())["final"] == run.final
    assert torch.isfinite(torch.tensor(run.final["held_out_loss"]))


@pytest.mark.slow
def test_scoring_that_fails_costs_no_model(
    texts: dict[str, Path],
    runs: dict[str, tuple[Path, TrainingResult]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The model is saved first, the error says where, and resuming scores it without training again."""

    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError("unknown argument")

    out, work = tmp_path / "run", experiment("translation", texts)
    with monkeypatch.context() as patch:
        patch.setattr(SpinodalForSeq2SeqLM, "generate", broken)
        with pytest.raises(ScoringError, match=r"saved in .*model.*ValueError: unknown argument.* `resume`"):
            train(work, out, LABEL)
        said = json.loads((out / "run.json").read_text())
        assert said["finished"]
        assert not said["scored"]
        assert set(said["final"]) == {"held_out_loss", "seconds", "tokens_per_second", "steps"}
        with pytest.raises(ScoringError):
            train(work, out, LABEL, resume=True)
    saved = (out / "model" / "model.safetensors").read_bytes()
    again = train(work, out, LABEL, resume=True)
    assert (out / "model" / "model.safetensors").read_bytes() == saved
    _, whole = runs["translation"]
    assert again.scored
    assert again.probe == whole.probe
    assert {k: again.final[k] for k in ("bleu", "chrf", "exact")} == {
        k: whole.final[k] for k in ("bleu", "chrf", "exact")
    }
    assert read_run(out).result_as(TrainingResult) == again


def test_files_of_ones_own_are_taken_as_they_stand(tmp_path: Path):
    """The tokenizer is of the training file; sources that are judged and trained on are counted."""
    files = {name: tmp_path / f"{name}.tsv" for name in ("train", "valid", "test")}
    for (name, file), start in zip(files.items(), (0, 15, 40), strict=True):
        file.write_text(
            "".join(f"{k} a\t{k}\n" for k in range(start, start + (20 if name == "train" else 10)))
        )
    values = {
        "task": "translation", "tokenizer": "characters", "length": 8, "source_length": 8,
        "corpus": str(files["train"]), "validation": str(files["valid"]), "test": str(files["test"]),
    }  # fmt: skip
    asked = override(Experiment(DataConfig(), TINY, STEPS), values | {"encoder_mixer": "attention"})
    with pytest.warns(UserWarning, match="5 of the 10 sources of .*valid.tsv are in .*train.tsv too"):
        data = prepare_data(asked)
    assert [len(part) for part in (data.training, data.held_out, present(data.test))] == [20, 10, 10]
    files["test"].write_text("7 b\t7\n")
    with pytest.warns(UserWarning, match="5 of the 10"):
        other = prepare_data(asked)
    assert other.digests["text"] != data.digests["text"]
    assert other.digests["tokenizer"] == data.digests["tokenizer"]
    with pytest.raises(InputError, match="test=there: give `validation` too"):
        override(Experiment(DataConfig(), TINY, STEPS), {"task": "translation", "test": "there"})
