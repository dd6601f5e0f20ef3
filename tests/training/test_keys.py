"""What an operator may choose: how a step is computed without changing it, and how long a run is."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
from marks import slow_but
from safetensors.torch import load_file
from test_resume import LABEL, history, small, stop_at, write_words
from transformers import PreTrainedTokenizerBase

from spinodal.data import PairWindows
from spinodal.errors import InputError
from spinodal.inference import Sampling, load_model, translations
from spinodal.runs import encode, read_run
from spinodal.training import Experiment, TrainingResult, override, train
from spinodal.training.build import prepare_data
from spinodal.training.scoring import translate_pairs


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    """Some eleven steps an epoch, of sixteen samples each."""
    corpus = write_words(tmp_path / "corpus.txt", 520)
    values = {
        "method": "none",
        "pathway": "none",
        "batch": 16,
        "steps": 16,
        "evaluate_every": 8,
        "save_every": 4,
    }
    return override(small(corpus), values | {"warmup": 0.0})


def losses(run: TrainingResult) -> list[float]:
    return [row[name] for row in run.metrics for name in ("loss", "held_out_loss") if name in row]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_accumulated_batches_are_one_batch(plain: Experiment, tmp_path: Path):
    """Over the end of an epoch, whose last samples are left out in either case."""
    one = train(plain, tmp_path / "one", LABEL)
    parts = train(override(plain, {"batch": 4, "accumulate": 4}), tmp_path / "parts", LABEL)
    assert losses(parts) == pytest.approx(losses(one), rel=1e-5)
    assert [row["tokens"] for row in parts.metrics] == [row["tokens"] for row in one.metrics]


@pytest.mark.slow
def test_a_constraint_on_accumulated_batches_is_their_mean(plain: Experiment, tmp_path: Path):
    """Multipliers rise once a step, by the mean of what the parts measure."""
    values = {"method": "dual", "pathway": "I", "rate": 0.1, "tolerance": 0.01, "steps": 3, "save_every": 1}
    run = train(override(plain, values | {"batch": 8, "accumulate": 2}), tmp_path / "run", LABEL)
    rows = [row for row in run.metrics if "loss" in row]
    risen = 0.0
    for row in rows:
        risen = max(0.0, risen + 0.1 * (row["F"] - 0.01))
        assert row["multiplier_F"] == pytest.approx(risen, rel=1e-5)


@pytest.mark.slow
def test_samples_of_a_step_may_be_split_otherwise_where_a_run_goes_on(plain: Experiment, tmp_path: Path):
    whole, out = train(plain, tmp_path / "whole", LABEL), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(plain, out, LABEL, progress=stop_at(10))
    with pytest.raises(InputError, match=r"batch=16 there, 8 asked.*of 16 samples.*of 8"):
        train(override(plain, {"batch": 8}), out, LABEL, resume=True)
    run = train(override(plain, {"batch": 8, "accumulate": 2}), out, LABEL, resume=True)
    assert losses(run) == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [{"activation_checkpointing": True}, pytest.param({"workers": 2}, marks=pytest.mark.slow)],
    ids=str,
)
def test_what_does_not_change_a_step_changes_no_bit(plain: Experiment, tmp_path: Path, values: dict):
    whole = train(plain, tmp_path / "whole", LABEL)
    with pytest.raises(KeyboardInterrupt):
        train(override(plain, values), tmp_path / "run", LABEL, progress=stop_at(10))
    run = train(override(plain, values), tmp_path / "run", LABEL, resume=True)
    assert history(run) == history(whole)
    assert same_weights(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_bf16_computes_in_bfloat16_and_keeps_float32(plain: Experiment, tmp_path: Path):
    """In a process of its own: accelerate makes outputs from dictionaries, which the checks of types refuse."""
    one, half = train(plain, tmp_path / "fp32", LABEL), override(plain, {"precision": "bf16"})
    program = (
        "import json, sys\nfrom spinodal.runs import decode\n"
        "from spinodal.training import Experiment, Label, train\n"
        "train(decode(Experiment, json.loads(sys.argv[1]), {}), sys.argv[2], Label('', '', ''))\n"
    )
    told = (json.dumps(encode(half)[0]), str(tmp_path / "bf16"))
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, *told], check=True)
    half = read_run(tmp_path / "bf16").result_as(TrainingResult)
    assert losses(half) == pytest.approx(losses(one), rel=2e-2)
    assert losses(half) != losses(one)
    assert {value.dtype for value in weights(tmp_path / "bf16").values()} == {torch.float32}
    with pytest.raises(InputError, match="precision=bf16 there, "):
        train(plain, tmp_path / "bf16", LABEL, resume=True)


def test_sgd_is_theta_minus_the_rate_times_the_clipped_gradient(plain: Experiment, tmp_path: Path):
    """|theta_1 - theta_0| = lr min(|g|, clip), without weight decay."""
    values = {"optimizer": "sgd", "steps": 2, "save_every": 1, "evaluate_every": 2, "decay": "constant"}
    asked = override(plain, values | {"weight_decay": 0.0, "lr": 0.1, "clip": 0.01})
    run = train(asked, tmp_path / "run", LABEL)
    one, two = (
        load_file(tmp_path / "run" / "checkpoints" / f"checkpoint-{k}" / "model.safetensors") for k in (1, 2)
    )
    moved = math.sqrt(sum(float((two[name] - one[name]).square().sum()) for name in one))
    assert min(row["grad_norm"] for row in run.metrics if "loss" in row) > 0.01
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)


@pytest.mark.slow
def test_adafactor_goes_on_bit_for_bit(plain: Experiment, tmp_path: Path):
    asked = override(plain, {"optimizer": "adafactor"})
    whole = train(asked, tmp_path / "whole", LABEL)
    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "run", LABEL, progress=stop_at(10))
    assert history(train(asked, tmp_path / "run", LABEL, resume=True)) == history(whole)


@pytest.mark.slow
def test_as_many_checkpoints_are_kept_as_asked(plain: Experiment, tmp_path: Path):
    train(override(plain, {"save_total": 3}), tmp_path / "run", LABEL)
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"checkpoint-8", "checkpoint-12", "checkpoint-16"}


@pytest.mark.parametrize("decay", slow_but(["constant", "warm-stable-decay"], "constant"))
@pytest.mark.slow
def test_an_extended_run_is_the_longer_run(plain: Experiment, tmp_path: Path, decay: str):
    """Bit for bit, from the last step whose rate is that of the longer one: a fifth before the end where it falls."""
    short = override(plain, {"decay": decay, "steps": 10})
    whole, out = train(override(short, {"steps": 16}), tmp_path / "whole", LABEL), tmp_path / "run"
    train(short, out, LABEL)
    before = read_run(out).record["parts"]
    if decay == "constant":
        run = train(override(short, {"steps": 16}), out, LABEL, resume=True)
    else:
        with pytest.warns(UserWarning, match="checkpoint-10 is passed over: its rate had begun to fall"):
            run = train(override(short, {"steps": 16}), out, LABEL, resume=True)
    ended = [row for row in history(run) if row["step"] == 10 and "held_out_loss" in row]  # the shorter run
    assert [row for row in history(run) if row not in ended] == history(whole)
    assert same_weights(out, tmp_path / "whole")
    assert [part.step for part in run.parts] == [0, 10 if decay == "constant" else 8]
    assert run.parts[0].date == before[0]["date"]


@pytest.mark.slow
def test_an_extended_run_keeps_the_warm_up_that_it_began_with(plain: Experiment, tmp_path: Path):
    short = override(plain, {"decay": "constant", "steps": 10, "warmup": 0.4})
    train(short, tmp_path / "run", LABEL)
    run = train(override(short, {"steps": 16}), tmp_path / "run", LABEL, resume=True)
    rates = [row["learning_rate"] / 4e-3 for row in run.metrics if "loss" in row]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75] + [1] * 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "steps", "said"),
    [
        ({}, 20, r"steps=16 there, 20 asked\): the rate of decay=cosine has fallen to 0 after 16 steps"),
        (
            {"decay": "constant"},
            8,
            r"steps=16 there, 8 asked\): a run is extended to more steps, not to fewer",
        ),
    ],
    ids=["cosine", "fewer"],
)
def test_a_run_that_cannot_be_extended_says_why(
    plain: Experiment, tmp_path: Path, values: dict, steps: int, said: str
):
    asked = override(plain, values)
    train(asked, tmp_path / "run", LABEL)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(InputError, match=said):
        train(override(asked, {"steps": steps}), tmp_path / "run", LABEL, resume=True)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


@pytest.mark.slow
def test_warm_stable_decay_is_flat_and_falls_in_the_last_fifth(plain: Experiment, tmp_path: Path):
    asked = override(plain, {"decay": "warm-stable-decay", "steps": 20, "warmup": 0.2})
    run = train(asked, tmp_path / "run", LABEL)
    found = [row["learning_rate"] / 4e-3 for row in run.metrics if "loss" in row]
    falling = [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert found == pytest.approx([0, 0.25, 0.5, 0.75] + [1] * 12 + falling)


@pytest.mark.slow
def test_plateau_decay_is_flat_and_falls_linearly_in_the_last_quarter(plain: Experiment, tmp_path: Path):
    asked = override(plain, {"decay": "plateau-decay", "steps": 20, "warmup": 0.2})
    run = train(asked, tmp_path / "run", LABEL)
    found = [row["learning_rate"] / 4e-3 for row in run.metrics if "loss" in row]
    assert found == pytest.approx([0, 0.25, 0.5, 0.75] + [1] * 11 + [1, 0.8, 0.6, 0.4, 0.2])


@pytest.fixture
def pairs(plain: Experiment, tmp_path: Path) -> Experiment:
    """Words to their letters, some of which have two spellings."""
    file = tmp_path / "pairs.tsv"
    words = [f"{a}{b}{c}" for a in "abcde" for b in "fghij" for c in ("k", "kl", "klm", "klmnop")]
    rows = [f"{word}\t{' '.join(word.upper())}" for word in words]
    file.write_text("\n".join([*rows, *(f"{row} 2" for row in rows[::7])]) + "\n")
    values = {
        "task": "translation", "corpus": str(file), "tokenizer": "characters", "target_tokenizer": "words",
        "length": 10, "source_length": 10, "channel": "swiglu", "batch": 8, "bucket": 3, "scored": 0,
        "encoder_mixer": "retention", "steps": 14, "evaluate_every": 14, "save_every": 4,
    }  # fmt: skip
    return override(plain, values)


def test_test_pairs_are_translated_with_beams_and_scored_without_stress(pairs: Experiment, tmp_path: Path):
    """What is scored is what `spinodal translate --beams` writes."""
    file = tmp_path / "stressed.tsv"
    text = Path(pairs.data.corpus).read_text()
    file.write_text(text.replace("A ", "AH0 ").replace("B ", "AH1 "))
    asked = override(
        pairs, {"corpus": str(file), "beams": 3, "steps": 2, "evaluate_every": 2, "save_every": 2}
    )
    run = train(asked, tmp_path / "run", LABEL)
    assert run.final["unstressed_error"] <= run.final["text_error"]
    data = prepare_data(asked)
    windows = cast(PairWindows, data.test)
    model = load_model(tmp_path / "run", "ForSeq2SeqLM")[0]
    said = translate_pairs(
        model, windows, cast(PreTrainedTokenizerBase, data.tokenizer), range(len(windows)), 3
    )
    again = list(translations(tmp_path / "run", list(windows.pairs.sources), sampling=Sampling(beams=3)))
    assert said == again


def test_a_finished_run_is_scored_otherwise_without_training(pairs: Experiment, tmp_path: Path):
    short = override(pairs, {"steps": 2, "evaluate_every": 2, "save_every": 2, "scored": 5})
    run = train(short, tmp_path / "run", LABEL)
    done = []
    again = train(
        override(short, {"beams": 2, "scored": 0}),
        tmp_path / "run",
        LABEL,
        resume=True,
        scoring=lambda *batches: done.append(batches),
    )
    assert done == [(k, len(done)) for k in range(1, len(done) + 1)] != []
    assert again.metrics == run.metrics
    config = read_run(tmp_path / "run").config
    assert (config["beams"], config["scored"]) == (2, 0)
    assert train(short, tmp_path / "run", LABEL, resume=True).final == run.final
    assert "beams" not in read_run(tmp_path / "run").config


def test_tokens_of_pairs_are_counted_without_padding(pairs: Experiment):
    data = prepare_data(pairs)
    samples = [data.training[i] for i in range(len(data.training))]
    counts = [int(s["attention_mask"].sum()) + int((s["labels"] >= 0).sum()) for s in samples]
    assert data.tokens == round(sum(counts) / len(counts)) < 20


def test_beams_are_at_least_one_and_of_translation(plain: Experiment, pairs: Experiment):
    with pytest.raises(InputError, match="beams=0"):
        override(pairs, {"beams": 0})
    with pytest.raises(InputError, match="beams"):
        override(plain, {"beams": 2})


@pytest.mark.slow
def test_pairs_in_buckets_go_on_bit_for_bit_over_the_end_of_an_epoch(pairs: Experiment, tmp_path: Path):
    """Symbols of the targets are tokens of their own; the whole test part is scored by error rates."""
    whole = train(pairs, tmp_path / "whole", LABEL)
    with pytest.raises(KeyboardInterrupt):
        train(pairs, tmp_path / "run", LABEL, progress=stop_at(13))
    run = train(pairs, tmp_path / "run", LABEL, resume=True)
    assert history(run) == history(whole)
    assert same_weights(tmp_path / "run", tmp_path / "whole")
    assert {"symbol_error", "text_error"} <= run.final.keys()
    assert 0 < run.final["text_error"] <= 1
    said = next(iter(translations(tmp_path / "run", ["afk"])))
    assert set(said.split()) <= {*"ABCDEFGHIJKLMNOP", "2"}


@pytest.mark.slow
def test_rows_may_come_at_other_steps_where_a_run_goes_on(plain: Experiment, tmp_path: Path):
    whole, out = train(plain, tmp_path / "whole", LABEL), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(plain, out, LABEL, progress=stop_at(9))
    run = train(override(plain, {"log_every": 4}), out, LABEL, resume=True)
    rows = {row["step"]: row["loss"] for row in run.metrics if "loss" in row}
    assert list(rows) == [*range(1, 9), 12, 16]
    per_step = {row["step"]: row["loss"] for row in whole.metrics if "loss" in row}
    assert rows[12] == pytest.approx(sum(per_step[k] for k in range(9, 13)) / 4, rel=1e-6)
    assert same_weights(out, tmp_path / "whole")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": "adam"}, "optimizer=adam: one of adamw, adafactor, sgd"),
        ({"precision": "fp16"}, "precision=fp16: one of fp32, bf16"),
        ({"decay": "linear"}, "decay=linear: one of cosine, constant, warm-stable-decay"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"workers": -1}, "workers=-1"),
        ({"save_total": 0}, "save_total=0"),
        ({"decay": "warm-stable-decay", "warmup": 0.9}, "a warm-up of at most 0.8"),
        ({"decay": "plateau-decay", "warmup": 0.8}, "a warm-up of at most 0.75"),
        (
            {"task": "translation", "target_tokenizer": "bytes"},
            "target_tokenizer=bytes: one of characters, words",
        ),
        ({"task": "translation", "bucket": -1}, "bucket=-1: it must not be negative"),
        ({"held_out": "test"}, "held_out=test: one of validation, development"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_that_make_no_sense_are_named(plain: Experiment, values: dict, said: str):
    with pytest.raises(InputError, match=said):
        override(plain, values)


def test_a_launcher_that_started_one_process_of_several_is_refused(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What `accelerate launch --cpu --num_processes 2` sets, and whom it starts."""
    for name, value in {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_MIXED_PRECISION": "no"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="torchrun --nproc-per-node"):
        train(plain, tmp_path / "run", LABEL)
    assert not (tmp_path / "run").exists()
