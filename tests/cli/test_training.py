"""train, compare and translate at the command line: what a mistake costs, and how far the bars go."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from command import spinodal
from processes import group_of, of_group, within

from spinodal.errors import InputError
from spinodal.recipes import pet_lm
from spinodal.runs import read_run
from spinodal.training import Recipe, compare, override, train
from spinodal.training.run import PAGES
from spinodal.types import Progress

TINY = {
    "tokenizer": "characters", "length": 16, "batch": 4, "width": 16, "depth": 1, "heads": 2, "hidden": 8, "phases": 2,
    "steps": 5, "log_every": 3, "evaluate_every": 50, "save_every": 3,
}  # fmt: skip
KEYS = [f"{key}={value}" for key, value in TINY.items()]


@pytest.mark.slow
def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "spinodal", "train", "--help"], capture_output=True, text=True, check=True
    )
    assert "python -m spinodal train" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_lines_of_a_file_are_all_read_before_one_is_translated(monkeypatch, capsys, tmp_path: Path):
    pairs, out, lines = (tmp_path / name for name in ("pairs.tsv", "run", "lines.txt"))
    pairs.write_text("".join(f"{a} {b}\t{b} {a}\n" for a in "abcdefgh" for b in "ijklmnop"))
    assert spinodal(monkeypatch, "train", "pet-translate", *KEYS, f"corpus={pairs}", "--out", out) == 0
    told = capsys.readouterr().out
    assert re.search(r"about \d+ seconds here, if nothing else computes", told)
    assert re.search(r"pet-translate, step 5: held-out loss \d\.\d{3}, BLEU \d+\.\d{3}", told)
    lines.write_bytes(b"\xef\xbb\xbfa i\r\n\r\nb j\r\n")
    capsys.readouterr()
    assert spinodal(monkeypatch, "translate", out, "--file", lines) == 0
    assert capsys.readouterr().out.count("\n") == 2
    lines.write_text("a i\nb q\n")
    assert spinodal(monkeypatch, "translate", out, "--file", lines) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "text 2: the text holds 'q' at character 3" in " ".join(said.err.split())
    monkeypatch.setattr("sys.stdin", StringIO("a i\n"))
    assert spinodal(monkeypatch, "translate", out, "--file", "-") == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("rival", "values", "said"),
    [
        ({"heads": 3}, {}, "rival: .*heads=3"),
        ({"channel": "swiglu"}, {"method": "penalty", "constrain": "F"}, "reports none"),
    ],
)
def test_a_rival_that_cannot_be_trained_is_found_before_any_is(
    corpus: Path, tmp_path: Path, rival, values, said
):
    own = override(pet_lm.RECIPE.experiment, TINY | values | {"corpus": str(corpus)})
    out = tmp_path / "out"
    with pytest.raises(InputError, match=said):
        compare("pet-lm", Recipe(own, {"rival": rival}), out, command="test", seeds=1, jobs=1)
    assert not out.exists()
    out.touch()
    with pytest.raises(InputError, match="is a file"):
        compare("pet-lm", Recipe(own), out, command="test", seeds=1, jobs=1)


def test_an_interrupted_run_says_how_to_go_on(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("spinodal.training.train", interrupt)
    monkeypatch.setattr("spinodal.training.compare", interrupt)
    for command, said in (("train", "--resume goes on from"), ("compare", "the same command goes on")):
        assert spinodal(monkeypatch, command, "pet-lm", f"corpus={corpus}", "--out", tmp_path / "out") == 130
        assert said in capsys.readouterr().out


def break_drawing(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object):
        raise RuntimeError("no ink")

    monkeypatch.setattr("spinodal.figures.loss_over_steps", fail)


@pytest.mark.slow
def test_a_report_belongs_to_its_run(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    """A run that starts again has no report until it ends; a report that fails costs no numbers."""
    out = tmp_path / "out"
    command = ["train", "pet-lm", *KEYS, f"corpus={corpus}", "--out", out]
    with monkeypatch.context() as broken:
        break_drawing(broken)
        assert spinodal(broken, *command) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the numbers are saved" in said
    assert "no ink" in said
    assert "with --resume draws it again" in said
    before = (out / "run.json").read_bytes()
    assert read_run(out).finished
    assert spinodal(monkeypatch, *command, "--resume") == 0
    assert (out / "run.json").read_bytes() == before
    assert all((out / name).stat().st_size > 1000 for name in ("report.html", "loss.png"))

    def stop(step: float, steps: float):
        raise InterruptedError

    plan = override(pet_lm.RECIPE.experiment, TINY | {"corpus": str(corpus)})
    with pytest.raises(InterruptedError):
        train(plan, out, overwrite=True, progress=stop)
    assert not any((out / name).exists() for name in PAGES)


@pytest.mark.slow
def test_a_comparison_that_grows_keeps_no_old_report(monkeypatch, corpus: Path, tmp_path: Path):
    own, out = Recipe(override(pet_lm.RECIPE.experiment, TINY | {"corpus": str(corpus)})), tmp_path / "out"

    def fail(*_: object):
        raise RuntimeError("no ink")

    compare("pet-lm", own, out, seeds=1, jobs=1, draw=lambda folder, arms: folder.write_text(PAGES[0], "old"))
    assert (out / PAGES[0]).read_text() == "old"
    with pytest.raises(RuntimeError, match="no ink"):
        compare("pet-lm", own, out, seeds=2, jobs=1, draw=fail)
    assert read_run(out).finished
    assert not (out / PAGES[0]).exists()


def test_an_estimate_says_what_training_takes_and_trains_nothing(
    monkeypatch, capsys, corpus: Path, tmp_path: Path
):
    command = ("train", "pet-lm", *KEYS, f"corpus={corpus}", "--out", tmp_path / "out", "--estimate")
    assert spinodal(monkeypatch, *command) == 0
    said = dict(line.split(": ") for line in capsys.readouterr().out.strip().splitlines())
    assert list(said) == [
        "parameters",
        "weights",
        "gradients",
        "moments",
        "activations",
        "total",
        "available",
    ]
    assert not (tmp_path / "out").exists()


def test_a_refusal_starts_no_bar(monkeypatch, capsys, tmp_path: Path):
    assert spinodal(monkeypatch, "train", "pet-lm", "corpus=nowhere.txt", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().out.strip() == ""


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_comparison_that_ends_leaves_no_worker(corpus: Path, tmp_path: Path, end: int, status: int):
    keys = [*(key for key in KEYS if not key.startswith("steps=")), f"corpus={corpus}", "steps=100000"]
    command = ["compare", "pet-lm", *keys, "--jobs", "2", "--seeds", "1", "--out", tmp_path / "out"]
    with group_of("-m", "spinodal", *command) as process:
        assert within(120, lambda: bool(list((tmp_path / "out").glob("*/*/checkpoints/checkpoint-9"))))
        (os.kill if end == signal.SIGKILL else os.killpg)(process.pid, end)
        assert process.wait(60) == status
        assert within(5, lambda: not of_group(process.pid))


@pytest.mark.slow
def test_a_second_comparison_in_a_folder_is_refused_in_a_line_that_names_the_first(
    corpus: Path, tmp_path: Path
):
    own, out = Recipe(override(pet_lm.RECIPE.experiment, TINY | {"corpus": str(corpus)})), tmp_path / "out"
    told = []

    def again(run: str) -> Progress:
        with pytest.raises(InputError) as refused:
            compare("pet-lm", own, out, seeds=1, jobs=1)
        told.append(str(refused.value))
        return lambda *at: None

    compare("pet-lm", own, out, seeds=1, jobs=1, progress=again)
    assert len(told) == 1
    assert told[0].startswith(f"{out} is being written by process {os.getpid()} on ")


@pytest.mark.slow
def test_a_scheduler_trains_the_same_comparison(corpus: Path, tmp_path: Path):
    """Its workers report each row of metrics here before the run that it is of is done."""
    from distributed import LocalCluster

    # At these rates the two numbers of threads, of a worker and of a process here, round alike
    rates = {"optimizer": "adamw-one-rate", "lr": 8e-3, "matrix_lr": 0.0}
    experiment = override(pet_lm.RECIPE.experiment, TINY | rates | {"corpus": str(corpus)})
    last: dict[str, tuple[float, float]] = {}
    quiet = {"dashboard_address": ":0", "silence_logs": 50}

    def progress(run: str) -> Progress:
        return lambda *at: last.__setitem__(run, at)

    cluster: Any = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **quiet)
    with cluster:
        address = cluster.scheduler_address
        far = compare(
            "pet-lm", Recipe(experiment), tmp_path / "far", seeds=1, scheduler=address, progress=progress
        )
        with pytest.raises(InputError, match="jobs=2: `jobs` are processes of this machine"):
            compare("pet-lm", Recipe(experiment), tmp_path / "far", seeds=2, jobs=2, scheduler=address)
    near = compare("pet-lm", Recipe(experiment), tmp_path / "near", seeds=1, jobs=1)
    assert last == {"equal-parameters/pet-lm-seed0": (5, 5)}
    for there, here in zip(
        far.arms["equal parameters"]["pet-lm"], near.arms["equal parameters"]["pet-lm"], strict=True
    ):
        assert there["final"]["held_out_loss"] == here["final"]["held_out_loss"]
    with pytest.raises(InputError, match="`scheduler` somewhere: an address"):
        compare("pet-lm", Recipe(experiment), tmp_path / "other", scheduler="somewhere")


@pytest.mark.slow
def test_a_run_that_is_terminated_says_how_it_goes_on(corpus: Path, tmp_path: Path):
    keys = [*(key for key in KEYS if not key.startswith("steps=")), f"corpus={corpus}", "steps=100000"]
    command = [sys.executable, "-m", "spinodal", "train", "pet-lm", *keys, "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if list((tmp_path / "out").glob("checkpoints/checkpoint-9")):
            break
        time.sleep(0.1)
    process.terminate()
    said = " ".join(process.communicate(timeout=60)[1].split())
    assert process.returncode == 128 + signal.SIGTERM
    found = re.search(
        r"stopped: SIGTERM ended training at step (\d+) of 100000.*: --resume goes on from there", said
    )
    assert found, said
    newest = max(int(path.name.partition("-")[2]) for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert newest == int(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_bars_of_a_comparison_reach_their_ends(corpus: Path, tmp_path: Path, jobs: int):
    own = override(pet_lm.RECIPE.experiment, TINY | {"corpus": str(corpus)})
    last: dict[str, tuple[float, float]] = {}
    logged: dict[str, dict[int, Mapping[str, float]]] = {}

    def progress(run: str) -> Progress:
        return lambda *at: last.__setitem__(run, at)

    def log(run: str) -> Callable[[int, Mapping[str, float]], object]:
        return logged.setdefault(run, {}).__setitem__

    for _ in range(2):  # trained, and then found finished
        last.clear()
        logged.clear()
        compare("pet-lm", Recipe(own), tmp_path / "out", seeds=2, jobs=jobs, progress=progress, log=log)
        assert last == {f"equal-parameters/pet-lm-seed{seed}": (5, 5) for seed in (0, 1)}
        assert {run: sorted(rows)[-1] for run, rows in logged.items()} == dict.fromkeys(last, 5)
        assert all("held_out_loss" in rows[5] for rows in logged.values())
