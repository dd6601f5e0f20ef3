r"""Curves of runs and their means over seeds, at equal shares of the steps.

Seeds are averaged at equal shares of their work, step / last step, and not at equal steps: runs
of equal time end at different steps, and their mean curve must end at the mean of their ends.

    mean(s) = mean over seeds of y(s),   low, high = the least and the greatest seed at s
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.training import Probe, TrainingRun

Runs = dict[str, list[TrainingRun]]  # the seeds of every model

COUNTERS = {"step", "seconds", "tokens", "loss", "learning_rate", "held_out_loss", "grad_norm"}
SIGNS = {"\n": "⏎", "\r": "␍", "\t": "⇥", " ": "·"}


class Curve(NamedTuple):
    """One quantity of one run; NaN where it is not finite."""

    steps: Float[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    values: Float[np.ndarray, " t"]


class Band(NamedTuple):
    """One quantity over the seeds of a model, at equal shares of their work."""

    steps: Float[np.ndarray, " t"]
    seconds: Float[np.ndarray, " t"]
    low: Float[np.ndarray, " t"]
    mean: Float[np.ndarray, " t"]
    high: Float[np.ndarray, " t"]


def number(value: object) -> float:
    """The value as a float; NaN where it is missing, infinite or no number."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def curve(run: TrainingRun, key: str) -> Curve:
    """The rows of metrics that hold `key`, by step; of a step logged twice (a resumed run) the last."""
    rows = {row["step"]: row for row in run.metrics if key in row}
    rows = [rows[step] for step in sorted(rows)]
    return Curve(*(np.array([number(row.get(name)) for row in rows]) for name in ("step", "seconds", key)))


def require_probe(run: TrainingRun) -> Probe:
    """The run's probe of its trained model, phase fractions and cosines; InputError where it has none."""
    if run.probe is None:
        raise InputError(f"{run.name}, seed {run.seed}: there is no probe to draw cosines from")
    return run.probe


def thin_curve(c: Curve, *, points: int = 240) -> Curve:
    """Means over windows of equal length, where a curve has more points than a figure can show."""
    if len(c.steps) <= points:
        return c
    return Curve(*(np.array([part.mean() for part in np.array_split(x, points)]) for x in c))


def band(curves: list[Curve]) -> Band:
    """Mean and range over seeds at the union of their shares of work, where all of them have a value."""
    shares = [c.steps / c.steps[-1] for c in curves]
    s = np.unique(np.concatenate(shares))
    s = s[s >= max(own[0] for own in shares)]
    on_s = [[np.interp(s, own, x) for x in c] for own, c in zip(shares, curves, strict=True)]
    steps, seconds, values = (np.array(x) for x in zip(*on_s, strict=True))
    return Band(steps.mean(0), seconds.mean(0), values.min(0), values.mean(0), values.max(0))


def finished_runs(runs: list[TrainingRun]) -> list[TrainingRun]:
    """The runs that reached their last step."""
    return [run for run in runs if run.finished]


def residual_names(runs: Iterable[TrainingRun]) -> list[str]:
    """The residuals that any run reports, in the order of their first appearance."""
    keys = dict.fromkeys(key for run in runs for row in run.metrics for key in row)
    return [key for key in keys if key not in COUNTERS and not key.startswith("multiplier_")]


def first_step_not_finite(run: TrainingRun) -> int | None:
    """The first step at which the training or the held-out loss is not finite, None if there is none."""
    losses = [curve(run, key) for key in ("loss", "held_out_loss")]
    steps = [int(c.steps[np.isnan(c.values)][0]) for c in losses if np.isnan(c.values).any()]
    return min(steps, default=None)


def readable(token: str) -> str:
    """A token with its white space shown, and what is not printable as U+FFFD."""
    signs = (SIGNS.get(letter, letter) for letter in token)
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in signs) or "∅"
