"""Experiments as values: what the command line can change, and what it cannot."""

import pytest

from spinodal.errors import InputError
from spinodal.models import SpinodalConfig
from spinodal.training import Experiment, changed, overrides
from spinodal.training.experiment import kinds, model_config, parameter_count


def test_values_are_changed_by_name_and_type():
    values = overrides(["steps=7", "lr=1e-2", "mixer=attention", "fused=true", "width=32"])
    experiment = changed(Experiment(), values)
    assert (experiment.schedule.steps, experiment.schedule.lr) == (7, 0.01)
    assert experiment.model == {"mixer": "attention", "fused": True, "width": 32}
    assert experiment.flat()["fused"] is True


def test_every_value_has_one_name_and_a_default():
    assert kinds().keys() == Experiment().flat().keys()


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
        changed(Experiment(), overrides([argument]))


@pytest.mark.parametrize("channel", ["swiglu", "competition", "driving-force", "partition"])
def test_parameters_set_hidden(channel: str):
    goal = 500_000
    config = model_config(
        changed(Experiment(), {"channel": channel, "phases": 4, "parameters": goal}), vocabulary=300
    )
    step = parameter_count(config) - parameter_count(
        SpinodalConfig.from_dict(config.to_dict() | {"hidden": config.hidden - 1})
    )
    assert abs(parameter_count(config) - goal) <= step / 2
