"""What a run leaves behind, and what happens when something is wrong with it or around it."""

import json
import multiprocessing
import resource
import shutil
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from marks import slow_but
from safetensors.torch import load_file, save_file
from test_resume import LABEL, small, write_words
from transformers import AutoModelForMaskedLM, AutoTokenizer

from spinodal.errors import InputError
from spinodal.inference import fillings
from spinodal.runs import SaveError, decode, encode, newest_checkpoint, read_run
from spinodal.runs.checkpoints import MANIFEST
from spinodal.training import Experiment, TrainingResult, override, train
from spinodal.training.run import build_model, prepare_data


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("text") / "corpus.txt")


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(small(corpus), out, LABEL)
    return out


@pytest.mark.slow
def test_the_run_says_what_it_was(finished: Path, corpus: Path):
    run = json.loads((finished / "run.json").read_text())
    assert run["finished"]
    assert run["config"]["corpus"] == str(corpus)
    assert {"torch", "python", "transformers"} <= run["versions"].keys()
    rows = [row for row in run["metrics"] if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert {"F", "g1", "g2", "spread", "multiplier_F", "multiplier_g1", "seconds", "tokens"} <= rows[
        -1
    ].keys()
    assert rows[-1]["tokens"] == 30 * 8 * 16
    assert [row["step"] for row in run["metrics"] if "held_out_loss" in row] == [10, 20, 30]
    assert run["final"]["tokens_per_second"] == pytest.approx(30 * 8 * 16 / run["final"]["seconds"])


@pytest.mark.slow
def test_step_size_scales_the_step_of_training_by_its_formula(corpus: Path, tmp_path: Path):
    """The first step of AdamW is linear in its learning rate, alpha = lr, lr / |g| and lr / (1 + |g|), g clipped."""
    moved, gradient = {}, 0.0
    for step_size in ("constant", "inverse", "bounded"):
        values = {"step_size": step_size, "steps": 1, "evaluate_every": 1, "save_every": 1, "method": "none"}
        experiment = override(small(corpus), values | {"clip": 0.5})
        start = build_model(experiment, prepare_data(experiment)).state_dict()
        run = train(experiment, tmp_path / step_size, LABEL)
        row = run.metrics[0]
        assert row["learning_rate"] == experiment.schedule.lr  # the optimiser's own, as schedulers see it
        gradient = min(row["grad_norm"], experiment.schedule.clip)
        end = load_file(tmp_path / step_size / "model" / "model.safetensors")
        moved[step_size] = {name: end[name] - start[name] for name in end}
    for name, step in moved["constant"].items():
        for step_size, factor in (("inverse", 1 / gradient), ("bounded", 1 / (1 + gradient))):
            torch.testing.assert_close(moved[step_size][name], step * factor, rtol=1e-4, atol=1e-6)
    assert any(step.abs().max() > 1e-3 for step in moved["constant"].values())


@pytest.mark.slow
def test_a_run_with_a_step_size_is_not_gone_on_with_by_another(corpus: Path, tmp_path: Path):
    experiment = override(small(corpus), {"step_size": "bounded"})
    train(experiment, tmp_path / "run", LABEL)
    with pytest.raises(InputError, match=r"another experiment \(step_size=bounded there"):
        train(small(corpus), tmp_path / "run", LABEL, resume=True)


def test_experiment_and_result_go_to_json_and_come_back_equal(finished: Path, corpus: Path):
    coded, arrays = encode(small(corpus))
    assert decode(Experiment, json.loads(json.dumps(coded)), arrays) == small(corpus)
    assert read_run(finished).config_as(Experiment).flat() == small(corpus).flat()
    result = read_run(finished).result_as(TrainingResult)
    assert decode(TrainingResult, *encode(result)) == result


@pytest.mark.slow
def test_a_run_needs_no_label(corpus: Path, tmp_path: Path):
    result = train(override(small(corpus), {"steps": 2, "evaluate_every": 2}), str(tmp_path / "mine"))
    assert result.final["steps"] == 2
    assert read_run(tmp_path / "mine").record["name"] == "mine"


def test_the_model_loads_by_its_auto_class(finished: Path):
    model = AutoModelForMaskedLM.from_pretrained(finished / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    assert (
        sum(p.numel() for p in model.parameters())
        == json.loads((finished / "run.json").read_text())["parameters"]
    )
    assert model.config.mask_token_id == tokenizer.mask_token_id


def test_masks_are_filled_with_probabilities_in_order(finished: Path):
    (first, second) = fillings(finished, "ph<mask>se liq<mask>id", top=4)
    for candidates in (first, second):
        probabilities = [candidate.probability for candidate in candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-6
    assert first[0].text.startswith("ph" + first[0].token + "se")
    with pytest.raises(InputError, match="no <mask>"):
        fillings(finished, "phase")


def test_a_folder_in_use_is_refused(finished: Path, corpus: Path):
    with pytest.raises(InputError, match="`resume` goes on with it, `overwrite`"):
        train(small(corpus), finished, LABEL)
    before = read_run(finished)
    assert train(small(corpus), finished, LABEL, resume=True) == before.result_as(TrainingResult)
    assert read_run(finished) == before
    with pytest.raises(InputError, match=r"lr=0\.004 there, 0\.1 asked"):
        train(override(small(corpus), {"lr": 0.1}), finished, LABEL, resume=True)


def test_a_mistake_with_overwrite_loses_nothing(finished: Path, corpus: Path):
    before = sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*"))
    for values, said in (({"corpus": "nowhere.txt"}, "nowhere"), ({"heads": 5}, "heads=5")):
        with pytest.raises(InputError, match=said):
            train(override(small(corpus), values), finished, LABEL, overwrite=True)
    with pytest.raises(InputError, match="give one of them"):
        train(small(corpus), finished, LABEL, overwrite=True, resume=True)
    assert sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*")) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["model", "checkpoints"])
def test_folders_that_no_run_wrote_are_left_alone(corpus: Path, tmp_path: Path, name: str, overwrite: bool):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with pytest.raises(InputError, match=f"holds {name}, but no run"):
        train(small(corpus), tmp_path, LABEL, overwrite=overwrite)
    assert (tmp_path / name / "mine").exists()


def test_a_finished_run_of_another_size_is_no_run_of_this_experiment(finished: Path, corpus: Path):
    with pytest.raises(InputError, match=r"hidden=\d+ there, 99 asked"):
        train(override(small(corpus), {"hidden": 99}), finished, LABEL, resume=True)


@pytest.mark.slow
def test_the_last_step_is_reported_though_its_row_is_not_due(corpus: Path, tmp_path: Path):
    plan = override(small(corpus), {"steps": 5, "log_every": 3, "save_every": 3, "evaluate_every": 50})
    for _ in range(2):  # trained, and then found finished
        seen, rows = [], {}
        result = train(
            plan,
            tmp_path / "run",
            LABEL,
            resume=True,
            progress=lambda *at, seen=seen: seen.append(at),
            log=rows.__setitem__,
        )
        assert seen[-1] == (5, 5)
        assert result.final["held_out_loss"] == rows[5]["held_out_loss"]


@pytest.fixture
def halfway(corpus: Path, tmp_path: Path) -> Path:
    """A run that stopped by itself at step 15, two whole checkpoints behind it."""
    out = tmp_path / "run"

    class StopError(Exception):
        pass

    def stop(step: float, steps: float):
        if step == 15:
            raise StopError

    with pytest.raises(StopError):
        train(small(corpus), out, LABEL, progress=stop)
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["checkpoint-12", "checkpoint-6"]
    return out


def flat(corpus: Path) -> dict:
    return small(corpus).flat()


@pytest.mark.parametrize("harm", slow_but(["truncate", "remove", "flip", "unfinished"], "flip"))
def test_a_damaged_checkpoint_is_named_and_passed_over(halfway: Path, corpus: Path, harm: str):
    newest = halfway / "checkpoints" / "checkpoint-12"
    weights = newest / "model.safetensors"
    if harm == "truncate":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif harm == "flip":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif harm == "remove":
        (newest / "optimizer.pt").unlink()
    else:
        (newest / MANIFEST).unlink()
    with pytest.warns(UserWarning, match="checkpoint-12 is passed over"):
        found = newest_checkpoint(halfway, experiment=flat(corpus))
    assert found == halfway / "checkpoints" / "checkpoint-6"


@pytest.mark.slow
def test_without_a_whole_checkpoint_nothing_is_resumed(halfway: Path, corpus: Path):
    for folder in (halfway / "checkpoints").iterdir():
        (folder / MANIFEST).unlink()
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(InputError, match="no whole checkpoint"),
    ):
        train(small(corpus), halfway, LABEL, resume=True)


def test_a_checkpoint_of_another_experiment_is_refused(halfway: Path, corpus: Path):
    with pytest.raises(InputError, match=r"batch=8 there, 4 asked"):
        train(override(small(corpus), {"batch": 4}), halfway, LABEL, resume=True)


def train_until_the_disk_is_full(corpus: Path, out: Path, said: Connection):
    """After step 13 no file can grow beyond 4 kB, which is how a full disk looks to a writer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(step: float, steps: float):
        if step == 13:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    try:
        train(small(corpus), out, LABEL, progress=fill)
    except SaveError as error:
        said.send(str(error))


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_saved(corpus: Path, tmp_path: Path):
    out = tmp_path / "run"
    context = multiprocessing.get_context("fork")
    hear, say = context.Pipe(duplex=False)
    process = context.Process(target=train_until_the_disk_is_full, args=(corpus, out, say))
    process.start()
    assert hear.poll(60)
    said = hear.recv()
    process.join()
    assert "checkpoint-18 could not be written" in said
    assert "the one before it is kept" in said
    assert newest_checkpoint(out, experiment=flat(corpus)) == out / "checkpoints" / "checkpoint-12"
    assert not (out / "checkpoints" / "checkpoint-18").exists()


def test_a_loss_that_is_not_a_number_ends_the_run(corpus: Path, tmp_path: Path):
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step \d+; lower lr"):
        train(override(small(corpus), {"lr": 1e30, "clip": 1e30, "warmup": 0.0}), tmp_path / "run", LABEL)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"corpus": "shakespear"}, "shakespeare"),
        ({"tokenizer": "words"}, "tokenizer=words"),
        ({"length": 4096}, "4096"),
        ({"batch": 4096}, "less than one batch"),
        ({"mixer": "atention"}, "did you mean attention"),
        ({"phases": 15}, "degrees of freedom"),
        ({"reading": "page"}, "page"),
        ({"parameters": 10}, "parameters=10"),
        ({"steps": 0}, "steps=0"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"save_every": 7, "log_every": 5}, "save_every=7"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"initializer_range": 0.0}, "initializer_range=0.0"),
        ({"corpus": ""}, "neither a file"),
        ({"cross": "static"}, "task=masked does not read it, but translation"),
        ({"task": "recall", "vocabulary": 300}, "vocabulary=300: task=recall does not read it"),
        ({"method": "penalty", "channel": "swiglu"}, "reports none"),
    ],
)
def test_wrong_values_are_found_before_the_first_step(corpus: Path, tmp_path: Path, values: dict, said: str):
    out = tmp_path / "run"
    with pytest.raises(InputError, match=said):
        train(
            override(small(corpus), values), out, LABEL, progress=lambda *_: pytest.fail("a step was taken")
        )
    assert not out.exists()


def test_a_run_json_of_something_else_is_refused(corpus: Path, tmp_path: Path):
    (tmp_path / "run.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="not a run that spinodal wrote"):
        train(small(corpus), tmp_path, LABEL, resume=True)
    assert (tmp_path / "run.json").read_text() == '{"mine": 1}'


def test_loading_what_is_no_model_says_so(finished: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no model"):
        fillings(tmp_path, "<mask>")
    (tmp_path / "config.json").write_text((finished / "model" / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"nonsense" * 9)
    with pytest.raises(InputError, match="cannot be loaded"):
        fillings(tmp_path, "<mask>")


def test_weights_that_are_missing_are_not_made_up(finished: Path, tmp_path: Path):
    shutil.copytree(finished / "model", tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights: model\.norm\.weight"):
        fillings(tmp_path, "<mask>")


@pytest.mark.slow
def test_a_choice_of_blocks_that_nothing_teaches_is_told(corpus: Path, tmp_path: Path):
    blocks = {"mixer": "graph", "block_size": 4, "top_blocks": 1, "method": "none", "steps": 1}
    with pytest.warns(UserWarning, match="constrain=selection"):
        train(override(small(corpus), blocks), tmp_path / "untaught", LABEL)
    taught = blocks | {"method": "penalty", "constrain": "selection", "tolerance": 0.0}
    run = train(override(small(corpus), taught), tmp_path / "taught", LABEL)
    assert "selection" in run.metrics[0]
