r"""The table of a run or a comparison: losses of models over seeds, and whether they differ significantly.

    difference = mean_a - mean_b                     a, b: held-out losses of two models over seeds
    error      = sqrt(sd_a^2 / n_a + sd_b^2 / n_b)   [welch1947]
    tie        iff |difference| <= t_.975(v) error,  v the degrees of freedom of Welch and Satterthwaite

    verdict    by d_k = a_k - b_k of the seeds k that both have: better or worse iff |mean d| > t_.975(n - 1) error,
               error = sd_d / sqrt n, and otherwise not told apart   [student1908]

Models of one seed are trained on the same samples in the same order, so that their difference has less
spread than their losses. Means are over finished runs. A seed that ended without a finite loss makes its
model's mean not finite: a mean over the other seeds would favour a model that diverges.
"""

import math
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text
from scipy import stats

from spinodal.errors import InputError
from spinodal.figures import Runs, finished_runs, number
from spinodal.training import TrainingRun

Arms = dict[str, Runs]  # the models of every arm; one run is the arm ""


class Estimate(NamedTuple):
    """Mean and standard deviation (n - 1) over seeds; a single seed has sd NaN."""

    mean: float
    sd: float
    seeds: int


class Difference(NamedTuple):
    """Difference of a model's loss to the best, and its standard error; `tie` is None with a single seed."""

    value: float
    error: float
    tie: bool | None


SCORES = {
    "test_loss": "test loss", "bleu": "BLEU", "chrf": "chrF", "exact": "exact", "symbol_error": "symbols wrong",
    "text_error": "texts wrong", "unstressed_error": "wrong without stress", "far_bleu": "BLEU far",
    "nearest_bleu": "BLEU of the nearest pair", "far_nearest_bleu": "nearest, far", "copied_bleu": "BLEU of a copy",
    "accuracy": "accuracy",
}  # fmt: skip


class Row(NamedTuple):
    """One model of one arm; `behind` is None for the best, and where there is no loss to compare."""

    arm: str
    model: str
    parameters: int | None  # None where training has only begun
    steps: int
    seconds: Estimate
    tokens_per_second: Estimate
    loss: Estimate
    behind: Difference | None
    runs: int  # finished or not
    scores: dict[str, Estimate]  # what the task measures beside the loss


def estimate(values: list[float]) -> Estimate:
    mean = float(np.mean(values)) if values else math.nan
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Estimate(mean, sd, len(values))


def difference(a: Estimate, b: Estimate) -> Difference:
    """a - b with Welch's standard error, and whether its 95% interval holds zero."""
    value = a.mean - b.mean
    if min(a.seeds, b.seeds) < 2:
        return Difference(value, math.nan, None)
    va, vb = a.sd**2 / a.seeds, b.sd**2 / b.seeds
    if va + vb == 0:
        return Difference(value, 0.0, value == 0)
    v = (va + vb) ** 2 / (va**2 / (a.seeds - 1) + vb**2 / (b.seeds - 1))
    error = math.sqrt(va + vb)
    return Difference(value, error, bool(abs(value) <= stats.t.ppf(0.975, v) * error))


def table(arms: Arms) -> list[Row]:
    """Loss, speed and scores of every model of every arm, a row each, over the seeds of its runs.

    InputError for a model without runs.
    """
    rows = []
    for arm, models in arms.items():
        found = [row(arm, model, runs) for model, runs in models.items()]
        comparable = [r.loss for r in found if math.isfinite(r.loss.mean)]
        best = min(comparable, key=lambda loss: loss.mean, default=None)
        for r in found:
            if best is None or r.loss is best or not math.isfinite(r.loss.mean):
                rows.append(r)
            else:
                rows.append(r._replace(behind=difference(r.loss, best)))
    if not rows:
        raise InputError("there is no run to report")
    return rows


def row(arm: str, model: str, runs: list[TrainingRun]) -> Row:
    if not runs:
        raise InputError(f"{model}: there is no run of it{' at ' + arm if arm else ''}")
    done = [run.final for run in finished_runs(runs)]
    over_seeds = {
        key: estimate([number(final.get(key)) for final in done])
        for key in ("steps", "seconds", "tokens_per_second", "held_out_loss")
    }
    steps = over_seeds["steps"].mean
    scores = {
        key: estimate([number(final[key]) for final in done]) for key in SCORES if any(key in f for f in done)
    }
    return Row(
        arm, model, runs[0].parameters, 0 if math.isnan(steps) else round(steps), over_seeds["seconds"],
        over_seeds["tokens_per_second"], over_seeds["held_out_loss"], None, len(runs), scores,
    )  # fmt: skip


def columns(rows: list[Row]) -> list[str]:
    """Names of the columns; the last, the distance to the best, only where two models can be compared."""
    seeds = {r.loss.seeds for r in rows}
    over = f" (sd over {max(seeds)} seeds)" if len(seeds) == 1 else " (sd over seeds)"
    loss = "held-out loss" + (over if max(seeds) > 1 else "")
    names = [
        "model",
        "parameters",
        "steps",
        "seconds",
        "tokens/s",
        *(SCORES[key] for key in score_names(rows)),
        loss,
    ]
    return [*names, "seeds", *(["behind the best (± its error)"] if any(r.behind for r in rows) else [])]


def score_names(rows: list[Row]) -> list[str]:
    """The scores that any model has, in the order of SCORES."""
    return [key for key in SCORES if any(key in r.scores for r in rows)]


def cells(rows: list[Row]) -> list[list[str]]:
    """The cells of the table as text, in the order of `columns`, with two digits of the smallest sd."""
    least = min((r.loss.sd for r in rows if r.loss.sd > 0), default=1.0)
    digits = min(max(3, 1 - math.floor(math.log10(least))), 6)
    lines = [
        [
            r.model,
            "–" if r.parameters is None else f"{r.parameters:,}",
            f"{r.steps:,}" if r.steps else "–",
            estimate_text(r.seconds, 1 if r.seconds.mean < 100 else 0),
            estimate_text(r.tokens_per_second, 0),
            *(score_text(key, r.scores[key]) if key in r.scores else "–" for key in score_names(rows)),
            loss_text(r.loss, digits),
            str(r.runs) if r.loss.seeds == r.runs else f"{r.loss.seeds} of {r.runs} finished",
            difference_text(r, digits),
        ]
        for r in rows
    ]
    return [line[: len(columns(rows))] for line in lines]


def estimate_text(e: Estimate, digits: int) -> str:
    if not math.isfinite(e.mean):
        return "–"
    return f"{e.mean:,.{digits}f}" + (f" ± {e.sd:,.{digits}f}" if e.seeds > 1 else "")


def score_text(key: str, e: Estimate) -> str:
    """One digit of a score of 100, three of a share."""
    return estimate_text(e, 1 if key.endswith("bleu") or key == "chrf" else 3)


def loss_text(e: Estimate, digits: int) -> str:
    if not e.seeds:
        return "unfinished"
    if not math.isfinite(e.mean):
        return "not finite"
    return estimate_text(e, digits) + (" (one seed: no spread)" if e.seeds == 1 else "")


def difference_text(r: Row, digits: int) -> str:
    if r.behind is None:
        return "best" if math.isfinite(r.loss.mean) else "–"
    value, error, tie = r.behind
    if tie is None:
        return f"+{value:.{digits}f}, one seed cannot tell"
    return f"+{value:.{digits}f} ± {error:.{digits}f}" + (", a tie" if tie else "")


def rich_table(arms: Arms) -> Table:
    """The table for a terminal, the rows of each arm below a line with its name."""
    rows = table(arms)
    drawn = Table()
    for name in columns(rows):
        drawn.add_column(name, justify="left" if name == "model" else "right")
    above = ""
    for r, line in zip(rows, cells(rows), strict=True):
        if r.arm != above:
            drawn.add_section()
            drawn.add_row(Text(r.arm, style="bold"))
            above = r.arm
        drawn.add_row(*(Text(cell) for cell in line))
    return drawn


def markdown_table(arms: Arms) -> str:
    """The table for a README, with a column for the arm where arms have names."""
    rows = table(arms)
    names = columns(rows)
    lines = [names, [":--" if name == "model" else "--:" for name in names], *cells(rows)]
    if any(arms):
        firsts = ["", ":--", *(r.arm for r in rows)]
        lines = [[first, *line] for first, line in zip(firsts, lines, strict=True)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


class Verdict(NamedTuple):
    """A test of one model against another over the seeds of both; `better` is None if not significant."""

    arm: str
    model: str
    rival: str
    difference: float  # of held-out losses, nats; negative where the model predicts better
    error: float
    seeds: int
    better: bool | None

    def __str__(self) -> str:
        place = f"{self.arm}: " if self.arm else ""
        if self.seeds < 2:
            return f"{place}{self.model} and {self.rival}: one seed cannot tell"
        told = {True: "is better than", False: "is worse than", None: "is not told apart from"}[self.better]
        return (
            f"{place}{self.model} {told} {self.rival}: {self.difference:+.3f} ± {self.error:.3f} nats, "
            f"paired over {self.seeds} seeds (t test, 5%)"
        )


def verdicts(arms: Arms) -> list[Verdict]:
    """The verdicts on the first model against every other of each arm, by paired differences over seeds."""
    found = []
    for arm, models in arms.items():
        first, *rivals = sorted(models, key=lambda name: name != next(iter(next(iter(arms.values())))))
        for rival in rivals:
            one, other = (losses_by_seed(models[name]) for name in (first, rival))
            both = sorted(one.keys() & other.keys())
            found.append(verdict(arm, first, rival, [one[seed] - other[seed] for seed in both]))
    return found


def verdict(arm: str, model: str, rival: str, differences: list[float]) -> Verdict:
    """The verdict on a model against a rival by a two-sided t test of their paired differences."""
    n = len(differences)
    if n < 2:
        return Verdict(arm, model, rival, differences[0] if n else math.nan, math.nan, n, None)
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(n)
    told = math.isfinite(mean) and abs(mean) > stats.t.ppf(0.975, n - 1) * error
    return Verdict(arm, model, rival, mean, error, n, mean < 0 if told else None)


def losses_by_seed(runs: list[TrainingRun]) -> dict[int, float]:
    """{seed: last held-out loss} of the finished runs."""
    return {run.seed: number(run.final.get("held_out_loss")) for run in finished_runs(runs)}
