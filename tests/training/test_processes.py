"""Several processes train the model that one process trains of the same samples, and only one of them writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_resume import small, write_words

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "one_of_processes.py"
ROOT = SCRIPT.parent.parent.parent


def launch(
    out: Path,
    values: dict,
    *,
    processes: int = 1,
    kind: str = "float32",
    fails: bool = False,
    **options: object,
) -> str:
    """What is said as an experiment is trained in processes, which end well but for a kill at the step `stop`."""
    done = run(str(SCRIPT), json.dumps(values), str(out), kind, json.dumps(options), processes=processes)
    assert (done.returncode != 0) == (fails or "stop" in options), done.stderr[-3000:]
    return done.stderr


def run(*command: str, processes: int) -> subprocess.CompletedProcess:
    """A command of Python in so many processes, each on one thread."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *(start if processes > 1 else []), *command],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def rows(out: Path) -> list[dict]:
    return json.loads((out / "run.json").read_text())["metrics"]


@pytest.fixture
def values(tmp_path: Path) -> dict:
    """Twenty steps of sixteen samples, over the end of an epoch."""
    corpus = write_words(tmp_path / "corpus.txt", 600)
    given = small(corpus).flat() | {"method": "none", "pathway": "none", "batch": 16, "steps": 20}
    kept = (
        "corpus",
        "tokenizer",
        "length",
        "width",
        "depth",
        "heads",
        "channel",
        "pathway",
        "phases",
        "hidden",
    )
    return {name: given[name] for name in (*kept, "batch", "steps", "method", "log_every", "save_every")} | {
        "evaluate_every": 10
    }


@pytest.mark.parametrize(("kind", "weights", "loss"), [("float64", 1e-10, 1e-10), ("float32", None, 1e-5)])
def test_two_processes_train_what_one_does(
    values: dict, tmp_path: Path, kind: str, weights: float | None, loss: float
):
    one, two = tmp_path / "one", tmp_path / "two"
    launch(one, values, kind=kind)
    launch(two, values | {"batch": 8}, processes=2, kind=kind)
    ours, theirs = rows(two), rows(one)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for name in {"loss", "held_out_loss", "tokens"} & other.keys():
            assert mine[name] == pytest.approx(other[name], rel=loss), (name, other["step"])
    if weights is not None:
        mine, other = (load_file(out / "model" / "model.safetensors") for out in (two, one))
        for name, value in other.items():
            torch.testing.assert_close(mine[name], value, rtol=0, atol=weights)
    results = [Path(f"{two}-result-{rank}.json").read_text() for rank in range(2)]
    assert results[0] == results[1]
    assert json.loads((two / "run.json").read_text())["config"]["processes"] == 2


def test_a_run_that_lost_a_process_goes_on_in_as_many_as_give_its_samples(values: dict, tmp_path: Path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    launch(whole, values, kind="float64")
    half = values | {"batch": 8}
    launch(out, half, processes=2, kind="float64", stop=12)
    launch(out, half, kind="float64", resume=True)
    told = (tmp_path / "run-refused-0.txt").read_text()
    assert "processes=2 there, 1 asked" in told
    assert "of 16 samples" in told
    launch(out, values, kind="float64", resume=True)
    for mine, other in zip(rows(out), rows(whole), strict=True):
        for name in {"loss", "held_out_loss"} & other.keys():
            assert mine[name] == pytest.approx(other[name], rel=1e-10)


def test_the_command_line_of_two_processes_speaks_once(values: dict, tmp_path: Path):
    keys = [f"{name}={value}" for name, value in (values | {"batch": 8, "steps": 4}).items()]
    command = ("-m", "spinodal", "train", "pet-mlm", *keys, "--out", str(tmp_path / "run"))
    done = run(*command, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("report:") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
    again = run(*command, processes=2)
    assert again.stderr.count("holds a run already") == 1


def test_accelerate_without_an_accelerator_is_refused(tmp_path: Path):
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    done = run(*launcher, "-m", "spinodal", "train", "pet-mlm", "--out", str(tmp_path / "run"), processes=1)
    assert done.returncode != 0
    assert "torchrun --nproc-per-node" in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


def test_sharded_processes_train_what_one_does_and_go_on_in_another_number(values: dict, tmp_path: Path):
    one, out = tmp_path / "one", tmp_path / "run"
    launch(one, values, kind="float64")
    sharded = values | {"sharded": True}
    launch(out, sharded | {"batch": 8}, processes=2, kind="float64", stop=8)
    parts = [path.stat().st_size for path in (out / "checkpoints").glob("*-6/shard-*.safetensors")]
    assert len(parts) == 2
    assert max(parts) < 0.6 * sum(parts)  # each process holds and writes its half
    launch(out, sharded, kind="float64", resume=True, stop=16)
    launch(out, sharded | {"batch": 8}, processes=2, kind="float64", resume=True)
    for mine, other in zip(rows(out), rows(one), strict=True):
        for name in {"loss", "held_out_loss", "tokens"} & other.keys():
            assert mine[name] == pytest.approx(other[name], rel=1e-10), (name, other["step"])
    weights = load_file(one / "model" / "model.safetensors")
    equal_weights(out, weights)
    (out / "model" / "model.safetensors").unlink()
    launch(out, sharded | {"batch": 8}, processes=2, kind="float64", resume=True)  # from the shards
    equal_weights(out, weights)


def equal_weights(out: Path, weights: dict[str, torch.Tensor]) -> None:
    mine = load_file(out / "model" / "model.safetensors")
    assert mine.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(mine[name], value, rtol=0, atol=1e-10)


def test_other_keys_do_the_same_with_shards(values: dict, tmp_path: Path):
    keys = {
        "batch": 4, "accumulate": 2, "activation_checkpointing": True, "step_size": "bounded", "method": "penalty",
        "tolerance": 0.0, "rate": 1.0,
    }  # fmt: skip
    for name in ("copies", "shards"):
        launch(tmp_path / name, values | keys | {"sharded": name == "shards"}, processes=2, kind="float64")
    for mine, other in zip(rows(tmp_path / "shards"), rows(tmp_path / "copies"), strict=True):
        for name in {"loss", "held_out_loss", "grad_norm"} & other.keys():
            assert mine[name] == pytest.approx(other[name], rel=1e-10), (name, other["step"])


def test_a_gradient_that_is_not_finite_ends_sharded_processes_with_its_name(values: dict, tmp_path: Path):
    told = launch(
        tmp_path / "run", values | {"batch": 8, "sharded": True, "lr": 1e30}, processes=2, fails=True
    )
    assert "FloatingPointError" in told
    assert "the first gradient that is not finite is that of" in told


@pytest.mark.parametrize("sharded", [False, True], ids=["copies", "shards"])
def test_muon_of_two_processes_is_that_of_one_and_goes_on_bit_for_bit(
    values: dict, tmp_path: Path, sharded: bool
):
    """To the rounding of its iteration in bfloat16; two processes, one of which dies, end where two end that do not."""
    one, whole, out = tmp_path / "one", tmp_path / "whole", tmp_path / "run"
    values |= {"optimizer": "muon"}
    launch(one, values, kind="float64")
    two = values | {"batch": 8, "sharded": sharded}
    launch(whole, two, processes=2, kind="float64")
    launch(out, two, processes=2, kind="float64", stop=12)
    launch(out, two, processes=2, kind="float64", resume=True)
    for mine, other, alone in zip(rows(out), rows(whole), rows(one), strict=True):
        for name in {"loss", "held_out_loss"} & other.keys():
            assert mine[name] == other[name], (name, other["step"])
            assert mine[name] == pytest.approx(alone[name], rel=1e-2), (name, other["step"])
    mine, other = (load_file(path / "model" / "model.safetensors") for path in (out, whole))
    assert all(torch.equal(mine[name], other[name]) for name in other)
