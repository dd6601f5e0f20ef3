r"""The mean-field equation along its own characteristics: d_t mu + div(mu X[mu]) = 0, on the circle and zonal.

Circle: a point is an angle theta, the field comes from the engines of `flows`, O(n).
Zonal on S^{d-1}: a point is a latitude phi, the angle from the axis, and stands for a ring of the sphere.
The kernel averaged over two rings is sum_k N_k a_k P_k(cos phi) P_k(cos phi'), so that

    Z = sum_k N_k a_k m_k P_k(cos phi),   m_k = sum_j w_j P_k(cos phi_j),
    dphi/dt = (1/Z) sum_k N_k (a_k / beta) m_k d/dphi P_k(cos phi),
    P_k' = k (k+d-2) / (d-1) P_{k-1} of dimension d + 2.

Both are resolved by `panels` for as long as there is a density, and are plain tokens afterwards.
"""

import numpy as np
from jaxtyping import Complex, Float

from spinodal.errors import ConvergenceError, InputError
from spinodal.flows import probe_array
from spinodal.meanfield.kernel import DriftLaw, spectrum
from spinodal.meanfield.modes import CircleModes, Start, ZonalModes
from spinodal.meanfield.panels import (
    GAUSS,
    TINY,
    Line,
    atoms_only,
    inversion,
    merge_atoms,
    panel_rule,
    refine_line,
    resolved_line,
    stretches,
    uniform_panels,
)
from spinodal.meanfield.rings import ring_area, ring_moments, ring_sums
from spinodal.meanfield.solver import core_width
from spinodal.meanfield.steps import step

EPS = float(np.finfo(float).eps)


class Lagrangian:
    """dy/dt = X[mu](y) of points that carry a density on a line  [derived].

    `advance` takes one step, not beyond a time; `tolerance` bounds the error of a step in W2. Panels split where the
    map from labels to positions bends, and become atoms where they contract; `density` is what they still resolve.
    `probes` [m d] are unit vectors without mass, which X carries along, each to the tolerance of a step.
    """

    def __init__(
        self,
        flow: DriftLaw,
        start: Start | Line,
        *,
        tolerance: float = 1e-8,
        probes: Float[np.ndarray, "m d"] | None = None,
    ):
        self.flow, self.time, self.tolerance = flow, 0.0, tolerance
        self.first_probes = None if probes is None else probe_array(probes, flow.d)
        self.carried = np.empty(0) if self.first_probes is None else self.coordinates(self.first_probes)
        self.rule = panel_rule(tolerance, flow.beta)
        self.start = start if isinstance(start, Start) else None
        self.line = start if isinstance(start, Line) else uniform_panels(self.mass, self.ends, self.rule)
        self._rate: Float[np.ndarray, " n"] | None = None
        self._try = 1e-3

    geometry: str
    ends: tuple[float, float]
    period: float | None

    def velocity(
        self, points: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        raise NotImplementedError

    def coordinates(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " m"]:
        """The coordinates of unit vectors on the line: angles or latitudes."""
        raise NotImplementedError

    @property
    def probes(self) -> Float[np.ndarray, "m d"] | None:
        raise NotImplementedError

    def resolved_line(self, degree: int) -> Line:
        """Panels that integrate harmonics up to this degree; the solver's own may be too long for high ones."""
        return resolved_line(self.line, self.mass, degree)

    def moments(self, top: int) -> Complex[np.ndarray, " k"] | Float[np.ndarray, " k"]:
        """m_0 = 1, m_1, ..., m_top."""
        raise NotImplementedError

    def area(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The density of the uniform probability in the coordinate."""
        raise NotImplementedError

    def mass(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The density of the start's mass in the label; 0 if the start has atoms alone."""
        return self.area(at) * self.start.density(at) if self.start else np.zeros_like(at)

    def masses(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        return self.points, self.weights

    def tokens(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]] | None:
        return None

    def width(self, m: np.ndarray) -> float:
        raise NotImplementedError

    def map_tail(self) -> float | None:
        return None

    def total_mass(self) -> float:
        return float(self.weights.sum())

    def least_density(self) -> float:
        return float(self.density()[1].min(initial=np.inf)) if not self.diracs else np.nan

    def inversion(self) -> float:
        return inversion(self.line)

    @property
    def points(self) -> Float[np.ndarray, " n"]:
        return self.line.points

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        return self.line.weights

    @property
    def diracs(self) -> bool:
        """True when no panel is left."""
        return not len(self.line.y)

    @property
    def consensus(self) -> bool:
        return self.diracs and len(self.line.atoms) == 1

    def density(self) -> tuple[Float[np.ndarray, "m g"], Float[np.ndarray, "m g"]]:
        """(y, rho / uniform) at the nodes of all panels: rho = rho_0(a) area(a) / (area(y) dy/da). Atoms have none."""
        line = self.line
        mass = 2 * line.w / (GAUSS * (line.right - line.left)[:, None])
        room = self.area(line.y) * stretches(line)
        return line.y, np.divide(mass, room, out=np.full_like(mass, np.inf), where=room > 0)

    def advance(self, until: float) -> None:
        """One step, not beyond `until`; then panels split and collapse, atoms merge."""
        n = len(self.weights)
        weights = np.append(self.weights, np.zeros(len(self.carried)))
        points = np.append(self.points, self.carried)
        if self._rate is None:
            self._rate = self.velocity(points, weights)

        def size(e: Float[np.ndarray, " n"]) -> float:
            far = max(
                np.abs(e).max() / np.sqrt(self.tolerance), np.abs(e[n:]).max(initial=0) / self.tolerance
            )
            return max(float(np.sqrt(weights @ (e * e))) / self.tolerance, float(far))

        rest = until - self.time
        done = step(lambda y: self.velocity(y, weights), points, self._rate, min(self._try, rest), size)
        self.time = until if done.taken >= rest else self.time + done.taken
        # a step cut short by `until` says little about the next
        self._try = max(done.following, self._try) if done.taken >= rest else done.following
        moved, self.carried = self.line.moved_to(done.y[:n]), done.y[n:]
        self.line = merge_atoms(refine_line(moved, self.mass, self.rule), self.rule, self.period)
        self._rate = done.rate if self.line is moved else None


class Circle(Lagrangian):
    """dtheta/dt = X[mu](theta) on S^1.

    Solves for a density on the circle past the birth of Diracs. Positions are angles and keep their winding number.
    """

    geometry, ends, period = "circle", (0.0, 2 * np.pi), 2 * np.pi

    def __init__(
        self,
        flow: DriftLaw,
        start: CircleModes | Line,
        *,
        tolerance: float = 1e-8,
        probes: Float[np.ndarray, "m 2"] | None = None,
    ):
        if flow.d != 2:
            raise InputError(f"d = {flow.d}: the circle has d = 2; use Zonal or Sphere")
        super().__init__(flow, start, tolerance=tolerance, probes=probes)

    def coordinates(self, x: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " m"]:
        return np.arctan2(x[:, 1], x[:, 0])

    @property
    def probes(self) -> Float[np.ndarray, "m 2"] | None:
        return None if self.first_probes is None else unit_vectors(self.carried)

    def area(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return np.full_like(at, 1 / (2 * np.pi))

    def velocity(
        self, points: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """dtheta/dt of all points, by the fastest engine."""
        x = unit_vectors(points)
        v = self.flow.drift(x, weights)
        return x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0]

    def moments(self, top: int) -> Complex[np.ndarray, " k"]:
        """m_k = sum_j w_j e^{ik theta_j}, k = 0..top."""
        line = self.resolved_line(top)
        turn = np.exp(1j * line.points)
        power = line.weights.astype(complex)
        m = np.empty(top + 1, complex)
        for k in range(top + 1):
            m[k] = power.sum()
            power *= turn
        return m

    def tokens(self) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """Unit vectors and weights: what `spinodal.flows` takes, exact once only atoms are left."""
        return unit_vectors(self.points), self.weights

    def width(self, m: np.ndarray) -> float:
        return core_width(2 * np.abs(np.sin((self.points - np.angle(m[1])) / 2)), self.weights)


class Zonal(Lagrangian):
    """dphi/dt = X[mu](phi) on S^{d-1}, latitudes phi in [0, pi], d >= 2.

    Solves for a density that is symmetric about an axis, past the birth of Diracs. For `probes` the axis is e_d; they
    stay on their meridians.
    """

    geometry, ends, period = "zonal", (0.0, np.pi), None

    def __init__(
        self,
        flow: DriftLaw,
        start: ZonalModes | Line,
        *,
        tolerance: float = 1e-8,
        probes: Float[np.ndarray, "m d"] | None = None,
    ):
        super().__init__(flow, start, tolerance=tolerance, probes=probes)

    def coordinates(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " m"]:
        return np.arctan2(np.linalg.norm(x[:, :-1], axis=1), x[:, -1])

    @property
    def probes(self) -> Float[np.ndarray, "m d"] | None:
        if self.first_probes is None:
            return None
        aside = self.first_probes[:, :-1]
        aside = aside / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), TINY)
        return np.column_stack([np.sin(self.carried)[:, None] * aside, np.cos(self.carried)])

    def area(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return ring_area(at, self.flow.d)

    def velocity(
        self, points: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """dphi/dt; ConvergenceError where the rounding error of Z exceeds the tolerance."""
        flow = self.flow
        s = spectrum(flow.d, flow.beta)
        u, sine = np.cos(points), np.sin(points)
        m = ring_moments(u, weights, len(s.a), flow.d)
        Z, slope = ring_sums(u, s.N * s.a * m, s.N * s.slope * m, flow.d)
        noise = 8 * EPS * np.sqrt(len(s.a))
        if flow.law.clock is not None:
            return -flow.value * flow.law.clock * sine * slope
        share = noise / np.maximum(Z, noise)
        lost = float(max(weights @ share, share[len(self.weights) :].max(initial=0)))
        if lost > max(self.tolerance, 1e-8):
            raise ConvergenceError(
                f"at t = {self.time:g} rounding of Z costs {lost:.1g} of the mass, or a probe, its direction, more "
                f"than the tolerance {self.tolerance:g}: in d = {flow.d} a ring of beta = {flow.beta:g} sees too "
                "little of itself. Use a lower beta, a larger tolerance, or the field 'gkpr'"
            )
        return -flow.value * sine * slope / np.maximum(Z, noise)

    def moments(self, top: int) -> Float[np.ndarray, " k"]:
        """m_k = sum_j w_j P_k(cos phi_j), k = 0..top."""
        line = self.resolved_line(top)
        return ring_moments(np.cos(line.points), line.weights, top + 1, self.flow.d)

    def width(self, m: np.ndarray) -> float:
        half = self.points / 2
        return core_width(2 * np.abs(np.sin(half) if m[1] >= 0 else np.cos(half)), self.weights)


def unit_vectors(angles: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def tokens(
    flow: DriftLaw,
    points: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    *,
    tolerance: float = 1e-8,
) -> Circle:
    """Weighted tokens on the circle, as a density of atoms alone.

    Builds the solver of densities for finitely many angles [n] and weights [n].
    """
    return Circle(flow, atoms_only(points, weights), tolerance=tolerance)
