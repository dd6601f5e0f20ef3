r"""Continuation of a curve of equilibria in a parameter, around its folds, with its singular points.

    G(z, l) = 0,   t.(u - u_0) = s,    u = (z, l)

Pseudo-arclength: the next point is sought on the plane across the tangent t, which stays solvable at folds,
where l turns back. Between two points whose index differs something has crossed zero, and between two whose
tangents differ in the sign of dl/ds the parameter has turned, which it does where H has a kernel: at folds,
and at pitchforks met along their side branches, which leave the index as it is. Bisection isolates one such
event at a time, and `bifurcations.singular_point` locates and names it. Crossings that bisection cannot
separate happen at once, and are reported as refused, with their number.

A pair of eigenvalues that crosses to and fro between two points leaves the index as it is and is not seen.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from spinodal.errors import ConvergenceError, InputError
from spinodal.graphs.bifurcations import Family, SingularPoint, newton, singular_point
from spinodal.graphs.experiment import Continuation
from spinodal.graphs.newton import refine_states
from spinodal.graphs.stability import TOLERANCE
from spinodal.results import Result
from spinodal.types import Progress

CLOSE = 1e-9  # of two points, between which crossings count as one
NEAR = 1e-5  # of two points, from which Newton's method finds the crossing between them
NEARER = 1e-6  # of two points, between which the parameter turns and the index stays
TURNING = 1e-9  # of dl/ds: below it the curve runs to infinity at a finite l, where rounding decides the sign
REACH = 1e-3  # of a singular point from where it was looked for
SOLVED = 1e-10
ROUNDING = 1e-14  # of an eigenvalue, relative to the scale
TURN = 0.95  # the least cosine between one tangent and the next


@dataclass(frozen=True, eq=False, repr=False)
class Branch(Result):
    """Points along a curve of equilibria, and its singular points; `end` says why it stops."""

    values: Float[np.ndarray, " t"]
    states: Float[np.ndarray, "t n"]
    energies: Float[np.ndarray, " t"]
    indices: Int[np.ndarray, " t"]
    singular: tuple[SingularPoint, ...]
    end: str
    experiment: Continuation | None = field(
        default=None, repr=False, metadata={"saved": "never"}
    )  # a record has it as its configuration


class CurvePoint(NamedTuple):
    """A point u = (z, l) on the curve, the numbers of negative and of zero eigenvalues of H there, and dl/ds."""

    u: Float[np.ndarray, " _"]
    index: int
    nullity: int
    rate: float


class BranchStart(NamedTuple):
    """A point (x, l) of a curve of equilibria, and the direction of (x, l) in which to follow it."""

    state: Float[np.ndarray, " n"]
    value: float
    heading: Float[np.ndarray, " n+1"]


def branch_start(family: Family, x: Float[np.ndarray, " n"], bounds: tuple[float, float]) -> BranchStart:
    """The equilibrium near x at l = bounds[0], headed for l = bounds[1].

    Newton's method refines x first; ConvergenceError where it finds no equilibrium near.
    """
    value = float(bounds[0])
    states, residual = refine_states(family.at(value), (family.Q @ (family.Q.T @ x))[None])
    if residual[0] > SOLVED * family.scale:
        raise ConvergenceError(
            f"no equilibrium near the start at {family.parameter} = {value:g}: |grad E| = {residual[0]:.3g}"
        )
    return BranchStart(states[0], value, np.append(np.zeros(len(x)), bounds[1] - bounds[0]))


def switch_branch(family: Family, point: SingularPoint, amplitude: float) -> BranchStart:
    """grad E(x, l) = 0 with v.(x - x_0) = amplitude, v the kernel at the singular point (x_0, l_0).

    A start on the second curve that passes through a singular point, headed away from it. ConvergenceError where none
    is found.
    """
    z0, v = family.Q.T @ point.state, family.Q.T @ point.kernel

    def equations(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, J = curve(family, u)
        return np.append(r, v @ (u[:-1] - z0) - amplitude), np.vstack([J, np.append(v, 0.0)])

    u, error = newton(equations, np.append(z0 + amplitude * v, point.value))
    if error > SOLVED * (1 + np.linalg.norm(u)):
        raise ConvergenceError(
            f"no branch found at {family.parameter} = {point.value:.9g}, the last step was {error:.3g}"
        )
    return BranchStart(family.x(u[:-1]), float(u[-1]), np.append(amplitude * point.kernel, 0.0))


@threadpool_limits.wrap(limits=1, user_api="blas")  # many small matrices: threads cost more than they gain
def continue_branch(
    family: Family,
    start: BranchStart,
    bounds: tuple[float, float],
    *,
    points: int = 2000,
    progress: Progress | None = None,
) -> Branch:
    """G(z, l) = 0 with t.(u - u_0) = s, u = (z, l): pseudo-arclength continuation.

    Follows a curve of equilibria from a start until the parameter leaves the bounds, the curve closes, or it has
    `points` points. `progress` is called with how far the parameter is from the first bound, and how far
    the other is. ConvergenceError where no step converges.
    """
    low, high = min(bounds), max(bounds)
    require_bounds(*bounds)
    if not low <= start.value <= high:
        raise InputError(
            f"the start at {family.parameter} = {start.value:g} is outside of {low:g} to {high:g}"
        )
    longest = (high - low) / 20
    step = longest / 4
    u = np.append(family.Q.T @ start.state, start.value)
    t = tangent(family, u, np.append(family.Q.T @ start.heading[:-1], start.heading[-1]))
    places, singular, end = [curve_point(family, u, t)], [], f"{points} points"
    while len(places) < points:
        u, t, step = next_point(family, u, t, step, longest)
        if out := not low <= u[-1] <= high:
            bound = low if u[-1] < low else high
            u = clip_to_bound(family, places[-1].u, u, bound)
            verb = "left" if u[-1] == bound else "stopped"
        places.append(curve_point(family, u, t))
        if is_event(places[-2], places[-1]):
            singular += distinct(crossings(family, places[-2], places[-1]))
        if progress:
            progress(abs(float(u[-1]) - bounds[0]), high - low)
        if out:
            end = f"{verb} at {family.parameter} = {u[-1]:.9g}"
            break
        if len(places) > 8 and np.linalg.norm(u - places[0].u) < 0.8 * np.linalg.norm(u - places[-2].u):
            end = "closed"
            break
    values = np.array([p.u[-1] for p in places])
    states = np.array([family.x(p.u[:-1]) for p in places])
    energies = np.array([float(family.at(l).energy(x)) for l, x in zip(values, states, strict=True)])
    return Branch(values, states, energies, np.array([p.index for p in places]), tuple(singular), end)


def require_bounds(first: float, last: float) -> None:
    """InputError unless the two bounds are finite and differ."""
    if not (np.isfinite([first, last]).all() and first != last):
        raise InputError(
            f"`first` {first:g}, `last` {last:g}: two different finite numbers are needed",
            field=("first", "last"),
        )


def curve(family: Family, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G and its derivative (H, G_l)."""
    z, value = u[:-1], u[-1]
    return family.gradient(z, value), np.column_stack(
        [family.hessian(z, value), family.gradient_slope(z, value)]
    )


def curve_point(family: Family, u: np.ndarray, t: np.ndarray) -> CurvePoint:
    """A point of the curve with its tangent's part along l, and the index of the equilibrium there."""
    eigenvalues = np.linalg.eigvalsh(family.hessian(u[:-1], u[-1])) / family.scale
    nullity = int((np.abs(eigenvalues) <= TOLERANCE).sum())
    return CurvePoint(u, int((eigenvalues < -ROUNDING).sum()), nullity, float(t[-1]))


def tangent(family: Family, u: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """The unit vector along the curve nearest to a direction, at a start where several curves meet too."""
    _, s, Vt = np.linalg.svd(curve(family, u)[1])
    rank = int((s > 1e-7 * family.scale).sum())
    null = Vt[min(rank, len(u) - 1) :]
    t = null.T @ (null @ toward)
    if np.linalg.norm(t) < 1e-12 * np.linalg.norm(toward):
        t = null[-1]
    return t / np.linalg.norm(t)


def correct_point(family: Family, guess: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, float]:
    """(u, Newton's last correction): the point of the curve on the plane through the guess, normal to t."""

    def equations(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, J = curve(family, u)
        return np.append(r, t @ (u - guess)), np.vstack([J, t])

    return newton(equations, guess, steps=10)


def next_point(family: Family, u: np.ndarray, t: np.ndarray, step: float, longest: float):
    """The next point, its tangent, and the step to try after it; ConvergenceError where steps become too short."""
    while step > 1e-9 * longest:
        new, error = correct_point(family, u + step * t, t)
        moved = np.linalg.norm(new - u)
        if error <= SOLVED * (1 + np.linalg.norm(new)) and moved < 2 * step:
            turned = tangent(family, new, t)
            if turned @ t >= TURN:
                return new, turned, min(1.4 * step, longest)
        step /= 2
    raise ConvergenceError(f"the curve is lost at {family.parameter} = {u[-1]:.9g}: no step converges")


def clip_to_bound(family: Family, inside: np.ndarray, outside: np.ndarray, bound: float) -> np.ndarray:
    """The point of the curve at the bound of the parameter, between the two; or the last one found before it."""
    for _ in range(60):
        gap = np.linalg.norm(outside - inside)
        share = (bound - inside[-1]) / (outside[-1] - inside[-1])
        z = (inside + share * (outside - inside))[:-1]
        states, residual = refine_states(family.at(bound), family.x(z)[None])
        found = family.Q.T @ states[0]
        if residual[0] <= SOLVED * family.scale and np.linalg.norm(found - z) <= gap:
            return np.append(found, bound)
        middle, error = correct_point(family, (inside + outside) / 2, (outside - inside) / gap)
        if gap < CLOSE or error > SOLVED * (1 + np.linalg.norm(middle)):
            break
        if (middle[-1] - bound) * (inside[-1] - bound) > 0:
            inside = middle
        else:
            outside = middle
    return inside


def is_event(a: CurvePoint, b: CurvePoint) -> bool:
    """Whether the index changes by more than zero eigenvalues explain, or dl/ds changes its sign."""
    return abs(a.index - b.index) > min(a.nullity, b.nullity) or a.rate * b.rate < -(TURNING**2)


def crossings(family: Family, a: CurvePoint, b: CurvePoint) -> list[SingularPoint]:
    """The singular points between two places of the curve: where the index changes, and where the parameter turns."""
    modes, turned = abs(a.index - b.index), a.rate * b.rate < 0
    if not (modes or turned):
        return []
    gap = np.linalg.norm(b.u - a.u)
    if gap > (CLOSE if modes > 1 else NEAR if modes else NEARER):
        t = (b.u - a.u) / gap
        u, _ = correct_point(family, (a.u + b.u) / 2, t)
        if np.linalg.norm(u - a.u) + np.linalg.norm(u - b.u) < 2 * gap:
            middle = curve_point(family, u, tangent(family, u, t))
            return crossings(family, a, middle) + crossings(family, middle, b)
    z, value = (a.u + b.u)[:-1] / 2, float((a.u + b.u)[-1] / 2)
    try:
        if modes > 1:
            raise InputError(
                f"{modes} modes cross at once at {family.parameter} = {value:.9g}: a kernel that is not simple"
            )
        point = singular_point(family, family.x(z), value)
        if abs(point.value - value) > REACH * (1 + abs(value)):
            raise ConvergenceError(f"no singular point near {family.parameter} = {value:.9g}")
        return [point]
    except (InputError, ConvergenceError) as error:
        eigenvalues, vectors = np.linalg.eigh(family.hessian(z, value))
        v = vectors[:, int(np.abs(eigenvalues).argmin())]
        note = f"{'the parameter turns; ' if turned else ''}{error}"
        return [SingularPoint("refused", value, float(gap), family.x(z), family.Q @ v, note)]


def distinct(points: list[SingularPoint]) -> list[SingularPoint]:
    """Points of one step without those that bisection met twice, as it does where it ends on one of them."""
    kept: list[SingularPoint] = []
    for point in sorted(points, key=lambda p: p.kind == "refused"):
        if not any(
            abs(point.value - p.value) <= NEAR and np.abs(point.state - p.state).max() <= REACH for p in kept
        ):
            kept.append(point)
    return [point for point in points if any(point is p for p in kept)]
