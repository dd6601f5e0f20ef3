"""Recordings: tokens or a density over time or over layers, with what the explorer says beside them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of quantiles


@dataclass(frozen=True, eq=False)
class Moment:
    """The pairs of tokens at one time: mean cosine, quantiles at LEVELS, and minimum spanning tree.

    The tree is n - 1 pairs (a, b) with their squared distances q = 2 (1 - cos), nearest first: those with
    q <= 2 epsilon join the clusters of every epsilon.
    """

    mean: float
    quantiles: Float[np.ndarray, " l"]
    a: np.ndarray
    b: np.ndarray
    q: Float[np.ndarray, " e"]


@dataclass(frozen=True, eq=False)
class Recording:
    """Tokens at times, unit vectors [t n d], and words, merges and sentences where they are known.

    `times` count layers where `layers`; `merges` are (time, clusters left, the first tokens of both halves). Of a
    model `step` is the time of the flow that a layer takes, at the inverse temperature `beta`; `settings` are those
    with which the page runs the same flow itself, None where it cannot.
    """

    title: str
    times: Float[np.ndarray, " t"]
    tokens: Float[np.ndarray, "t n d"]
    moments: tuple[Moment, ...]
    layers: bool = False
    words: tuple[str, ...] | None = None
    merges: tuple[tuple[float, int, int, int], ...] = ()
    sentences: tuple[str, ...] = ()
    command: str | None = None
    step: float = 1.0
    beta: float | None = None
    settings: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class DensityRecording:
    """A density rho on the circle, or on latitudes of a sphere, at times: log10 of rho over the uniform density.

    `values` have a column an angle, ends included: on the circle from 0 to 2 pi, of latitudes from 0 at the axis to pi.
    `moved` is about the way that mass has gone, by which the clock of movement goes.
    """

    title: str
    times: Float[np.ndarray, " t"]
    moved: Float[np.ndarray, " t"]
    values: Float[np.ndarray, "t c"]
    circle: bool
    means: Float[np.ndarray, " t"]  # of the cosine between two tokens
    clusters: Int[np.ndarray, " t"]
    sentences: tuple[str, ...] = ()
    command: str | None = None


AnyRecording = Recording | DensityRecording
