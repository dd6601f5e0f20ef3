"""Experiments as values: what the command line can change, and what it cannot."""

import dataclasses
import inspect

import pytest
from marks import slow_but

from spinodal.errors import InputError
from spinodal.models import SpinodalConfig
from spinodal.training import DataConfig, Experiment, Schedule, override, parse_overrides
from spinodal.training.experiment import UNWRITTEN, model_config, parameter_count, value_types


def test_values_are_changed_by_name_and_type():
    values = parse_overrides(["steps=7", "lr=1e-2", "mixer=attention", "fused=true", "width=32"])
    experiment = override(Experiment(), values)
    assert (experiment.schedule.steps, experiment.schedule.lr) == (7, 0.01)
    assert experiment.model == {"mixer": "attention", "fused": True, "width": 32}
    assert experiment.flat()["fused"] is True


def test_every_value_has_one_name_and_a_default():
    assert value_types().keys() == Experiment().flat().keys() | UNWRITTEN.keys()


@pytest.mark.parametrize("part", [Experiment, Schedule, DataConfig])
def test_every_field_has_its_comment(part: type):
    lines = inspect.getsource(part).splitlines()
    for field in dataclasses.fields(part):
        [line] = [line for line in lines if line.startswith(f"    {field.name}: ")]
        assert "  # " in line


def test_a_value_at_its_default_that_older_records_lack_is_not_written_and_read_back():
    chosen = override(Experiment(), {"step_size": "bounded"})
    assert "step_size" not in Experiment().flat()
    assert chosen.flat() == Experiment().flat() | {"step_size": "bounded"}
    for experiment in (chosen, Experiment()):
        assert Experiment.from_flat(experiment.flat()).schedule == experiment.schedule


def test_an_unknown_step_size_is_named():
    with pytest.raises(InputError, match="step_size=adaptive: one of constant, inverse, bounded"):
        override(Experiment(), {"step_size": "adaptive"})


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("stepz=3", "unknown key 'stepz': did you mean steps"),
        ("steps=3.5", "steps takes a whole number"),
        ("lr=fast", "lr takes a number"),
        ("lr=nan", "lr must be finite"),
        ("fused=maybe", "fused takes true or false"),
        ("steps", "not of the form key=value"),
    ],
)
def test_wrong_arguments_are_named(argument: str, said: str):
    with pytest.raises(InputError, match=said):
        override(Experiment(), parse_overrides([argument]))


@pytest.mark.parametrize(
    "task", slow_but(["masked", "causal", "translation", "recall"], "masked", "translation")
)
@pytest.mark.parametrize(
    "channel", slow_but(["swiglu", "competition", "driving-force", "partition"], "swiglu", "partition")
)
def test_parameters_set_hidden(task: str, channel: str):
    values = {"task": task, "channel": channel, "parameters": 900_000}
    values |= {"phases": 4} if channel in ("competition", "partition") else {}
    experiment = override(Experiment(), values)
    config = model_config(experiment, vocabulary=300)
    smaller = SpinodalConfig.from_dict(config.to_dict() | {"hidden": config.hidden - 1})
    step = parameter_count(experiment, config) - parameter_count(experiment, smaller)
    assert abs(parameter_count(experiment, config) - 900_000) <= step / 2


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match="task=clm: one of masked, causal, translation, recall"):
        override(Experiment(), {"task": "clm"})


@pytest.mark.parametrize(("decay", "until"), [("constant", 100), ("warm-stable-decay", 80), ("cosine", 5)])
def test_the_rate_is_that_of_a_longer_schedule_until_it_falls(decay: str, until: int):
    assert Schedule(steps=100, warmup=0.05, decay=decay).stable_until == until
