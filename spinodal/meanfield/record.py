r"""The evolution of a density, measured after every step: moments, clusters, mass, least density, width.

Clusters are the maxima of the field's potential, Z_b(x) = int e^{b (<x,y> - 1)} dmu(y), that tokens climb:
a maximum counts if a hundredth of the mass or more lies in its basin, and none counts
while max Z < 2 min Z. So a smooth density has clusters too, long before its atoms.

    symbol   meaning                                                             shape
    m        moments m_0..m_K (complex on the circle)                            t k
    width    root mean square distance of most mass from the mean                  t
    distance share of the density's H^-1 norm outside the multiples of a degree  t
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from spinodal.errors import ConvergenceError
from spinodal.meanfield.kernel import dimensions, spectrum
from spinodal.meanfield.rings import ring_sums
from spinodal.meanfield.solver import Solver
from spinodal.meanfield.sphere import potential

HEAVY = 0.01  # of the mass, that makes a maximum a cluster
CONTRAST = 2.0
LEAST_BETA = 2.0  # of the potential that counts clusters
GRID = 1024
LATTICE = 2000
LINEAR = 30.0
STEPS = 200_000


class Record(NamedTuple):
    """The moments, number of clusters and errors of a density at every step.

    `moments` [t k] are m_0, m_1, ..., complex on the circle; `minimum` is the least rho / uniform, NaN once there are
    only atoms; `inversion` is mass times angle by which points have changed their order, zero but for error. `width` is
    the root mean square distance of 99 per cent of the mass from the direction of the mean.
    """

    times: Float[np.ndarray, " t"]
    moments: np.ndarray
    clusters: Int[np.ndarray, " t"]
    minimum: Float[np.ndarray, " t"]
    mass_error: Float[np.ndarray, " t"]
    inversion: Float[np.ndarray, " t"]
    width: Float[np.ndarray, " t"]

    @property
    def wasserstein_dirac(self) -> Float[np.ndarray, " t"]:
        """W2 to the nearest Dirac, by chords: (2 - 2 |m_1|)^{1/2}, of which 1e-7 and below is rounding."""
        return np.sqrt(np.maximum(0.0, 2 - 2 * np.abs(self.moments[:, 1])))


def record_evolution(
    solver: Solver,
    *,
    until: float = np.inf,
    stop: str = "time",
    degrees: int = 32,
    frame: Callable[[Solver], None] | None = None,
) -> Record:
    """The record of a solver's steps until a time, until only "diracs" are left, or until "consensus".

    The earlier of the time and the event ends it. `frame` is called with the solver before the first step and after
    each. ConvergenceError after too many steps.
    """
    rows = []
    for _ in range(STEPS):
        rows.append(record_row(solver, degrees))
        if frame:
            frame(solver)
        if solver.time >= until or (stop != "time" and getattr(solver, stop)):
            return Record(*map(np.array, zip(*rows, strict=True)))
        solver.advance(until)
    raise ConvergenceError(f"{STEPS} steps ended at t = {solver.time:g}: raise the tolerance or stop earlier")


def record_row(solver: Solver, degrees: int) -> tuple:
    """The fields of a `Record` for the present state of a solver."""
    m = solver.moments(degrees)
    mass_error = abs(solver.total_mass() - 1)
    least, crossed = solver.least_density(), solver.inversion()
    return solver.time, m, clusters(solver), least, mass_error, crossed, solver.width(m)


def clusters(solver: Solver) -> int:
    """The maxima of Z(x) = int e^{beta <x,y>} dmu(y) that have a hundredth of the mass in their basins of ascent.

    The number of clusters of a density; 0 while it is nearly uniform.
    """
    beta, d = max(solver.flow.beta, LEAST_BETA), solver.flow.d
    at, mass = solver.masses()
    if solver.geometry == "sphere":
        return clusters_on_sphere(at, mass, beta)
    s = spectrum(d, beta)
    m = solver.moments(len(s.a) - 1)
    circle = solver.geometry == "circle"
    if circle:
        n = max(GRID, 8 * len(m))
        grid = 2 * np.pi * np.arange(n) / n
        Z = np.fft.irfft(s.a * np.conj(m), n) * n
    else:
        grid = np.linspace(0, np.pi, GRID // 2 + 1)
        Z = ring_sums(np.cos(grid), s.N * s.a * m, np.zeros_like(m), d)[0]
    return basins(Z, grid, at, mass, circle)


def basins(
    Z: Float[np.ndarray, " c"], grid: Float[np.ndarray, " c"], at: np.ndarray, mass: np.ndarray, circle: bool
) -> int:
    """The number of basins of ascent of Z on a grid with HEAVY or more of the mass; 0 if max Z < 2 min Z."""
    if Z.max() < CONTRAST * Z.min():
        return 0
    low = (np.roll(Z, 1) >= Z) & (np.roll(Z, -1) > Z)  # where a basin begins
    if not circle:
        low[0], low[-1] = False, False
    edges = grid[low]
    owner = np.searchsorted(edges, at % (2 * np.pi) if circle else at)
    if circle and len(edges):
        owner %= len(edges)
    return int(np.count_nonzero(np.bincount(owner, mass) >= HEAVY))


@lru_cache
def lattice() -> tuple[Float[np.ndarray, "c 3"], KDTree, Int[np.ndarray, "c 7"]]:
    """A Fibonacci lattice, its k-d tree, and the indices of every point's nearest seven, itself the first."""
    i = np.arange(LATTICE) + 0.5
    z, phi = 1 - 2 * i / LATTICE, np.pi * (1 + 5**0.5) * i
    s = np.sqrt((1 - z) * (1 + z))
    x = np.stack([s * np.cos(phi), s * np.sin(phi), z], 1)
    tree = KDTree(x)
    return x, tree, np.asarray(tree.query(x, 7)[1])


def clusters_on_sphere(at: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], beta: float) -> int:
    """`clusters` on S^2: each point of a lattice ascends to its best neighbour until that is itself."""
    x, tree, near = lattice()
    Z = potential(x, at, weights, beta)
    if Z.max() < CONTRAST * Z.min():
        return 0
    up = near[np.arange(len(x)), np.argmax(Z[near], 1)]
    for _ in range(12):  # 2^12 steps
        up = up[up]
    mass = np.bincount(up[tree.query(at)[1]], weights)
    return int(np.count_nonzero(mass >= HEAVY))


def distance(moments: np.ndarray, degree: int, d: int) -> Float[np.ndarray, " t"]:
    """sqrt(sum over k outside / sum over all k) of N_k |m_k|^2 / (k (k+d-2))  [bpa2024; derived for d > 2].

    The share of |mu - uniform| in H^-1 that is outside the pattern of a degree: 0 on the pattern, 1 far from it. On
    the circle, whose moments are complex, the pattern is all densities of period 2 pi / degree; elsewhere it is the
    harmonics of that degree alone. `moments` are one row a time.
    """
    k = np.arange(1, moments.shape[1])
    size = np.abs(moments[:, 1:]) ** 2 * dimensions(k, d) / (k * (k + d - 2))
    inside = k % degree == 0 if np.iscomplexobj(moments) else k == degree
    return np.sqrt(size[:, ~inside].sum(1) / np.maximum(size.sum(1), 1e-300))


def measured_rates(record: Record) -> Float[np.ndarray, " k"]:
    """log |m_k(t) / m_k(0)| / t of degrees 1, 2, ..., t the end of each one's linear phase.

    A degree is in its linear phase while it is much larger than what the squares of the others add to it. NaN
    for a degree without one.
    """
    size = np.abs(record.moments[:, 1:])
    linear = (size > LINEAR * size.max(1, keepdims=True) ** 2) & (size > 1e-13)
    last = np.cumprod(linear, 0).sum(0) - 1
    k = np.flatnonzero(last > 0)
    rates = np.full(size.shape[1], np.nan)
    rates[k] = np.log(size[last[k], k] / size[0, k]) / (record.times[last[k]] - record.times[0])
    return rates


def clustering_rate(record: Record) -> float:
    """-d log(width) / dt over the last approach, between widths 0.1 and 1e-6.

    The local rate, at which the last clusters merge: one for SA, and e^beta for USA with weights e^{beta <x,y>} / n
    (`theory.dirac_rate_usa`). `width` is the record's, how far most of the mass is from its mean. NaN if no approach
    was recorded.
    """
    near = (record.width < 0.1) & (record.width > 1e-6)
    last = int(np.flatnonzero(record.width >= 0.1).max(initial=-1))
    near[: last + 1] = False
    if np.count_nonzero(near) < 2:
        return np.nan
    t = record.times[near] - record.times[near][0]
    if not t[-1] > 0:
        return np.nan
    return float(-np.polyfit(t, np.log(record.width[near]), 1)[0])


def wasserstein_rate(record: Record) -> float:
    """-d log(W2^2) / dt over the last approach to a Dirac, between W2^2 = 1e-4 and 1e-7.

    The global rate, at which the last mass leaves the opposite point: (d - 1) e^{-beta} for USA
    (`theory.wasserstein_rate_usa`), not twice the local one. NaN if no approach was recorded.
    """
    square = record.wasserstein_dirac**2
    near = (square < 1e-4) & (square > 1e-7)
    near[: int(np.flatnonzero(square >= 1e-4).max(initial=-1)) + 1] = False
    if np.count_nonzero(near) < 2:
        return np.nan
    t = record.times[near] - record.times[near][0]
    return float(-np.polyfit(t, np.log(square[near]), 1)[0]) if t[-1] > 0 else np.nan
