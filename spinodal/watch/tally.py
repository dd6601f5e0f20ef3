"""Tallies: running means, errors and counts over inputs, in memory that does not grow with their number."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from spinodal.watch.pairs import NAMES, PairStatistics
from spinodal.watch.result import (
    Difference,
    EnergyFall,
    LayerNumbers,
    NullComparison,
    StandardErrors,
    TokenShare,
)

THRESHOLD_NAMES = (".9", ".99", ".999")
COMPARED = ("mean_cosine", "above_.9", "effective_rank", "energy", "clusters")
ROUNDING = 1e-9  # an energy lower by less has not fallen


class Moments:
    """Running mean and standard error of arrays that are added one at a time."""

    def __init__(self):
        self.n, self.mean, self.squares = 0, np.zeros(()), np.zeros(())

    def add(self, value: np.ndarray):
        self.n += 1
        step = value - self.mean
        self.mean = self.mean + step / self.n
        self.squares = self.squares + step * (value - self.mean)

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean; NaN for one value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (
                np.sqrt(self.squares / (self.n - 1) / self.n)
                if self.n > 1
                else np.full_like(self.mean, np.nan)
            )


class Tally:
    """The numbers and histograms of one selection of tokens, by layer; `names` are those of the numbers."""

    def __init__(self, names: Sequence[str] = NAMES):
        self.names = tuple(names)
        self.moments, self.histogram = Moments(), np.zeros((), dtype=int)

    def add(self, portrait: PairStatistics):
        self.moments.add(portrait.numbers)
        self.histogram = self.histogram + portrait.histogram

    def layers(self) -> list[LayerNumbers]:
        """For each layer the means over inputs, their standard errors, and the pooled histogram of cosines."""
        return [
            LayerNumbers(
                index=k,
                histogram=tuple(histogram.tolist()),
                standard_error=StandardErrors(**by_field(error, self.names)),
                **by_field(mean, self.names),
            )
            for k, (mean, error, histogram) in enumerate(
                zip(self.moments.mean, self.moments.error, self.histogram, strict=True)
            )
        ]


def by_field(numbers: Float[np.ndarray, " k"], names: Sequence[str]) -> dict[str, Any]:
    """The fields of a `LayerNumbers` from an array of numbers and their names.

    Shares and counts of clusters are grouped by threshold; names that are no field become its `observables`. A number
    that is not finite becomes None.
    """
    value = {name: float(x) if np.isfinite(x) else None for name, x in zip(names, numbers, strict=True)}
    return {
        "mean_cosine": value["mean_cosine"],
        "mass_above": {a: value[f"above_{a}"] for a in THRESHOLD_NAMES},
        "effective_rank": value["effective_rank"],
        "energy": value["energy"],
        "clusters": value["clusters"],
        "clusters_at": {a: value[f"clusters_{a}"] for a in THRESHOLD_NAMES},
        "observables": {name: value[name] for name in names if name not in NAMES},
    }


class Null:
    """Running means of a null's numbers, and of the differences model - null of each input."""

    def __init__(self, names: Sequence[str] = NAMES):
        self.tally, self.difference = Tally(names), Moments()

    def add(self, subject: PairStatistics, null: PairStatistics):
        self.tally.add(null)
        self.difference.add(subject.numbers - null.numbers)

    def comparison(self) -> NullComparison:
        """The null's layers, and the differences by layer with their standard errors."""
        n, mean, error = self.difference.n, self.difference.mean, self.difference.error
        far = stats.t.ppf(0.975, max(n - 1, 1)) * error

        def difference(k: int, i: int) -> Difference:
            value = float(mean[k, i])
            return (
                Difference(value, float(error[k, i]), bool(abs(value) > far[k, i]))
                if n > 1
                else Difference(value, None, None)
            )

        names = self.tally.names
        places = [(names.index(name), name) for name in (*COMPARED, *names[len(NAMES) :])]
        rows = ({"index": k} | {name: difference(k, i) for i, name in places} for k in range(len(mean)))
        return NullComparison(tuple(self.tally.layers()), tuple(rows))


class Violations:
    """Counts of the layers at which the energy falls, against the theory, and of the tokens that lose it."""

    def __init__(self):
        self.n, self.count, self.drop = 0, np.zeros((), dtype=int), np.zeros(())
        self.blame: list[Counter[str]] = []

    def add(self, portrait: PairStatistics, words: list[str]):
        """Counts the falls in one input, whose `portrait` has tokens with the texts `words`."""
        energy = portrait.numbers[:, NAMES.index("energy")]
        fall = np.maximum(energy[:-1] - energy[1:], 0.0)
        fallen = fall > ROUNDING
        self.n += 1
        self.count, self.drop = self.count + fallen, self.drop + np.where(fallen, fall, 0.0)
        self.blame = self.blame or [Counter() for _ in fall]
        lost = np.maximum(portrait.energy_shares[:-1] - portrait.energy_shares[1:], 0.0)
        for k in np.flatnonzero(fallen):
            for i in _largest(lost[k], 8):
                self.blame[k][words[i]] += lost[k, i] / lost[k].sum()

    def falls(self, most: int = 5) -> list[EnergyFall]:
        """Per layer: in which share of inputs the energy falls there, by how much, and the words that lose most.

        A word's share is its part of what falling tokens lose, averaged over the inputs in which the energy falls.
        """
        return [
            EnergyFall(
                layer=int(k) + 1,
                share_of_inputs=float(self.count[k] / self.n),
                mean_drop=float(self.drop[k] / self.count[k]),
                tokens=tuple(
                    TokenShare(word, float(share / self.count[k]))
                    for word, share in self.blame[k].most_common(most)
                ),
            )
            for k in np.flatnonzero(self.count)
        ]


def _largest(values: Float[np.ndarray, " s"], most: int) -> Int[np.ndarray, " k"]:
    """Indices of the largest values that are not zero, in order."""
    return np.array([i for i in np.argsort(-values, kind="stable")[:most] if values[i] > 0], dtype=np.int64)
