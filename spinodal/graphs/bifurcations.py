r"""Singular points of equilibria in one parameter: folds, transcritical points, pitchforks, and others.

With v the kernel of H on 1-perp, |v| = 1, and l the parameter, an equilibrium with Hv = 0 and simple kernel is

    fold           v.G_l != 0,  D^3E[v,v,v] != 0
    transcritical  v.G_l  = 0,  D^3E[v,v,v] != 0
    pitchfork      v.G_l  = 0,  D^3E[v,v,v]  = 0,  q != 0;   supercritical (stable branches appear) where q > 0
    q = D^4E[v,v,v,v] - 3 p.H^+ p,   p = D^3E[v] v

Anything else, a kernel of dimension two above all, is refused: its name would need more than this. The
article [preetham2023] has second derivatives by each coordinate in place of H, which find neither folds nor
only folds in coupled systems (`stability.coordinate_curvatures`); this is the repaired form [derived].

Folds are roots of Moore and Spence's system, branch points of its extension by one unknown c:

    fold    (G, Hv, |v|^2 - 1) (z, v, l) = 0
    branch  (G + c v, Hv, v.G_l, |v|^2 - 1) (z, v, l, c) = 0,  c = 0 at the root

both regular there, so that Newton's method finds them to rounding.

    symbol  meaning                                     shape
    z       coordinates of the state on 1-perp, x = Qz  k
    G, H    gradient and Hessian of the energy in z     k, k k
    G_l     dG/dl                                       k
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError, InputError
from spinodal.graphs.energy import System
from spinodal.graphs.stability import TOLERANCE

GENERIC = 1e-5  # derivatives above this, relative, are not zero
TRANSVERSAL = 1e-2  # |v.G_l| / |G_l| above which a point near a singular one belongs to a fold
DIGITS = 1e-9  # the last correction of a root that has converged, relative

Kind = Literal["fold", "transcritical", "pitchfork", "refused"]


class SingularPoint(NamedTuple):
    """An equilibrium whose Hessian has a zero eigenvalue, at the parameter `value`, known up to `error`.

    `kernel` is the eigenvector. `note` says sub- or supercritical for a pitchfork, or why the point has no name.
    """

    kind: Kind
    value: float
    error: float
    state: Float[np.ndarray, " n"]
    kernel: Float[np.ndarray, " n"]
    note: str


class Family:
    """A system whose energy depends on one free parameter.

    The parameter is one of the coupling, "mu" (which multiplies the drive) or "gamma" (which multiplies the stiffness).
    """

    def __init__(self, system: System, parameter: str):
        self.system, self.parameter = system, parameter
        self.Q, self.scale = system.basis, system.scale
        self.linear = parameter in ("mu", "gamma")
        # Newton's method asks for the same value several times
        self.known = functools.lru_cache(maxsize=4)(lambda value: system.with_parameter(parameter, value))
        self.at(1.0)  # an unknown name shows now
        self.constant = system.sensitivity(parameter) if self.linear else None

    def at(self, value: float) -> System:
        return self.known(float(value))

    def slope(self, value: float) -> System:
        """dE/dl as an energy."""
        return self.constant or self.at(value).sensitivity(self.parameter)

    def bend(self, value: float) -> System | None:
        """d^2E/dl^2 as an energy; None where it is zero."""
        return None if self.linear else self.slope(value).sensitivity(self.parameter)

    def x(self, z: Float[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        return self.Q @ z

    def gradient(self, z: Float[np.ndarray, " k"], value: float) -> Float[np.ndarray, " k"]:
        return self.Q.T @ self.at(value).gradient(self.x(z))

    def hessian(self, z: Float[np.ndarray, " k"], value: float) -> Float[np.ndarray, "k k"]:
        return self.Q.T @ self.at(value).hessian(self.x(z)) @ self.Q

    def gradient_slope(self, z: Float[np.ndarray, " k"], value: float) -> Float[np.ndarray, " k"]:
        return self.Q.T @ self.slope(value).gradient(self.x(z))

    def hessian_slope(self, z: Float[np.ndarray, " k"], value: float) -> Float[np.ndarray, "k k"]:
        return self.Q.T @ self.slope(value).hessian(self.x(z)) @ self.Q

    def third(
        self, z: Float[np.ndarray, " k"], value: float, v: Float[np.ndarray, " k"]
    ) -> Float[np.ndarray, "k k"]:
        """D^3E[v]."""
        return self.Q.T @ self.at(value).third(self.x(z), self.Q @ v) @ self.Q


def newton(
    equations: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    u: Float[np.ndarray, " k"],
    *,
    steps: int = 25,
) -> tuple[Float[np.ndarray, " k"], float]:
    """The root near u of equations(u) = (residual, Jacobian), and its last correction (inf: diverged)."""
    size = np.inf
    for _ in range(steps):
        r, J = equations(u)
        if not (np.isfinite(r).all() and np.isfinite(J).all()):
            return u, np.inf
        step = np.linalg.lstsq(J, r, rcond=1e-14)[0]
        u = u - step
        last, size = size, float(np.linalg.norm(step))
        if size <= 1e-14 * (1 + np.linalg.norm(u)) or (size < 1e-9 and size >= last):
            break
    return u, size


def singular_point(family: Family, x: Float[np.ndarray, " n"], value: float) -> SingularPoint:
    """grad E = 0 and H v = 0 near (x, value), named fold, transcritical or pitchfork  [derived].

    Newton's method locates the singular equilibrium; derivatives of the energy along v classify it. InputError where
    the kernel is not simple or a derivative that decides the name vanishes; ConvergenceError where no singular point is
    near.
    """
    z = family.Q.T @ x
    eigenvalues, vectors = np.linalg.eigh(family.hessian(z, value))
    v = vectors[:, np.abs(eigenvalues).argmin()]
    slope = family.gradient_slope(z, value)
    fold = (
        abs(v @ slope) > TRANSVERSAL * np.linalg.norm(slope)
        and np.linalg.norm(slope) > GENERIC * family.scale
    )
    k = len(z)
    if fold:
        u, error = newton(lambda u: moore_spence(family, u), np.concatenate([z, v, [value]]))
    else:
        u, error = newton(lambda u: branch_system(family, u), np.concatenate([z, v, [value, 0.0]]))
    z, v, value = u[:k], u[k : 2 * k] / np.linalg.norm(u[k : 2 * k]), float(u[2 * k])
    corank = int((np.abs(np.linalg.eigvalsh(family.hessian(z, value))) <= TOLERANCE * family.scale).sum())
    if corank > 1:
        raise InputError(
            f"{corank} modes cross at once at {family.parameter} = {value:.9g}: a kernel that is not simple"
        )
    if error > DIGITS * (1 + np.linalg.norm(u)) or (not fold and abs(u[-1]) > DIGITS * family.scale):
        raise ConvergenceError(
            f"no singular point near {family.parameter} = {value:.9g}; the last step was {error:.3g}"
        )
    kind, note = (
        ("fold", classify_fold(family, z, value, v)) if fold else classify_branch(family, z, value, v)
    )
    return SingularPoint(kind, value, error, family.x(z), family.Q @ v, note)


def moore_spence(family: Family, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G, Hv, |v|^2 - 1) and its derivative, whose root (z, v, l) is a fold."""
    k = (len(u) - 1) // 2
    z, v, value = u[:k], u[k : 2 * k], u[-1]
    H, O = family.hessian(z, value), np.zeros((k, k))
    r = np.concatenate([family.gradient(z, value), H @ v, [v @ v - 1]])
    J = np.block([
        [H, O, family.gradient_slope(z, value)[:, None]],
        [family.third(z, value, v), H, (family.hessian_slope(z, value) @ v)[:, None]],
        [np.zeros((1, k)), 2 * v[None], np.zeros((1, 1))],
    ])  # fmt: skip
    return r, J


def branch_system(family: Family, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G + c v, Hv, v.G_l, |v|^2 - 1) and its derivative, whose root (z, v, l, c) is a branch point."""
    k = (len(u) - 2) // 2
    z, v, value, c = u[:k], u[k : 2 * k], u[-2], u[-1]
    H, G_l, H_l = family.hessian(z, value), family.gradient_slope(z, value), family.hessian_slope(z, value)
    bend = family.bend(value)
    G_ll = np.zeros(k) if bend is None else family.Q.T @ bend.gradient(family.x(z))
    column, row, nothing = (lambda w: w[:, None]), (lambda w: w[None]), np.zeros((1, 1))
    r = np.concatenate([family.gradient(z, value) + c * v, H @ v, [v @ G_l, v @ v - 1]])
    J = np.block([
        [H, c * np.eye(k), column(G_l), column(v)],
        [family.third(z, value, v), H, column(H_l @ v), np.zeros((k, 1))],
        [row(H_l @ v), row(G_l), np.array([[v @ G_ll]]), nothing],
        [np.zeros((1, k)), row(2 * v), nothing, nothing],
    ])  # fmt: skip
    return r, J


def classify_fold(family: Family, z: np.ndarray, value: float, v: np.ndarray) -> str:
    """The note on a fold, which is empty; InputError where D^3E[v,v,v] = 0, a cusp or worse."""
    if abs(v @ family.third(z, value, v) @ v) <= GENERIC * family.scale:
        raise InputError(f"D^3E[v,v,v] = 0 at the fold at {family.parameter} = {value:.9g}: a cusp or worse")
    return ""


def classify_branch(family: Family, z: np.ndarray, value: float, v: np.ndarray) -> tuple[Kind, str]:
    """(kind, note) where v.G_l = 0, by the reduced energy a u^3 / 6 + q u^4 / 24 + c (l - value) u^2 / 2."""
    H, T = family.hessian(z, value), family.third(z, value, v)
    eigenvalues, vectors = np.linalg.eigh(H)
    inverse = np.where(np.abs(eigenvalues) > TOLERANCE * family.scale, eigenvalues, np.inf)
    p, along = T @ v, family.gradient_slope(z, value)
    a = v @ p
    q = family.at(value).fourth(family.x(z), family.Q @ v) - 3 * ((vectors.T @ p) ** 2 / inverse).sum()
    c = v @ family.hessian_slope(z, value) @ v - p @ vectors @ ((vectors.T @ along) / inverse)
    where = f"at {family.parameter} = {value:.9g}"
    if abs(c) <= GENERIC * family.scale:
        raise InputError(f"the eigenvalue does not cross zero {where}, it touches it")
    if abs(a) > GENERIC * family.scale:
        return "transcritical", ""
    if abs(q) <= GENERIC * family.scale:
        raise InputError(f"the reduced energy has no fourth power {where}: a degenerate branch point")
    return "pitchfork", "supercritical" if q > 0 else "subcritical"
