r"""The energy of a state on a graph, its force and its curvature.

    E(x) = sum_j Phi_j(x_j) + 1/2 sum_jk a_jk F(x_k - x_j),      x' = -grad E
    Phi_j(x) = gamma_j G(x - v_j) - b_j x

The sum over pairs is a sum over edges, each once. With Phi = 0 this is x_i' = sum_j a_ij f(x_j - x_i):
E does not see translations, sum_i x_i is conserved, and x -> -x maps orbits to orbits as f is odd.
The derivative of E with respect to a parameter is an energy of the same form.

The formulas of the article [preetham2023] are not available: these are reconstructions.

    symbol       meaning                                               shape
    a            weights of the edges                                  e
    y            differences along the edges, B^T x                    e
    gamma, v, b  stiffness and centre of the anchors, drive            n
    G            potential of the anchors, x^2/2 if not given
    H            Hessian, L_{f'(y)} without anchors                    n n
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Num

from spinodal.errors import InputError
from spinodal.graphs.couplings import Coupling, coupling
from spinodal.graphs.files import named_graph
from spinodal.graphs.graph import Graph
from spinodal.graphs.states import real_states

IDENTITY = coupling("identity")


@dataclass(frozen=True, eq=False)
class OnSite:
    """Phi_j(x) = gamma_j G(x - v_j) - b_j x.

    The potential of each vertex by itself: an anchor of stiffness gamma that pulls towards v by an odd force, and a
    constant drive b.
    """

    stiffness: Float[np.ndarray, " n"]  # gamma
    centre: Float[np.ndarray, " n"]  # v
    drive: Float[np.ndarray, " n"]  # b
    pull: Coupling = IDENTITY  # G', the odd force of the anchors

    def __post_init__(self):
        for name in ("stiffness", "centre", "drive"):
            if not np.isfinite(values := getattr(self, name)).all():
                wrong = values[~np.isfinite(values)][0]
                raise InputError(f"`{name}` holds {wrong}: finite numbers are needed", field=name)
        if (self.stiffness < 0).any():
            raise InputError(
                f"`stiffness` {self.stiffness.min():g} is negative: an anchor pulls, it does not push",
                field="stiffness",
            )


def onsite(
    n: int,
    *,
    stiffness: float | Float[np.ndarray, " _"] = 0.0,
    centre: float | Float[np.ndarray, " _"] = 0.0,
    drive: float | Float[np.ndarray, " _"] = 0.0,
) -> OnSite:
    """Phi of n vertices; one number stands for all of them.

    Builds the on-site potential from stiffness, centre and drive, each a number or an array [n].
    """
    given = {"stiffness": stiffness, "centre": centre, "drive": drive}
    for name, value in given.items():
        if np.shape(value) not in ((), (n,)):
            raise InputError(
                f"`{name}` has shape {np.shape(value)}: one number, or {n}, one a vertex", field=name
            )
    spread = {name: np.broadcast_to(np.asarray(v, float), (n,)).copy() for name, v in given.items()}
    return OnSite(spread["stiffness"], spread["centre"], spread["drive"])


@dataclass(frozen=True, eq=False)
class System:
    """E(x) = sum_e a_e F(y_e) + sum_j Phi_j(x_j), y_e = x_head - x_tail  [derived, row 3 of docs/graphs.md].

    A graph, the coupling along its edges and, if there is one, an on-site potential: all that the energy depends on.
    States may be any real numbers, whole or of single precision: what is computed of them is in double precision.
    """

    graph: Graph  # its edges, and their weights a
    coupling: Coupling  # f = F'
    onsite: OnSite | None = None  # Phi, None for no potential

    def __post_init__(self):
        if self.onsite is not None and len(self.onsite.drive) != self.graph.n:
            raise InputError(f"{self.graph.n} vertices, and an on-site part of {len(self.onsite.drive)}")

    def energy(self, x: Num[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b"]:
        """E(x) = sum_e a_e F(y_e) + sum_j Phi_j(x_j)  [derived, row 3 of docs/graphs.md]."""
        x = real_states(x, self.graph.n)
        E = self.edgewise(x, -1).sum(-1)
        if (s := self.onsite) is not None:
            E = E + (s.stiffness * s.pull(x - s.centre, -1) - s.drive * x).sum(-1)
        return np.asarray(E)

    def gradient(self, x: Num[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b n"]:
        """grad E = B (a f(y)) + Phi'(x); without Phi it vanishes where a f(y) is a circulation."""
        x = real_states(x, self.graph.n)
        g = self.graph.divergence(self.edgewise(x, 0))
        if (s := self.onsite) is not None:
            g = g + s.stiffness * s.pull(x - s.centre) - s.drive
        return g

    def force(self, x: Num[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b n"]:
        """-grad E = sum_j a_ij f(x_j - x_i) - Phi_i'(x_i)."""
        return -self.gradient(x)

    def hessian(self, x: Num[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b n n"]:
        """H = L_{a f'(y)} + diag(Phi''), dense."""
        x = real_states(x, self.graph.n)
        H = self.graph.laplacian(self.edgewise(x, 1))
        if (s := self.onsite) is not None:
            diagonal = np.arange(self.graph.n)
            H[..., diagonal, diagonal] += s.stiffness * s.pull(x - s.centre, 1)
        return H

    def third(self, x: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
        """D^3E[v], the derivative of H along v."""
        T = self.graph.laplacian(self.edgewise(x, 2) * self.graph.differences(v))
        if (s := self.onsite) is not None:
            T = T + np.diag(s.stiffness * s.pull(x - s.centre, 2) * v)
        return T

    def fourth(self, x: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> float:
        """D^4E[v, v, v, v]."""
        total = (self.edgewise(x, 3) * self.graph.differences(v) ** 4).sum()
        if (s := self.onsite) is not None:
            total = total + (s.stiffness * s.pull(x - s.centre, 3) * v**4).sum()
        return float(total)

    def edgewise(self, x: Num[np.ndarray, "*b n"], order: int) -> Float[np.ndarray, "*b e"]:
        """a_e times the derivative of f at y_e of an order; -1 is the potential."""
        return self.graph.weights * np.asarray(self.coupling(self.graph.differences(x), order))

    @property
    def free(self) -> bool:
        """Whether there is neither anchor nor drive, so that the energy depends on differences alone."""
        return self.onsite is None or not (self.onsite.stiffness.any() or self.onsite.drive.any())

    @cached_property
    def floating(self) -> list[int]:
        """The numbers of the components without an anchor, whose translations leave grad E unchanged."""
        held = set() if self.onsite is None else set(self.graph.components[self.onsite.stiffness > 0])
        return sorted(set(self.graph.components.tolist()) - held)

    @cached_property
    def basis(self) -> Float[np.ndarray, "n k"]:
        """Orthonormal columns that span what is left when translations are taken out: 1-perp, of every component."""
        if not self.floating:
            return np.eye(self.graph.n)
        return np.linalg.qr(self.translations, mode="complete")[0][:, len(self.floating) :]

    @property
    def translations(self) -> Float[np.ndarray, "n k"]:
        """Orthonormal columns that move one floating component each."""
        columns = np.stack([self.graph.components == c for c in self.floating] or [np.zeros(0)], 1)
        columns = columns.reshape(self.graph.n, len(self.floating)).astype(float)
        return columns / np.sqrt(columns.sum(0))

    @cached_property
    def scale(self) -> float:
        """A typical eigenvalue of H, to which tolerances are relative."""
        reach = self.graph.degrees.max() * self.coupling.slope_bound(1.0)
        return float(max(reach, 0.0 if self.onsite is None else self.onsite.stiffness.max())) or 1.0

    def curvature_bound(self, radius: float = np.inf) -> float:
        """L = sup|f'| lambda_max(L_a) + sup Phi'' for |y|, |x - v| <= radius; Euler descends with steps below 2 / L."""
        slope = self.coupling.slope_bound(radius)
        pull = 0.0
        if (s := self.onsite) is not None and s.stiffness.any():
            pull = float(s.stiffness.max()) * s.pull.slope_bound(radius)
        return slope * self.graph.largest_eigenvalue + pull if self.graph.m else pull

    def with_parameter(self, name: str, value: float) -> "System":
        """The same system where one parameter has this value: a parameter of the coupling f, or mu or gamma.

        "mu" multiplies the drive of every vertex, "gamma" the stiffness of its anchor. InputError for another name.
        """
        if name not in ("mu", "gamma"):
            return replace(self, coupling=self.coupling.at(**{name: value}))
        s = self.require_onsite(name)
        if name == "mu":
            return replace(self, onsite=replace(s, drive=value * s.drive))
        return replace(self, onsite=replace(s, stiffness=value * s.stiffness))

    def sensitivity(self, name: str) -> "System":
        """The system whose energy is dE/d(name), E as `with_parameter` has it."""
        if name not in ("mu", "gamma"):
            return System(self.graph, self.coupling.sensitivity(name))
        s = self.require_onsite(name)
        zero = np.zeros(self.graph.n)
        part = replace(s, stiffness=zero) if name == "mu" else replace(s, drive=zero)
        return System(self.graph, Coupling("0"), part)

    def require_onsite(self, name: str) -> OnSite:
        what = {"mu": "drive", "gamma": "stiffness"}[name]
        if self.onsite is None or not getattr(self.onsite, what).any():
            raise InputError(f"{name} scales the {what}, and there is none: `{what}` gives one", field=what)
        return self.onsite


def build_system(
    graph: Graph | str,
    f: Coupling | str = "sin",
    *,
    stiffness: float | Float[np.ndarray, " _"] = 0.0,
    drive: float | Float[np.ndarray, " _"] = 0.0,
) -> System:
    """E(x) = sum_e a_e F(y_e) + sum_j Phi_j(x_j) from names  [derived, row 3 of docs/graphs.md].

    The system of a graph and a coupling, each a value or its text (see `named_graph` and `coupling`), with anchors at
    zero and a drive where they are not 0.

    >>> from spinodal import graphs
    >>> graphs.build_system("cycle:3", "y**3 - y").graph.n
    3
    """
    shape = named_graph(graph) if isinstance(graph, str) else graph
    pull = coupling(f) if isinstance(f, str) else f
    system = System(shape, pull, onsite(shape.n, stiffness=stiffness, drive=drive))
    return System(shape, pull) if system.free else system
