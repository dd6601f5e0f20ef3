r"""Which equilibrium random states flow to: the shares of the basins of attraction, by sampling.

Runge and Kutta's fourth order, with a step of half the inverse of the curvature where the states are, follows
x' = -grad E closely enough that only states next to a basin's edge can end on the wrong side.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError
from spinodal.graphs.energy import System
from spinodal.graphs.equilibria import (
    Equilibrium,
    canonical,
    classify_states,
    describe_state,
    distinct_states,
)
from spinodal.graphs.newton import refine_states

SETTLED = 1e-6  # |grad E|, relative to the scale, from which Newton's method takes over


class Basin(NamedTuple):
    """An equilibrium that random states flow to, the share of the states that do, and the standard error of that share.

    Where the attractor belongs to a manifold of equilibria, it is one point of it.
    """

    attractor: Equilibrium
    share: float
    error: float


class Basins(NamedTuple):
    """Basins of attraction in the order of their shares, the largest first.

    `unsettled` is the share of states that had not come to rest after the last step.
    """

    entries: list[Basin]
    unsettled: float


def basins(system: System, starts: Float[np.ndarray, "b n"], *, steps: int = 20_000) -> Basins:
    """The share of the given states that x' = -grad E takes to each equilibrium.

    Estimates the basins of attraction from starts [b n]. Ends that lie on one manifold of equilibria, that is of equal
    energy, index and nullity, count as one. ConvergenceError where states run off to infinity.
    """
    x, settled = flow_to_rest(system, starts, steps)
    ends, residual = refine_states(system, x[settled])
    ends = canonical(system, ends[residual < SETTLED * system.scale])
    states, met, _ = distinct_states(system, ends, np.arange(len(ends)))
    kinds, isolated = classify_states(system, states)
    found = []
    for kind in np.unique(kinds, axis=0):
        members = np.flatnonzero((kinds == kind).all(-1))
        one = describe_state(system, states[members[0]])
        groups = [[k] for k in members] if isolated[members[0]] or not one.dimension else [list(members)]
        for group in groups:
            share = float(met[group].sum() / len(starts))
            attractor = one if group[0] == members[0] else describe_state(system, states[group[0]])
            found.append(Basin(attractor, share, math.sqrt(share * (1 - share) / len(starts))))
    found.sort(key=lambda basin: -basin.share)
    return Basins(found, 1 - sum(basin.share for basin in found))


def flow_to_rest(
    system: System, x: Float[np.ndarray, "b n"], steps: int
) -> tuple[Float[np.ndarray, "b n"], np.ndarray]:
    """The ends of the flow, and which of them have settled."""
    x = x.copy()
    moving = np.arange(len(x))
    for _ in range(steps):
        z = x[moving]
        radius = 1.2 * float(np.abs(np.concatenate([system.graph.differences(z), z], -1)).max())
        h = 0.5 / (system.curvature_bound(radius) or 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            k1 = system.force(z)
            k2 = system.force(z + h / 2 * k1)
            k3 = system.force(z + h / 2 * k2)
            k4 = system.force(z + h * k3)
            x[moving] = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if not np.isfinite(x[moving]).all():
            raise ConvergenceError("states run off to infinity: the coupling repels at a distance")
        moving = moving[np.abs(k1).max(-1) > SETTLED * system.scale]
        if not len(moving):
            break
    return x, ~np.isin(np.arange(len(x)), moving)
