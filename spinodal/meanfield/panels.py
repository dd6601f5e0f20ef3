r"""A density on a line, carried by its points: Gauss--Legendre panels in a label that does not move.

A point starts at a and is at y(a, t) later; its mass stays. Integrals over the density are
int f(y(a, t)) rho_0(a) da, Gauss's rule on panels of labels, exact to rounding while y is smooth on each.
A panel may split, and in the end collapse or dissolve:

    split       where mass times the Legendre tail of y exceeds the tolerance: y is interpolated, not solved for
    collapse    where all its points are one to the tolerance: it becomes an atom, a weighted Dirac
    dissolve    where its mass is below the tolerance and it spans two clusters: its nodes become atoms

Masses are never recomputed: a panel's children share its mass, so the total is exact. Points keep their
order, so the density cannot turn negative [derived].

    symbol  meaning                                   shape
    a       labels: positions at t = 0                m g      m panels of g nodes
    y       positions now                             m g
    w       masses of the nodes                       m g
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.polynomial import legendre

NODES = 16
X, GAUSS = legendre.leggauss(NODES)
VALUES = legendre.legvander(X, NODES - 1)
COEFFICIENTS = (np.arange(NODES) + 0.5)[:, None] * (VALUES.T * GAUSS)  # of Legendre polynomials, from values
HALVES = [(legendre.legvander((X + side) / 2, NODES - 1) @ COEFFICIENTS).T for side in (-1, 1)]
SLOPE = (legendre.legval(X, legendre.legder(np.eye(NODES), axis=0)).T @ COEFFICIENTS).T
TINY = 1e-300  # a mass that is none, to divide by
CLOSE = 0.1  # of a kernel's width: points as near as that stay together
SHARE = 0.01  # of the tolerance, that moving the mass of one merger may cost
REACH = 1.0  # radians of the fastest mode that matters, a node


class Rule(NamedTuple):
    """When panels split and atoms merge: the tolerance, the width of the kernel, and the fastest mode to resolve."""

    tolerance: float
    width: float
    fastest: float

    def is_negligible(
        self, gap: Float[np.ndarray, " *m"], mass: Float[np.ndarray, " *m"]
    ) -> Bool[np.ndarray, " *m"]:
        """gap * mass < 0.01 tolerance at gaps within a tenth of the kernel's width, or gap <= 1e-3 sqrt(tolerance).

        Whether moving this mass by this gap stays below the tolerance.
        """
        cheap = gap * mass < SHARE * self.tolerance
        return (gap <= 1e-3 * np.sqrt(self.tolerance)) | (cheap & (gap <= CLOSE * self.width))


def panel_rule(tolerance: float, beta: float) -> Rule:
    """The `Rule` for the kernel e^{beta cos theta}, of width 1 / sqrt(beta), and moments up to degree ten."""
    return Rule(tolerance, 1 / np.sqrt(max(beta, 1.0)), max(10.0, 2 * np.sqrt(beta)))


class Line(NamedTuple):
    """mu = sum_panels sum_g w_g delta_{y_g} + sum_a m_a delta_{y_a}: a density on a line, and its Diracs.

    The line of labels is cut into m panels [left, right] in increasing order. Each holds the quadrature points y with
    weights w that carry its mass; atoms are the points of finite mass, with their masses.
    """

    left: Float[np.ndarray, " m"]
    right: Float[np.ndarray, " m"]
    y: Float[np.ndarray, "m g"]
    w: Float[np.ndarray, "m g"]
    atoms: Float[np.ndarray, " k"]
    masses: Float[np.ndarray, " k"]

    @property
    def points(self) -> Float[np.ndarray, " n"]:
        return np.concatenate([self.y.ravel(), self.atoms])

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        return np.concatenate([self.w.ravel(), self.masses])

    def moved_to(self, points: Float[np.ndarray, " n"]) -> "Line":
        return self._replace(y=points[: self.y.size].reshape(self.y.shape), atoms=points[self.y.size :])


Density = Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]


def node_labels(left: Float[np.ndarray, " m"], right: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m g"]:
    """The labels of the Gauss nodes of panels [left, right]."""
    return (left + right)[:, None] / 2 + (right - left)[:, None] / 2 * X


def uniform_panels(density: Density, ends: tuple[float, float], rule: Rule) -> Line:
    """Equal panels of labels, so many that the density's last Legendre coefficients are rounding."""
    panels = 1 + int((ends[1] - ends[0]) * rule.fastest / (REACH * NODES))
    while True:
        edges = np.linspace(*ends, panels + 1)
        a = node_labels(edges[:-1], edges[1:])
        mu = density(a)
        if tails(mu).max() < 1e-13 * mu.max() or panels > 4096:
            break
        panels *= 2
    w = mu * GAUSS
    return Line(edges[:-1], edges[1:], a, w / w.sum(), np.empty(0), np.empty(0))


def atoms_only(points: Float[np.ndarray, " n"], masses: Float[np.ndarray, " n"]) -> Line:
    """A measure without panels: weighted points."""
    none, empty = np.empty(0), np.empty((0, NODES))
    return Line(none, none, empty, empty, points, masses)


def tails(values: Float[np.ndarray, "m g"]) -> Float[np.ndarray, " m"]:
    """The larger of the last two Legendre coefficients of the values on each panel."""
    return np.abs(values @ COEFFICIENTS[-2:].T).max(1)


def refine_line(line: Line, density: Density, rule: Rule) -> Line:
    """Splits panels that are too coarse, and turns into atoms those that have contracted or are too light.

    Returns the same object where no panel changes.
    """
    mass, tail = line.w.sum(1), tails(line.y)
    spread = np.ptp(line.y, axis=1)
    flat = rule.is_negligible(spread, mass)
    light = ~flat & (mass < rule.tolerance)
    coarse = (spread * rule.fastest > REACH * NODES) | (tail > CLOSE * rule.width)
    broken = ~flat & ~light & ((mass * tail > rule.tolerance) | coarse)
    if not (flat | light | broken).any():
        return line
    centre = np.sum(line.y * line.w, 1)[flat] / mass[flat]
    atoms = np.concatenate([line.atoms, centre, line.y[light].ravel()])
    masses = np.concatenate([line.masses, mass[flat], line.w[light].ravel()])
    kept = ~(flat | light | broken)
    old = line.left[kept], line.right[kept], line.y[kept], line.w[kept]
    left, right, y, w = map(np.concatenate, zip(old, halve_panels(line, broken, density), strict=True))
    order = np.argsort(left)
    return Line(left[order], right[order], y[order], w[order], atoms, masses)


def halve_panels(line: Line, some: Bool[np.ndarray, " m"], density: Density) -> tuple[np.ndarray, ...]:
    """(left, right, y, w) of the two halves of some panels, which share the mass of the whole exactly."""
    left, right, y = line.left[some], line.right[some], line.y[some]
    middle = (left + right) / 2
    left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    w = density(node_labels(left, right)) * GAUSS
    total = w.sum(1)[: len(middle)] + w.sum(1)[len(middle) :]
    w *= np.tile(line.w[some].sum(1) / np.maximum(total, TINY), 2)[:, None]
    return left, right, np.concatenate([y @ half for half in HALVES]), w


def merge_atoms(line: Line, rule: Rule, period: float | None) -> Line:
    """Replaces atoms within the rule's gap by one at their centre of mass; on a circle across its period too."""
    if len(line.atoms) < 2:
        return line
    at = line.atoms if period is None else line.atoms % period
    order = np.argsort(at)
    at, masses = at[order], line.masses[order]
    if period is not None:  # cut where the gap is widest
        cut = int(np.argmax(np.diff(at, append=at[0] + period))) + 1
        at, masses = np.roll(at, -cut), np.roll(masses, -cut)
        at[len(at) - cut :] += period
    apart = ~rule.is_negligible(np.diff(at), np.minimum(masses[1:], masses[:-1]))
    if apart.all():
        return line
    group = np.append(0, np.cumsum(apart))
    mass = np.bincount(group, masses)
    return line._replace(atoms=at[0] + np.bincount(group, masses * (at - at[0])) / mass, masses=mass)


def resolved_line(line: Line, density: Density, degree: int) -> Line:
    """The same measure on panels short enough to integrate harmonics up to this degree."""
    while (coarse := np.ptp(line.y, axis=1) * degree > REACH * NODES).any():
        kept = line.left[~coarse], line.right[~coarse], line.y[~coarse], line.w[~coarse]
        line = line._replace(
            **dict(
                zip(
                    ("left", "right", "y", "w"),
                    map(np.concatenate, zip(kept, halve_panels(line, coarse, density), strict=True)),
                    strict=True,
                )
            )
        )
    return line


def stretches(line: Line) -> Float[np.ndarray, "m g"]:
    """dy/da > 0 at the nodes; on panels where y is not smooth to a thousandth, its mean."""
    width = (line.right - line.left)[:, None]
    slope = 2 * line.y @ SLOPE
    spread = np.ptp(line.y, axis=1)
    smooth = (slope > 0).all(1) & (tails(line.y) <= 1e-3 * spread)
    return np.where(smooth[:, None], slope, np.maximum(spread, 1e-300)[:, None]) / width


def inversion(line: Line) -> float:
    """sum of mass times angle by which neighbouring points have changed their order.

    The exact flow keeps the order, so that all of it is numerical error.
    """
    back = np.maximum(-np.diff(line.y.ravel()), 0.0)
    w = line.w.ravel()
    return float(back @ np.minimum(w[1:], w[:-1])) if len(w) else 0.0
