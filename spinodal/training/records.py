"""Training runs as values, finished or not: origin, configuration, metrics and scores, read from a record."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spinodal.results import Result
from spinodal.runs import Run, decode

Number = int | float


@dataclass(frozen=True)
class Part:
    """Code, date and machine of the steps after `step`, up to the next part; a resumed run has several."""

    step: int
    commit: str
    date: str
    versions: dict[str, str]
    machine: str
    threads: int
    processes: int


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters of one kind that share a rate: how many numbers they are, and how they are trained."""

    kind: str  # tables, vectors, matrices or outputs; all, where the optimiser has one rate
    inputs: int  # features that each matrix reads; 0 of tables and vectors
    parameters: int
    lr: float  # at the end of the warm-up
    weight_decay: float


@dataclass(frozen=True)
class Probe:
    """Phase fractions [layer][token][phase] of one sentence; cosines of tokens by layer over eight contexts.

    A layer without phases has None for its fractions; layer 0 of the cosines is the embedding.
    """

    tokens: list[str]
    phase_fractions: list[list[list[float]] | None] | None
    cosine_edges: list[float]
    cosine_counts: list[list[float]]
    mean_cosine: list[float]


@dataclass(frozen=True, repr=False)
class TrainingRun(Result):
    """A training run, finished or not.

    `metrics` are rows by step and `final` the numbers of the end, nan where one is not finite. `parameters` is None,
    and `probe` too, where training has only begun.
    """

    name: str
    recipe: str
    command: str
    seed: int
    config: Mapping[str, Any]
    commit: str
    date: str
    versions: Mapping[str, str]
    machine: str
    finished: bool
    parameters: int | None = None
    metrics: list[dict[str, Number]] = field(default_factory=list, repr=False)
    final: dict[str, Number] = field(default_factory=dict)
    probe: Probe | None = field(default=None, repr=False)
    groups: list[ParameterGroup] = field(default_factory=list, repr=False)

    @classmethod
    def from_run(cls, run: Run) -> "TrainingRun":
        """The training run of a record that was read, finished or not."""
        return training_run(run.record)


HEAD = ("name", "recipe", "command", "seed", "config", "commit", "date", "versions", "machine", "finished")


def training_run(record: Mapping[str, Any]) -> TrainingRun:
    """The training run that a run.json holds, as a value; `record` is its JSON, of this or an older format."""
    probe = record.get("probe")
    if probe is not None:
        means = [finite_number(mean) for mean in probe["mean_cosine"]]
        probe = decode(Probe, {**probe, "mean_cosine": means}, {})
    return TrainingRun(
        **{name: record[name] for name in HEAD},
        parameters=record.get("parameters"),
        metrics=[numbers(row) for row in record.get("metrics", [])],
        final=numbers(record.get("final", {})),
        probe=probe,
        groups=[decode(ParameterGroup, group, {}) for group in record.get("groups", [])],
    )


def numbers(row: Mapping[str, Any]) -> dict[str, Number]:
    return {key: finite_number(value) for key, value in row.items()}


def finite_number(value: object) -> Number:
    """The number; nan where it is missing, infinite or no number."""
    return value if isinstance(value, int | float) and math.isfinite(value) else math.nan
