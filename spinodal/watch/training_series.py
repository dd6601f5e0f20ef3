r"""Over training: the tokens of one text through the layers, at every checkpoint that a run has kept.

A run keeps as many checkpoints as its `save_total` says. Each is opened as a model and observed on the same texts; the
numbers are means over texts, by step of training s and layer l, with their standard errors. The energy has one beta for
all: that of the question, or the one measured on the attention of the last model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError, require_types
from spinodal.results import Result
from spinodal.runs import UNSAVED, read_run
from spinodal.runs.checkpoints import checkpoint_folders, damage, step_of
from spinodal.types import Progress
from spinodal.watch.experiment import Question, Texts
from spinodal.watch.measure import observe_model
from spinodal.watch.result import ObservationResult
from spinodal.watch.subject import Subject, open_model, text_batches

SERIES = ("clusters", "effective_rank", "energy", "mean_cosine")


@dataclass(frozen=True, eq=False)
class TrainingSeries:
    """The checkpoints of a training run, and what each is asked: texts and a question, of which no null is made."""

    run: str  # the folder of the run
    inputs: Texts  # what every model reads
    question: Question = field(default_factory=lambda: Question(nulls=()))  # its `nulls` are ()

    def __post_init__(self) -> None:
        require_types(self, run=str, inputs=Texts, question=Question)
        if self.question.nulls:
            raise InputError(
                f"`nulls` {', '.join(self.question.nulls)}: checkpoints are compared with each other; leave it out",
                field="nulls",
            )


@dataclass(frozen=True, eq=False, repr=False)
class TrainingSeriesResult(Result):
    """Numbers of tokens by step of training s and layer l: means over `texts` texts, and their standard errors.

    `clusters` have cosines of at least 1 - epsilon, `effective_rank`, `energy` (with `beta`) and `mean_cosine` are
    those of `spinodal.watch.pairs`. Errors are NaN for one text. `losses` are the held-out losses of the run at these
    steps, NaN where none was measured.
    """

    run: str
    steps: Int[np.ndarray, " s"]
    losses: Float[np.ndarray, " s"]
    layers: Int[np.ndarray, " l"]
    texts: int
    beta: float
    epsilon: float
    clusters: Float[np.ndarray, "s l"]
    effective_rank: Float[np.ndarray, "s l"]
    energy: Float[np.ndarray, "s l"]
    mean_cosine: Float[np.ndarray, "s l"]
    clusters_error: Float[np.ndarray, "s l"]
    effective_rank_error: Float[np.ndarray, "s l"]
    energy_error: Float[np.ndarray, "s l"]
    mean_cosine_error: Float[np.ndarray, "s l"]
    experiment: TrainingSeries | None = field(default=None, repr=False, metadata=UNSAVED)

    def __str__(self) -> str:
        first, last = self.mean_cosine[0, -1], self.mean_cosine[-1, -1]
        return (
            f"{len(self.steps)} checkpoints, steps {self.steps[0]} to {self.steps[-1]}: after the last layer "
            f"{self.clusters[0, -1]:.1f} to {self.clusters[-1, -1]:.1f} clusters, effective rank "
            f"{self.effective_rank[0, -1]:.1f} to {self.effective_rank[-1, -1]:.1f}, energy "
            f"{self.energy[0, -1]:.3f} to {self.energy[-1, -1]:.3f}, mean cosine {first:.3f} to {last:.3f}"
        )


def observe_training(experiment: TrainingSeries, *, progress: Progress | None = None) -> TrainingSeriesResult:
    """The numbers of every checkpoint of a run, by step and layer; `progress` is called with (done, all checkpoints).

    InputError for a folder without a training run, for a run without whole checkpoints or without its saved tokenizer,
    and for what `observe` refuses.
    """
    places = list(whole_checkpoints(Path(experiment.run)))
    tokenizer = open_model(experiment.run).tokenizer
    question, seen = experiment.question, dict[int, ObservationResult]()
    for step, place in reversed(places):  # the last model says which beta
        subject = open_model(place, name=f"step {step}")._replace(tokenizer=tokenizer)
        seen[step] = _observed(subject, experiment, question)
        question = replace(question, beta=seen[step].beta)
        if progress:
            progress(len(seen), len(places))
    steps = sorted(seen)
    rows = {int(row["step"]): row["held_out_loss"] for row in _metrics(Path(experiment.run))}
    arrays = {
        name: np.array([[x.number(name) for x in seen[s].layers] for s in steps], float) for name in SERIES
    }
    arrays |= {
        f"{name}_error": np.array(
            [[x.standard_error.number(name) for x in seen[s].layers] for s in steps], float
        )
        for name in SERIES
    }
    last = seen[steps[-1]]
    return TrainingSeriesResult(
        run=experiment.run,
        steps=np.array(steps),
        losses=np.array([rows.get(step, np.nan) for step in steps], float),
        layers=np.arange(len(last.layers)),
        texts=last.inputs,
        beta=last.beta,
        epsilon=last.epsilon,
        **arrays,
        experiment=experiment,
    )


def _observed(subject: Subject, experiment: TrainingSeries, question: Question) -> ObservationResult:
    batches = text_batches(subject, experiment.inputs.lines, truncate=experiment.inputs.truncate)
    return observe_model(subject, batches, question)


def whole_checkpoints(run: Path) -> Iterator[tuple[int, Path]]:
    """(step, folder) of the checkpoints of a run that are whole, in the order of their steps."""
    folders = checkpoint_folders(run)
    whole = [(step_of(place), place) for place in reversed(folders) if not damage(place)]
    if len(whole) < 2:
        have = "no whole checkpoint" if not whole else "one whole checkpoint"
        raise InputError(
            f"{run} holds {have}: over training needs two at least, which a run keeps that is trained with "
            f"`save_every` and `save_total`",
            field="checkpoints",
        )
    yield from whole


def _metrics(run: Path) -> list[dict[str, float]]:
    return [row for row in read_run(run).record.get("metrics", []) if "held_out_loss" in row]
