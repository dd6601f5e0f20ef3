"""A mixer with an option and a residual is one file and one entry, and is found everywhere it should be."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_continuation as continuation
import test_contract as contract
import torch
from test_contract import Case
from toy_mixer import SPRING, SpringConfig
from typer.testing import CliRunner

from spinodal import layers
from spinodal.cli import app
from spinodal.errors import InputError
from spinodal.layers.base import require_tokens
from spinodal.mixers.entry import Entry, Kind, Shape
from spinodal.mixers.entry import option as field
from spinodal.mixers.registry import ENTRIES, constrainable, entries, register, registered
from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.training import DataConfig, Experiment, Schedule, override, parse_overrides, train
from spinodal.training.constraints import Constraint

LAYERS = {"competition": "PhaseCompetition", "literal": "LiteralPartition", "dense": "DensePartition"}


@pytest.fixture
def spring() -> Iterator[Entry]:
    with registered(SPRING) as entry:
        yield entry
    assert "spring" not in entries(Kind.TOKEN)


@pytest.mark.parametrize("case", [Case("spring"), Case("spring", kernel=4, causal=True)], ids=str)
def test_it_is_in_the_contract(spring: Entry, case: Case):
    assert "spring" in entries(Kind.TOKEN)
    contract.test_shape_type_and_silence_on_residuals(case)
    contract.test_what_is_causal_does_not_leak_and_the_rest_sees_the_future(case)
    contract.test_nothing_depends_on_what_stands_on_padding(case)
    contract.test_padding_is_as_good_as_absence(case)
    contract.test_every_parameter_learns_and_reactions_from_their_residuals_alone(case)


def test_it_goes_on_from_its_state(spring: Entry):
    case = Case("spring", causal=True)
    continuation.test_any_split_is_the_whole(case, torch.float64)
    continuation.test_a_state_can_be_continued_twice_and_reordered(case)


def test_it_is_configured_saved_and_loaded(spring: Entry, tmp_path: Path):
    values = dict[str, Any](vocab_size=20, width=8, depth=1, heads=2, mixer="spring", stiffness=2)
    config = SpinodalConfig(**values)
    assert config.mixer == {"name": "spring", "stiffness": 2}
    model = SpinodalForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    loaded = SpinodalForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(6)[None]
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert loaded.config.mixer == config.mixer
    assert "tension" in model(ids, output_residuals=True).residuals


def test_its_keys_are_those_of_the_command_line(spring: Entry):
    for key in ("stiffness", "mixer.stiffness"):
        experiment = override(Experiment(), parse_overrides(["mixer=spring", f"{key}=0.5"]))
        assert experiment.parts()["mixer"] == {"name": "spring", "stiffness": 0.5}
        assert experiment.flat()["stiffness"] == 0.5
        assert Experiment.from_flat(experiment.flat()).flat() == experiment.flat()
    with pytest.raises(
        InputError, match=r"stiffness=0.5: no part.*mixer=retention reads no option.*mixer=spring"
    ):
        override(Experiment(), parse_overrides(["stiffness=0.5"]))
    with pytest.raises(InputError, match="stiffness takes a number"):
        override(Experiment(), parse_overrides(["mixer=spring", "stiffness=hard"]))
    with pytest.raises(InputError, match=r"stiffness=-1\.0: it must be above 0"):
        override(Experiment(), parse_overrides(["mixer=spring", "stiffness=-1"]))


def test_its_residual_is_constrained_and_recorded(spring: Entry, tmp_path: Path):
    with pytest.raises(InputError, match="tensoin is none of"):
        Constraint(constrain="tensoin")
    (tmp_path / "corpus.txt").write_text("to be or not to be that is the question\n" * 40)
    experiment = Experiment(
        DataConfig(str(tmp_path / "corpus.txt"), task="causal", tokenizer="characters", length=16),
        {"mixer": "spring", "width": 8, "depth": 1, "heads": 2, "channel": "swiglu", "hidden": 4},
        Schedule(steps=2, batch=4, log_every=1, evaluate_every=2, save_every=2),
        Constraint("penalty", constrain="tension", tolerance=0.0),
    )
    result = train(experiment, tmp_path / "run")
    assert all(row["tension"] > 0 for row in result.metrics if "tension" in row)
    assert any("tension" in row for row in result.metrics)


def test_the_list_shows_it_with_its_option_and_its_residual(spring: Entry):
    shown = CliRunner().invoke(app, ["list", "mixers"], env={"COLUMNS": "200"}).output
    for text in (
        "mixer=spring",
        "springs to the mean",
        "stiffness=1.5",
        "tension",
        "mixer=graph",
        "channel=literal",
    ):
        assert text in shown


def test_it_is_a_layer(spring: Entry):
    layer = layers.mixer_layer("mixer", "spring", Shape(6, causal=True), {"stiffness": 3.0})
    y, reported = layer(torch.randn(2, 5, 6), residuals=True)
    assert y.shape == (2, 5, 6)
    assert reported.keys() == {"tension"}


def test_names_that_are_taken_are_refused(spring: Entry):
    with pytest.raises(InputError, match="mixer=spring is registered already"):
        register(SPRING)


@pytest.mark.parametrize(
    "name",
    ["name", "width", "hidden_size", "num_labels", "auto_map", "to_dict", "steps", "corpus", "network"],
)
def test_an_option_has_no_name_of_models_or_of_training(name: str):
    spaced = dataclasses.make_dataclass(
        "Spaced", [(name, int, field(1, "a size"))], bases=(SpringConfig,), frozen=True
    )
    with pytest.raises(InputError, match=f"mixer=spaced: its option {name} is the name of something"):
        register(dataclasses.replace(SPRING, name="spaced", config=spaced))
    SpinodalConfig()


SIZES: dict[str, Any] = {"length": 5, "source_length": 7}


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ENTRIES.values() if hasattr(layers, LAYERS.get(entry.name, entry.mixer.__name__))],
    ids=lambda entry: f"{entry.kind}-{entry.name}",
)
@pytest.mark.filterwarnings("ignore:the literal parameterisation")
def test_every_mixer_with_a_layer_of_its_own_is_a_layer_that_is_what_its_entry_builds(entry: Entry):
    name = LAYERS.get(entry.name, entry.mixer.__name__)
    kind = getattr(layers, name)
    told = {key: value for key, value in SIZES.items() if key in kind.__init__.__annotations__}
    heads = {"heads": 2} if "heads" in kind.__init__.__annotations__ else {}
    phases = {"phases": 3} if "phases" in entry.options else {}
    torch.manual_seed(0)
    layer = kind(12, **told, **heads, **phases)
    torch.manual_seed(0)
    mixer = entry.configure(phases).build(Shape(12, heads=2, length=5, source_length=7))
    assert entry.options.keys() <= kind.__init__.__annotations__.keys()
    assert [key for key, _ in layer.mixer.named_parameters()] == [key for key, _ in mixer.named_parameters()]
    x = torch.randn(2, 5, 12)
    if entry.kind is Kind.CROSS:
        assert layer(x, torch.randn(2, 7, 12)).shape == x.shape
        return
    assert torch.equal(layer(x), mixer(x).tokens)
    y, reported = layer(x, residuals=True)
    assert reported.keys() == mixer(x, residuals=True).reported.keys() <= {*entry.residuals, *entry.measures}
    assert torch.equal(y, layer(x))


def test_a_layer_refuses_what_are_no_tokens_in_words():
    x = torch.ones(2, 3, 8)
    wrong: list[tuple[Any, Any, str]] = [
        (x[:, :0], None, r"x has the shape \(2, 0, 8\)"),
        (x[0], None, r"x has the shape \(3, 8\)"),
        (x, torch.ones(2, 3, dtype=torch.long), "the mask of x is torch.int64"),
        (x, torch.ones(2, 4, dtype=torch.bool), r"it must be torch.bool \(2, 3\)"),
    ]
    for tokens, valid, message in wrong:
        with pytest.raises(InputError, match=message):
            require_tokens("x", tokens, valid)
    with pytest.raises(InputError, match="kind='token' is none of mixer, channel, cross"):
        layers.mixer_layer("token", "graph", Shape(16))


def test_every_option_has_a_meaning_and_a_name_that_nothing_else_has():
    taken = {*SpinodalConfig.__annotations__, *Shape.__dataclass_fields__, "name"}
    for part in (DataConfig, Schedule, Constraint):
        taken |= part.__dataclass_fields__.keys()
    for entry in ENTRIES.values():
        assert entry.summary
        for option in entry.options.values():
            assert option.meaning, option
            assert option.name not in taken
            assert option.type in (int, float, str, bool)
        assert set(entry.detached) <= set(entry.measures)
        assert not set(entry.residuals) & set(entry.measures)


def test_a_constraint_names_what_carries_a_gradient():
    assert {"F", "g1", "g2", "h", "flow", "energy", "density", "l1", "selection"} == set(constrainable())
