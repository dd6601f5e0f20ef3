r"""All equilibria of a system, as far as they can be found: exact on edges, searched in blocks, combined.

A bridge carries no flow, so f(y) = 0 on it: the zeros of f are known, and with them all equilibria of a tree.
A larger block is searched by Newton's method from many starts until a last round of them finds nothing new;
without on-site potentials the blocks' equilibria are then combined, since they are independent.

Two states are one if they differ by a translation (of a component), or by multiples of the period where f is
periodic. Manifolds of equilibria are given by one representative for each energy, index and nullity.
"""

import itertools
import math
import warnings

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits

from spinodal.errors import InputError
from spinodal.graphs.blocks import dimension_bound
from spinodal.graphs.energy import System
from spinodal.graphs.newton import refine_states
from spinodal.graphs.results import Equilibria, Equilibrium, equilibria_table
from spinodal.graphs.sparse import KERNEL, is_large, sparse_hessian
from spinodal.graphs.stability import spectrum, stability, zero_tolerance
from spinodal.graphs.units import Unit, require_few_bridges, units
from spinodal.types import Progress

SAME = 1e-4  # distance of states that are one: degenerate ones are found to 1e-6
SOLVED = 1e-10  # |grad E| of an equilibrium, relative to the scale
FAR = 10  # of an edge, relative to the zeros of f and to the anchors
ROUND = 512  # starts
MOST = 8192
WORK = 3e7  # starts times n^3, in a block
LISTED = 10_000


@threadpool_limits.wrap(limits=1, user_api="blas")  # many small matrices: threads cost more than they gain
def equilibria(
    system: System,
    *,
    starts: int | None = None,
    seed: int = 0,
    limit: int = LISTED,
    progress: Progress | None = None,
) -> Equilibria:
    """All x with grad E(x) = 0, as far as the search finds them, by ascending energy.

    Every equilibrium has its energy, index, nullity and stability. Equilibria of trees are exact. In every other block
    at most `starts` random states are refined by Newton's method (8192 if not given, fewer in blocks of more than 15
    vertices, where one costs n^3; 16 at least). Blocks of more than 500 vertices are searched by the same method with
    sparse matrices, and their indices counted by inertia (`graphs.sparse`). States that differ by a translation, or by
    multiples of a period, count as one.

    InputError where a drive does not balance, and where there are more than `limit` combinations of the blocks'
    equilibria. A warning where states of large blocks are left out, for they have more than 32 zero eigenvalues.

    >>> from spinodal import graphs
    >>> result = graphs.equilibria(graphs.build_system("path:3", "y**3 - y"))
    >>> len(result.entries)
    9
    >>> [(e.stability, e.index, round(e.energy, 6)) for e in result.entries[3:5]]
    [('linear', 0, -0.5), ('unstable', 1, -0.25)]
    """
    require_few_bridges(system, limit)
    parts = units(system)
    rng = np.random.default_rng(seed)
    lists, unseen = [], 0.0
    for k, unit in enumerate(parts):
        known, missing = search_unit(unit.system, starts, rng)
        lists.append(known)
        unseen = max(unseen, missing)
        if progress:
            progress(k + 1, len(parts))
    count = math.prod(map(len, lists))
    if count > limit:
        raise InputError(
            f"{count} equilibria, combinations of {len(parts)} blocks' own: more than the limit of {limit}"
        )
    found = [combine_units(system, parts, choice) for choice in itertools.product(*lists)]
    dimension = sum(max((e.dimension for e in known), default=0) for known in lists)
    found.sort(key=lambda e: (round(e.energy, 9), e.index, e.nullity))
    bound = (
        dimension_bound(system.graph)
        if system.free
        else sum(part.system.graph.n - len(part.system.floating) for part in parts)
    )
    return equilibria_table(
        found, system.graph.n, betti=system.graph.betti, dimension=dimension, bound=bound, unseen=unseen
    )


def combine_units(system: System, parts: list[Unit], choice: tuple[Equilibrium, ...]) -> Equilibrium:
    """The equilibrium of the whole in which every unit is in its own; index, nullity and dimension add."""
    x = np.zeros(system.graph.n)
    for unit, e in zip(parts, choice, strict=True):
        x += np.where(unit.gate >= 0, e.state[unit.gate], 0.0)
    kinds = {e.stability for e in choice}
    kind = "unstable" if "unstable" in kinds else "lyapunov" if "lyapunov" in kinds else "linear"
    index, nullity, dimension = (
        sum(getattr(e, key) for e in choice) for key in ("index", "nullity", "dimension")
    )
    x = canonical(system, x[None])[0]
    return Equilibrium(
        x, float(system.energy(x)), index, nullity, kind, all(e.asymptotic for e in choice), dimension
    )


def is_periodic(system: System) -> bool:
    """Whether states are the same modulo the period at every vertex: f is periodic and nothing anchors it."""
    return system.coupling.period is not None and (system.onsite is None or not system.onsite.stiffness.any())


def canonical(system: System, x: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n"]:
    """One of the states that are the same: differences to a first vertex, in one period, or of mean zero."""
    x = x.copy()
    for c in system.floating:
        inside = np.flatnonzero(system.graph.components == c)
        x[:, inside] -= x[:, inside[:1]] if is_periodic(system) else x[:, inside].mean(-1, keepdims=True)
    if is_periodic(system) and (period := system.coupling.period):
        x -= period * np.round(x / period)
        x[x < -period / 2 + 1e-9] += period
    return x


def search_unit(
    system: System, starts: int | None, rng: np.random.Generator
) -> tuple[list[Equilibrium], float]:
    """Equilibria of one unit, and the share of searches that would find another."""
    if system.free and system.graph.m == 1:
        return edge_states(system), 0.0
    starts = starts or int(np.clip(WORK / system.graph.n**3, 16, MOST))
    met, owners = np.zeros((0, system.graph.n)), np.zeros(0, dtype=int)
    before, after, once, used = -1, 0, 1, 0
    while used < starts and (once or after > before):
        x, residual = refine_states(system, random_states(system, min(ROUND, starts - used), rng))
        good = np.flatnonzero((residual <= SOLVED * system.scale) & ~runs_away(system, x))
        images = [x[good], -x[good]] if is_odd(system) else [x[good]]
        met = np.concatenate([met, *images])
        owners = np.concatenate([owners, np.tile(used + good, len(images))])
        used += len(x)
        states, times_met, first_met = distinct_states(system, canonical(system, met), owners)
        kinds, isolated = classify_states(system, states)
        before, after = after, int(isolated.sum()) + len(np.unique(kinds[~isolated], axis=0))
        once = len(np.unique(first_met[isolated & (times_met == 1)]))  # a state and its mirror image are one
    return representatives(system, states, kinds), once / used


def runs_away(system: System, x: Float[np.ndarray, "b n"]) -> Bool[np.ndarray, " b"]:
    """Whether a coupling that decays is zero on some long edge: then grad E -> 0 without an equilibrium."""
    if not system.coupling.decays:
        return np.zeros(len(x), dtype=bool)
    reach = 1 + np.abs(system.coupling.zeros).max()
    if (s := system.onsite) is not None:  # anchors may hold two ends apart
        held = s.stiffness > 0
        reach += np.sum(np.abs(s.centre[held]) + np.abs(s.drive[held]) / s.stiffness[held])
    far = np.abs(system.graph.differences(x)) > FAR * reach
    return (far & (np.abs(system.edgewise(x, 0)) <= SOLVED * system.scale)).any(-1)


def is_odd(system: System) -> bool:
    """Whether -x is an equilibrium where x is: no drive, and anchors at zero."""
    s = system.onsite
    return s is None or not (s.drive.any() or (s.stiffness * s.centre).any())


def random_states(system: System, count: int, rng: np.random.Generator) -> Float[np.ndarray, "b n"]:
    """Random states, half uniform in a box, half near zeros of f, where equilibria of high index are."""
    n, zeros = system.graph.n, system.coupling.zeros
    radius = system.coupling.period / 2 if system.coupling.period else 1.5 * (1 + np.abs(zeros).max())
    spread = radius * rng.uniform(-1, 1, (count - count // 2, n))
    width = 0.1 if system.coupling.period else 0.1 / system.coupling.sharpness
    near = rng.choice(zeros, (count // 2, n)) + width * rng.standard_normal((count // 2, n))
    centre = (
        0.0 if system.onsite is None else np.where(system.onsite.stiffness > 0, system.onsite.centre, 0.0)
    )
    return np.concatenate([spread, near]) + centre


def edge_states(system: System) -> list[Equilibrium]:
    """The equilibria of a single edge, at which y is a zero of f."""
    states = np.stack([np.zeros_like(z := system.coupling.zeros), z], 1)
    if system.graph.heads[0] == 0:
        states = states[:, ::-1]
    return [describe_state(system, x) for x in canonical(system, states)]


def describe_state(system: System, x: Float[np.ndarray, " n"]) -> Equilibrium:
    """The `Equilibrium` at a state, with its energy and stability."""
    s = stability(system, x)
    return Equilibrium(x, float(system.energy(x)), s.index, s.nullity, s.name, s.asymptotic, s.dimension)


def distinct_states(
    system: System, states: Float[np.ndarray, "b n"], starts: Int[np.ndarray, " b"]
) -> tuple[Float[np.ndarray, "u n"], Int[np.ndarray, " u"], Int[np.ndarray, " u"]]:
    """(states, counts, first): those that differ, how many starts ended in each, and the first such start."""
    place = states
    if is_periodic(system) and (period := system.coupling.period):
        turns = 2 * np.pi / period * states
        place = np.concatenate([np.cos(turns), np.sin(turns)], -1) * period / (2 * np.pi)
    _, first, cell = np.unique(np.round(place / SAME), axis=0, return_index=True, return_inverse=True)
    pairs = KDTree(place[first]).query_pairs(SAME, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(first), len(first)))
    cluster = connected_components(links, directed=False)[1][cell.reshape(-1)]
    _, first = np.unique(cluster, return_index=True)
    met, by = np.unique(np.stack([cluster, starts]), axis=1)
    _, earliest = np.unique(met, return_index=True)
    return states[first], np.bincount(met), by[earliest]


def classify_states(
    system: System, states: Float[np.ndarray, "u n"]
) -> tuple[Float[np.ndarray, "u 3"], Bool[np.ndarray, " u"]]:
    """The kind of every state, its energy (rounded), index and nullity; and whether the nullity is 0."""
    zero = zero_tolerance(system)
    if is_large(system):
        counts = [sparse_hessian(system, x, zero).index_and_nullity() for x in states]
        index, nullity = np.array(counts, dtype=int).reshape(-1, 2).T
    else:
        eigenvalues = spectrum(system, states)
        index, nullity = (eigenvalues < -zero).sum(-1), (np.abs(eigenvalues) <= zero).sum(-1)
    energy = np.round(system.energy(states) / system.scale, 6) + 0.0  # no -0
    return np.stack([energy, index, nullity], -1).astype(float), nullity == 0


def representatives(
    system: System, states: Float[np.ndarray, "u n"], kinds: Float[np.ndarray, "u 3"]
) -> list[Equilibrium]:
    """Every isolated equilibrium, and one of each kind that lies on a manifold.

    Isolated ones of the same energy, index, nullity and spectrum, as a rule images of one another by a symmetry, are
    examined once for all.
    """
    found = []
    for kind in np.unique(kinds, axis=0):
        members = states[(kinds == kind).all(-1)]
        if is_large(system) and kind[2] > KERNEL:
            warnings.warn(
                f"{len(members)} equilibria with {kind[2]:.0f} zero eigenvalues are left out: in blocks of "
                f"{system.graph.n} vertices they are examined up to {KERNEL}",
                stacklevel=2,
            )
            continue
        first = describe_state(system, members[0])
        if first.dimension:  # a manifold
            found.append(first)
            continue
        for same in lookalikes(system, members):
            known = first if (same[0] == members[0]).all() else describe_state(system, same[0])
            if known.dimension:
                found.append(known)
                break
            found += [known._replace(state=x, energy=float(system.energy(x))) for x in same]
    return found


def lookalikes(system: System, states: Float[np.ndarray, "u n"]) -> list[Float[np.ndarray, "_ n"]]:
    """The states, grouped by spectrum; each by itself in a large graph, where spectra are not computed."""
    if is_large(system):
        return [x[None] for x in states]
    spectra = np.round(spectrum(system, states) / system.scale, 4) + 0.0
    return [states[(spectra == one).all(-1)] for one in np.unique(spectra, axis=0)]
