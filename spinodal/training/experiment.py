r"""An experiment: everything a run depends on, in one frozen value that a recipe holds and JSON keeps.

The command line changes single values by their names (`steps=400 phases=8`); names are unique
across the four parts, so none needs a prefix. An option of a mixer goes to every chosen mixer that reads it;
`channel.phases=8` gives it to one alone. `parameters` alone couples values: `hidden`, the inner size of
the channel mixer, is solved for, so that models of different physics have equal size.
"""

import dataclasses
import difflib
import math
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from spinodal.errors import InputError, require_types
from spinodal.mixers import registry, size
from spinodal.models import SpinodalConfig
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.models.parts import PARTS, is_option, read_by, read_parts, reported_names
from spinodal.training.constraints import Constraint, Method, missing_residuals
from spinodal.training.foreign import FOREIGN, find_network, has_inner_size
from spinodal.training.schedule import Schedule
from spinodal.training.tasks import DataConfig, task_named

NEAR = 0.05  # how far the parameters of a network without an inner size may be from those asked
# Of the configuration of a model; besides these, every option of any mixer is a key
MODEL_KEYS = (
    "width", "depth", "heads", "mixer", "channel", "fused", "kernel", "encoder_mixer", "cross", "dropout",
    "initializer_range",
)  # fmt: skip

# Written where they differ from this alone: records of runs that had no such value are those of runs at this one
UNWRITTEN: dict[str, Any] = {"text_field": DataConfig.text_field, "optimizer": "adamw-one-rate"} | {
    name: getattr(Schedule, name)
    for name in (
        "step_size", "nonfinite", "accumulate", "decay", "matrix_lr", "minutes", "precision",
        "activation_checkpointing", "workers", "save_total", "sharded", "judged",
    )
} | {"network": ""} | {
    name: getattr(DataConfig, name)
    for name in ("held_out", "target_tokenizer", "bucket", "scored", "beams", "validation", "test", "baselines")
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """Everything that a training run depends on: data, model, schedule and constraint.

    `model` holds names of mixers and their options by key, as `override` takes them. InputError for an option that
    none of the chosen mixers reads, and for a constraint of which none of them reports a name.
    """

    data: DataConfig = field(default_factory=DataConfig)  # text, tokenizer and task
    model: Mapping[str, Any] = field(default_factory=dict)  # values of SpinodalConfig among MODEL_KEYS
    schedule: Schedule = field(default_factory=Schedule)  # steps, learning rate, how often to save
    constraint: Constraint = field(default_factory=Constraint)  # what the loss adds for residuals
    parameters: int = 0  # above 0: trainable parameters, for which `hidden` is solved
    network: str = ""  # package.module:Name of a network of others in place of ours (training/foreign.py)

    def __post_init__(self):
        require_types(self, data=DataConfig, model=Mapping, schedule=Schedule, constraint=Constraint)
        require_types(self, parameters=Integral, network=str)
        if self.network:
            self.check_network()
        names, parts = self.constraint.names, self.parts().items()
        if self.data.task != "translation":
            parts = [(part, held) for part, held in parts if "translation" not in OF_TASKS.get(part, ())]
        reported = dict.fromkeys(name for part, held in parts for name in reported_names(part, held))
        if self.constraint.method != Method.NONE and not reported.keys() & set(names):
            raise InputError(missing_residuals(names, reported))

    def check_network(self) -> None:
        """InputError for a `network` that cannot be imported, or that the task or the constraint excludes."""
        find_network(self.network)
        if self.kind not in FOREIGN.values():
            raise InputError(
                f"network={self.network}: task={self.data.task} takes our models alone; masked, causal and recall "
                f"take others"
            )
        if self.constraint.method != Method.NONE:
            raise InputError(
                f"network={self.network}: it reports no residuals, so that method=none alone fits"
            )

    @property
    def kind(self) -> type[SpinodalPreTrainedModel]:
        """The class of the model."""
        own = task_named(self.data.task).model
        return FOREIGN.get(own, own) if self.network else own

    def parts(self) -> dict[str, dict[str, Any]]:
        """The mixers of the model, each with all its options."""
        return read_parts(*split_model(self.model))

    def flat(self) -> dict[str, Any]:
        """Every value by its name, as in JSON and on the command line; those as in UNWRITTEN are left out."""
        parts = (dataclasses.asdict(part) for part in (self.data, self.schedule, self.constraint))
        model = {key: self.model.get(key, getattr(SpinodalConfig, key)) for key in MODEL_KEYS}
        model |= write_options(self.parts())
        values = {name: value for part in (*parts, model) for name, value in part.items()}
        values |= {"parameters": self.parameters, "network": self.network}
        return {name: v for name, v in values.items() if name not in UNWRITTEN or v != UNWRITTEN[name]}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Experiment":
        """The experiment of these values by name, as `flat` gives them and a run's record holds them."""
        hints, values = typing.get_type_hints(cls), UNWRITTEN | dict(values)
        parts = {
            name: hints[name](
                **{f.name: values[f.name] for f in dataclasses.fields(hints[name]) if f.name in values}
            )
            for name in ("data", "schedule", "constraint")
        }
        model = {key: value for key, value in values.items() if key in MODEL_KEYS or is_option(key)}
        own = {"parameters": values.get("parameters", 0), "network": values["network"]}
        return cls(model=read_options(model), **own, **parts)


registry.reserve(
    {f.name for part in (DataConfig, Schedule, Constraint, Experiment) for f in dataclasses.fields(part)}
)

# What some tasks alone read; every other key is read by all
OF_TASKS = {
    "masked": ("masked",),
    "pairs": ("recall",),
    **dict.fromkeys(
        (
            "source_length",
            "encoder_mixer",
            "cross",
            "target_tokenizer",
            "bucket",
            "scored",
            "beams",
            "baselines",
        ),
        ("translation",),
    ),
    "text_field": ("masked", "causal"),
    **dict.fromkeys(
        ("corpus", "tokenizer", "vocabulary", "validation", "test"), ("masked", "causal", "translation")
    ),
}


def split_model(model: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mixers that these values choose for each part of a model, and the options among them."""
    chosen = {part: model.get(part, getattr(SpinodalConfig, part)) for part in PARTS}
    return chosen, {key: value for key, value in model.items() if is_option(key)}


def read_options(model: Mapping[str, Any], new: Collection[str] = ()) -> dict[str, Any]:
    """These values without the options that none of the chosen mixers reads; InputError for one of those in `new`."""
    chosen, options = split_model(model)
    options = {key: v for key, v in options.items() if key in new or key.rpartition(".")[2] not in new}
    read = {
        name
        for part, held in read_parts(chosen, options, drop=True).items()
        for option in read_by(part, held)
        for name in (option, f"{part}.{option}")
    }
    options = {key: value for key, value in options.items() if key in new or key in read}
    read_parts(chosen, options)
    return {key: value for key, value in model.items() if not is_option(key)} | options


def write_options(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every option of any mixer by its flat key, at its default where no part reads it; by `part.option` as well
    where two parts hold it at different values."""
    written = {name: option.default for name, option in registry.options().items()}
    for name in list(written):
        values = {part: own[name] for part, own in parts.items() if name in own}
        written[name] = next(iter(values.values()), written[name])
        if len(set(values.values())) > 1:
            written |= {f"{part}.{name}": value for part, value in values.items()}
    return written


def value_types(keys: Iterable[str] = ()) -> dict[str, type]:
    """The type of every value that can be changed; of `keys`, also of those with a dot, `channel.phases`."""
    hints = {key: type(getattr(SpinodalConfig, key)) for key in MODEL_KEYS}
    hints |= {name: option.type for name, option in registry.options().items()}
    for part in (DataConfig, Schedule, Constraint):
        hints |= typing.get_type_hints(part)
    hints |= {"parameters": int, "network": str}
    dotted = {key: key.partition(".")[2] for key in keys if key.partition(".")[0] in PARTS}
    return hints | {key: hints[name] for key, name in dotted.items() if name in registry.options()}


def parse_value(key: str, text: str, kind: type) -> object:
    """A value of the given type from its text; InputError names the key, the text and the type."""
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        value = kind(text)
    except (ValueError, KeyError):
        name = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise InputError(f"{key}={text}: {key} takes {name}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{key}={text}: {key} must be finite")
    return value


def override(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment with some values replaced; InputError for a name that is unknown or not of its task.

    A `matrix_lr` of its own is of its optimiser: with another one it is the default again, unless it is given.
    """
    other = values.get("optimizer", experiment.schedule.optimizer) != experiment.schedule.optimizer
    if other and "matrix_lr" not in values:
        values = {**values, "matrix_lr": Schedule.matrix_lr}
    known, task = value_types(values), values.get("task", experiment.data.task)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"keys: {', '.join(sorted(known))}"
            raise InputError(f"unknown key {key!r}: {hint}")
        if not isinstance(value, known[key]) and not (known[key] is float and isinstance(value, int)):
            raise InputError(f"{key}={value!r}: {key} takes {known[key].__name__}")
        tasks = OF_TASKS.get(key.partition(".")[0], (task,))
        if task not in tasks:
            raise InputError(f"{key}={value}: task={task} does not read it, but {' and '.join(tasks)}")

    new = {key: value for key, value in values.items() if key in MODEL_KEYS or is_option(key)}

    def part(old: Any) -> Any:
        names = {f.name for f in dataclasses.fields(old)}
        return dataclasses.replace(old, **{k: v for k, v in values.items() if k in names})

    return Experiment(
        part(experiment.data),
        read_options(dict(experiment.model) | new, new),
        part(experiment.schedule),
        part(experiment.constraint),
        values.get("parameters", experiment.parameters),
        values.get("network", experiment.network),
    )


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """{"steps": 400} from ["steps=400"]; InputError for a key given twice."""
    arguments, values, given = list(arguments), {}, {}
    known = value_types(argument.partition("=")[0] for argument in arguments)
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise InputError(f"{argument!r} is not of the form key=value")
        if key in values:
            raise InputError(f"{key} is given twice, {key}={given[key]} and {argument}: give it once")
        given[key] = text
        values[key] = parse_value(key, text, known[key]) if key in known else text
    return values


def parameter_count(experiment: Experiment, config: SpinodalConfig) -> int:
    """Trainable parameters of the experiment's model in this shape, tied weights once."""
    return size.parameter_count(lambda: experiment.kind(config))


def model_config(experiment: Experiment, *, vocabulary: int) -> SpinodalConfig:
    """The configuration of the experiment's model; `hidden` solved for where `parameters` is set.

    The count grows with `hidden`, linearly but for the dense network; InputError where even
    hidden = 1 is too large.
    """
    data = experiment.data
    fixed = {
        "vocab_size": vocabulary, "length": data.length, "source_length": data.source_length,
        "is_encoder_decoder": data.task == "translation",
    }  # fmt: skip

    def shape(values: dict[str, Any]) -> SpinodalConfig:
        config = SpinodalConfig(**{**experiment.model, **fixed, **values})
        if experiment.network:
            config.network = experiment.network
        return config

    def size(hidden: int) -> int:
        return parameter_count(experiment, shape({"channel.hidden": hidden}))

    goal = experiment.parameters
    if not goal:
        return shape({})
    if experiment.network and not has_inner_size(experiment.network):
        found = parameter_count(experiment, shape({}))
        if abs(found - goal) > NEAR * goal:
            raise InputError(
                f"network={experiment.network} has {found} parameters, not the {goal} that it is compared at, to "
                f"{NEAR:.0%}: give it an argument `hidden` that sets its size, or another size"
            )
        return shape({})
    base, slope = size(1), size(2) - size(1)
    if base > goal or slope <= 0:
        raise InputError(
            f"parameters={goal}: this model has {base} at hidden=1; raise parameters, or lower width, depth "
            f"or phases"
        )
    hidden = 1 + round((goal - base) / slope)
    return shape({"channel.hidden": hidden})
