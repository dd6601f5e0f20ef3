"""What may not move while code does: models, saved folders, commands and recipes give the numbers that they gave.

The data were written by tests/pins/write.py before the rooms were reorganised; they are read here through public faces
alone: the command line, `spinodal.models` and the Auto classes. That a run which was killed and resumed is, bit for
bit, the run that was not is tested beside its room: tests/training/test_resume.py for training and
`test_a_stopped_run_goes_on` of tests/cli/test_simulate.py for simulations.
"""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pinned_commands as commands
import pinned_models as pinned
import pytest
import torch
from marks import slow_but
from pinned_commands import DATA, FINISHED, FOLDERS, INPUTS, OPTIONS, PRINTED, PRINTS, RECIPES, differences
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging

AUTO = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
MODELS, MEASURED = pinned.pins(), json.loads(RECIPES.read_text())
# Where errors of adaptive steps are others: by 4f08893 on a processor without AVX-512, by 8ec825c on one whose AVX-512
# numpy uses and its BLAS does not
PROCESSORS = [
    json.loads((DATA / f"recipes_{name}.json").read_text()) for name in ("avx2", "avx512_without_blas")
]
CAUSAL_VALID = json.loads((DATA / "causal_valid.json").read_text())  # written by 1733984, as models.json
QUICK_FOLDERS = ("train-masked", "simulate-causal", "simulate-layers", "graph-equilibria", "meanfield-circle")
literal = pytest.mark.filterwarnings("ignore:the literal parameterisation has poles")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the inputs that the commands read."""
    place = tmp_path / "work"
    shutil.copytree(INPUTS, place)
    shutil.copytree(FINISHED / "train-masked", place / "trained")
    monkeypatch.chdir(place)
    return place


@pytest.fixture(autouse=True)
def undone():
    """What a command sets for its process (how warnings are shown, how loud transformers is) ends with the test."""
    shown, level = warnings.showwarning, logging.get_verbosity()
    yield
    warnings.showwarning = shown
    logging.set_verbosity(level)


def test_every_case_is_pinned():
    assert MODELS.keys() == pinned.CASES.keys()
    assert {path.name for path in FINISHED.iterdir()} == FOLDERS.keys()
    assert {path.name for path in (DATA / "saved").iterdir()} == pinned.SAVED.keys()


@literal
@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_state_outputs_and_gradient(name: str):
    """Names, order and shapes exactly; values and outputs to single precision.

    Causal: outputs at tokens that are there, as the same code wrote them. Padding has no position and does not enter
    a state any more, so that rows at padding, which nothing reads, hold other numbers than models.json.
    """
    known, found = dict(MODELS[name]), pinned.measured(*pinned.CASES[name])
    if name in CAUSAL_VALID:
        known["output"], found["output"] = CAUSAL_VALID[name], found.pop("valid")
    assert found.keys() == known.keys()
    if "refused" in known:
        return
    assert [row[:2] for row in found["state"]] == [row[:2] for row in known["state"]]
    for now, before in zip(found["state"], known["state"], strict=True):
        np.testing.assert_allclose(now[2], before[2], rtol=1e-6, atol=1e-6, err_msg=now[0])
    np.testing.assert_allclose(found["output"], known["output"], rtol=1e-5, atol=1e-6)
    for key in known.keys() - {"state", "output"}:
        assert found[key] == pytest.approx(known[key], rel=1e-4, abs=1e-6), key


@pytest.mark.parametrize("name", pinned.SAVED)
def test_a_saved_model_loads_whole_and_answers_as_it_did(name: str):
    """Weights bit for bit, logits to the rounding of another processor."""
    kind, _ = pinned.SAVED[name]
    folder = DATA / "saved" / name
    model, told = AUTO[kind].from_pretrained(folder, output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state = model.state_dict()
    assert all(
        torch.equal(state[key], value) for key, value in load_file(folder / "model.safetensors").items()
    )
    logits, known = pinned.saved_logits(kind, model.eval()).numpy(), np.load(folder / "logits.npy")
    if kind == "causal":  # rows at padding hold other numbers since padding has no position
        valid = pinned.inputs(kind)["attention_mask"].bool().numpy()
        logits, known = logits[valid], known[valid]
    np.testing.assert_allclose(logits, known, rtol=0, atol=2e-6)


def test_no_command_lost_an_option_or_changed_a_default():
    """Options may join; a default may move into a dataclass, and is None then."""
    known, found = json.loads(OPTIONS.read_text()), commands.options()
    assert known.keys() <= found.keys()
    for command, had in known.items():
        assert had.keys() <= found[command].keys(), command
        moved = {key for key, value in had.items() if found[command][key] not in (value, None)}
        assert not moved, command


@pytest.mark.parametrize("name", PRINTS)
def test_a_command_prints_its_numbers(name: str, workplace: Path):
    status, out = commands.run(PRINTS[name])
    assert status == 0, out
    assert differences(json.loads(PRINTED.read_text())[name], commands.said(out)) == []


def with_the_right_stack(pinned: dict, found: dict) -> tuple[dict, dict]:
    """What of a pinned observation still holds.

    The model has one block, and the pin took the block's two norms for its layers: the second does not receive what the
    first returned, so that its frames are no stream, and the numbers beyond the first frame were wrong. What enters the
    first norm is what enters the block.
    """
    assert pinned["stack"] == {"name": "model.blocks.0.norms", "layers": 2, "tied": False}
    assert found["stack"] == {"name": "model.blocks", "layers": 1, "tied": False}
    assert found["attention_reason"].endswith("have no attention")
    kept = (
        "model",
        "architecture",
        "view",
        "beta",
        "beta_source",
        "epsilon",
        "inputs",
        "tokens",
        "cosine_edges",
    )

    def first(record: dict) -> dict:
        layer = {k: v for k, v in record["layers"][0].items() if k not in ("theory", "effective_time")}
        return {key: record[key] for key in kept} | {"first": layer}

    return first(pinned), first(found)


def with_the_tokens_of_pairs(pinned: dict) -> dict:
    """A pinned run of pairs, with the count of its tokens that is right.

    The pin counted every place of a step, padding too: 4 pairs of 16 + 16 places. A pair of the training part has 21
    tokens in the mean (its characters and two ends), as tests/training/test_keys.py counts them.
    """
    places, read = 4 * (16 + 16), 4 * 21
    rows = [row | {"tokens": row["tokens"] // places * read} for row in pinned["metrics"]]
    assert all(row["tokens"] == row["step"] * places for row in pinned["metrics"])
    return pinned | {"metrics": rows}


@pytest.mark.parametrize("name", slow_but(FOLDERS, *QUICK_FOLDERS))
def test_a_command_writes_its_numbers(name: str, workplace: Path):
    """Settings, results and arrays, each under its name; single precision where torch computes."""
    status, out = commands.run(f"{FOLDERS[name].line} --out out")
    assert status == 0, out
    learned = name.startswith(("train", "observe"))
    for file in FOLDERS[name].files:
        kept, new = FINISHED / name / file, workplace / "out" / file
        if name == "observe-model":
            pinned, found = with_the_right_stack(commands.results(kept), commands.results(new))
            assert differences(pinned, found, single=True) == []
        elif file.endswith(".json"):
            pinned, found = commands.results(kept), commands.results(new)
            pinned = with_the_tokens_of_pairs(pinned) if name == "train-translation" else pinned
            assert differences(pinned, found, single=learned) == []
        elif file == "model":
            assert {path.name for path in kept.iterdir()} <= {path.name for path in new.iterdir()}
            close(kept / "model.safetensors", new / "model.safetensors", 1e-4)
        else:
            close(kept, new, 1e-4 if learned else 1e-6)


def close(kept: Path, new: Path, tolerance: float):
    known, found = commands.arrays(kept), commands.arrays(new)
    assert known.keys() <= found.keys()
    for key, value in known.items():
        np.testing.assert_allclose(found[key], value, rtol=tolerance, atol=tolerance / 100, err_msg=key)


TRAINED = [name for name in FOLDERS if name.startswith("train")]


@pytest.mark.parametrize("name", slow_but(TRAINED, "train-causal"))
def test_a_finished_training_is_returned_as_it_is(name: str, workplace: Path):
    """And refused where it is not asked for, or where another one is."""
    shutil.copytree(FINISHED / name, workplace / "out")
    line = f"{FOLDERS[name].line} --out out"
    before = {path: path.read_bytes() for path in (workplace / "out").rglob("*") if path.is_file()}
    assert commands.run(line)[0] == 2
    assert commands.run(line.replace("steps=30", "steps=31") + " --resume")[0] == 2
    status, out = commands.run(f"{line} --resume")
    assert status == 0, out
    assert all(path.read_bytes() == text for path, text in before.items())
    assert (workplace / "out" / "report.html").exists()


@pytest.mark.slow
def test_an_old_checkpoint_is_gone_on_from(workplace: Path):
    """To the end of the run that was not stopped."""
    shutil.copytree(DATA / "stopped", workplace / "out")
    known = commands.results(DATA / "stopped-whole" / "run.json")
    status, out = commands.run(f"{commands.STOPPED} --out out --resume")
    assert status == 0, out
    assert differences(known, commands.results(workplace / "out" / "run.json"), single=True) == []


def test_what_a_trained_model_says_of_its_masks(workplace: Path):
    status, out = commands.run("fill trained the<mask>phase --top 3")
    assert status == 0, out
    assert commands.tokens(out) == json.loads((DATA / "filled.json").read_text())


@pytest.mark.parametrize("name", ["train-masked", "train-causal"])
def test_a_trained_model_and_its_tokenizer_load_by_the_auto_classes(name: str):
    folder = FINISHED / name / "model"
    model = AUTO[name.removeprefix("train-")].from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("the phase", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits
    assert logits.shape == (*ids.shape, model.config.vocab_size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    "name", [name for name in FOLDERS if not name.startswith(("train", "phase", "observe"))]
)
def test_a_finished_run_is_not_written_over(name: str, workplace: Path):
    shutil.copytree(FINISHED / name, workplace / "out")
    before = (workplace / "out" / "run.json").read_bytes()
    status, out = commands.run(f"{FOLDERS[name].line} --out out")
    assert (status, (workplace / "out" / "run.json").read_bytes()) == (2, before), out


@pytest.mark.parametrize("values", slow_but(["--samples 6", "--samples 7"], "--samples 7"))
def test_an_old_map_goes_on_with_its_own_settings_alone(values: str, workplace: Path):
    shutil.copytree(FINISHED / "phase-diagram", workplace / "out")
    status, out = commands.run(f"{FOLDERS['phase-diagram'].line} {values} --out out")
    assert status == (0 if values.endswith("6") else 2), out


@pytest.mark.slow
def test_old_observations_stand_side_by_side(workplace: Path):
    for name in ("observe-arrays", "observe-model"):
        shutil.copytree(FINISHED / name, workplace / name)
    status, out = commands.run("observe --compare observe-arrays observe-model --out two")
    assert status == 0, out
    both = json.loads((workplace / "two" / "compare.json").read_text())
    for name, found in both["observations"].items():
        found = commands.steady(found | both["origins"][name])
        assert differences(commands.results(FINISHED / name / "observe.json"), found) == []


@pytest.mark.slow
def test_old_arrays_are_observed_again(workplace: Path):
    shutil.copy(FINISHED / "observe-arrays" / "trajectory.safetensors", workplace)
    status, out = commands.run("observe trajectory.safetensors --beta 1 --out out")
    assert status == 0, out
    layers = [
        commands.results(path / "observe.json")["layers"]
        for path in (FINISHED / "observe-arrays", Path("out"))
    ]
    assert differences(*layers, single=True) == []


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.slow
def test_a_recipe_measures_what_it_measured(name: str, workplace: Path):
    status, out = commands.run(f"draw {name} --quick --out out")
    assert status == 0, out
    found = commands.results(workplace / "out" / "run.json")["measured"]
    known = [MEASURED[name], *(pins[name] for pins in PROCESSORS if name in pins)]
    differ = [differences(one, found, single=name in commands.SINGLE) for one in known]
    assert [] in differ, differ
