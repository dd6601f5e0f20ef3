r"""The mean-field equation in moments: for the linear phase, for noise, and for smooth states.

    d_t rho + div(rho X[rho]) = (1/kappa) Laplacian rho,   m_k = int H_k drho,
    d_t m_k = int <grad H_k, X> drho - k (k+d-2) / kappa m_k,

H_k = e^{ik theta} (Fourier, circle) or P_k(cos phi) (Gegenbauer, zonal on S^{d-1}): Galerkin in the degrees
up to K, integrals on a grid that is exact for products of three. m_0 = 1 is never touched: mass is exact. A
Dirac has |m_k| = 1 for all k: as one forms, the last degrees are no longer small, and the run stops.
"""

import numpy as np
from jaxtyping import Complex, Float
from scipy.integrate import LSODA
from scipy.special import roots_jacobi

from spinodal.errors import ConvergenceError, InputError
from spinodal.meanfield.kernel import DriftLaw, Spectrum, dimensions, spectrum
from spinodal.meanfield.modes import CircleModes, ZonalModes

UNRESOLVED = 1e-4  # root mean square of the density in the last eighth of the degrees


class Eulerian:
    """d_t m_k = int <grad H_k, X> drho - k (k+d-2) / kappa m_k, k <= K: Galerkin's method in harmonics.

    `advance` takes one step of LSODA, stiff or not. ConvergenceError when the last degrees are no longer small.
    """

    geometry: str
    diracs = consensus = False  # a resolved density has no atoms
    probes: None = None

    def __init__(self, flow: DriftLaw, kappa: float, degrees: int, tolerance: float):
        if not kappa > 0:
            raise InputError(f"kappa = {kappa:g}: the noise is 1 / kappa, kappa > 0; inf for none")
        self.flow, self.kappa, self.degrees, self.tolerance = flow, kappa, degrees, tolerance
        self.time = 0.0
        self.N = dimensions(np.arange(degrees + 1), flow.d)
        self._solver: LSODA | None = None

    m: np.ndarray  # m_0 = 1, m_1, ..., m_K
    grid: np.ndarray

    def rates(self, m: np.ndarray) -> np.ndarray:
        """dm/dt of the moments m."""
        raise NotImplementedError

    def values(self) -> Float[np.ndarray, " n"]:
        """The density at the points of the grid, as a multiple of the uniform density."""
        raise NotImplementedError

    def masses(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        raise NotImplementedError

    def tokens(self) -> None:
        return None

    def width(self, m: np.ndarray) -> float:
        return float(np.sqrt(max(0.0, 2 - 2 * abs(m[1]))))

    def map_tail(self) -> None:
        return None

    def inversion(self) -> float:
        return 0.0

    def total_mass(self) -> float:
        return float(abs(self.m[0]))

    def least_density(self) -> float:
        return float(self.values().min())

    def pack(self, m: np.ndarray) -> Float[np.ndarray, " k"]:
        return m[1:].view(float).copy()

    def unpack(self, y: Float[np.ndarray, " k"]) -> np.ndarray:
        return np.append(1.0, np.ascontiguousarray(y).view(self.m.dtype))

    def advance(self, until: float) -> None:
        """One step, not beyond `until`. ConvergenceError when the last degrees are no longer small."""
        if self._solver is None or self._solver.status != "running" or self._solver.t_bound != until:
            self._solver = LSODA(
                lambda _, y: self.pack(self.rates(self.unpack(y))), self.time, self.pack(self.m), until,
                rtol=self.tolerance, atol=1e-6 * self.tolerance,
            )  # fmt: skip
        message = self._solver.step()
        if self._solver.status == "failed":
            raise ConvergenceError(
                f"at t = {self.time:g} the integrator stopped: {message}; raise the tolerance"
            )
        self.time, self.m = float(self._solver.t), self.unpack(self._solver.y)
        self.check()

    @property
    def tail(self) -> float:
        """Root mean square of the density in the last eighth of the degrees."""
        last = slice(-max(1, self.degrees // 8), None)
        return float(np.sqrt(np.sum(self.N[last] * np.abs(self.m[last]) ** 2)))

    def check(self) -> None:
        if self.tail > UNRESOLVED:
            raise ConvergenceError(
                f"at t = {self.time:.6g} the density is no longer resolved by {self.degrees} degrees: the last of "
                f"them hold {self.tail:.1g} of it, and its least value is {self.values().min():.2g}. The Lagrangian "
                "solver follows it into Diracs; with noise, take more degrees"
            )

    def moments(self, top: int) -> np.ndarray:
        """m_0 = 1, m_1, ..., m_top."""
        return np.append(self.m, np.zeros(max(0, top - self.degrees)))[: top + 1]


def required_degrees(start: CircleModes | ZonalModes, degrees: int, s: Spectrum) -> int:
    """The number of degrees to keep: `degrees`, or more if the kernel has more.

    InputError where the start has more degrees than that.
    """
    if start.highest > degrees:
        raise InputError(
            f"the start has degree {start.highest}, beyond the resolution of {degrees} degrees: ask for more, or "
            "use the Lagrangian solver"
        )
    return max(degrees, 2 * len(s.a))


class Fourier(Eulerian):
    """d_t m_k = -int H_k div(mu X[mu]) - (k^2 / kappa) m_k, m_k = int e^{ik theta} dmu, on the circle  [bpa2024].

    Solves for the moments of a smooth density up to degree K = `degrees`, or more where the kernel has more. `kappa`
    is the inverse strength of noise, inf for none; `tolerance` is the relative error of a moment in one step. SA's
    division by Z is done on a grid of 4 K points or more. InputError where the start has more degrees than asked for,
    and for a flow with d other than 2; ConvergenceError, at a step, where K degrees no longer resolve the density.
    """

    geometry = "circle"

    def __init__(
        self,
        flow: DriftLaw,
        start: CircleModes,
        *,
        kappa: float = np.inf,
        degrees: int = 64,
        tolerance: float = 1e-10,
    ):
        if flow.d != 2:
            raise InputError(f"d = {flow.d}: Fourier is for the circle, d = 2; use Gegenbauer")
        s = spectrum(2, flow.beta)
        super().__init__(flow, kappa, required_degrees(start, degrees, s), tolerance)
        self.k = np.arange(self.degrees + 1)
        self.M = 2 ** int(np.ceil(np.log2(4 * self.degrees)))
        self.grid = 2 * np.pi * np.arange(self.M) / self.M
        self.a, self.slope = (np.append(v, np.zeros(self.degrees + 1 - len(v))) for v in (s.a, s.slope))
        self.m = np.zeros(self.degrees + 1, complex)
        self.m[0], self.m[1 : start.highest + 1] = 1.0, start.moments

    def on_grid(self, m: Complex[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        """The function with moments m, at the points of the grid, relative to the uniform density."""
        return np.fft.irfft(m.conj(), self.M) * self.M

    def values(self) -> Float[np.ndarray, " n"]:
        return self.on_grid(self.m)

    def masses(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        return self.grid, self.values() / len(self.grid)

    def rates(self, m: Complex[np.ndarray, " k"]) -> Complex[np.ndarray, " k"]:
        v = self.flow.value * self.on_grid(-1j * self.k * self.slope * m)
        v = v * self.flow.law.clock if self.flow.law.clock is not None else v / self.on_grid(self.a * m)
        moved = np.fft.rfft(self.on_grid(m) * v)[: self.degrees + 1].conj() / self.M
        return 1j * self.k * moved - self.k**2 / self.kappa * m


class Gegenbauer(Eulerian):
    """d_t m_k = -int H_k div(mu X[mu]) - (k (k+d-2) / kappa) m_k, m_k = int P_k(cos phi) dmu, on S^{d-1}  [bpa2024].

    Solves for the moments of a smooth density that is symmetric about an axis, d >= 2, on 2 K Gauss nodes of cos phi.
    `kappa`, `degrees`, `tolerance` and the errors are those of `Fourier`; InputError where the start has another d.
    """

    geometry = "zonal"

    def __init__(
        self,
        flow: DriftLaw,
        start: ZonalModes,
        *,
        kappa: float = np.inf,
        degrees: int = 64,
        tolerance: float = 1e-10,
    ):
        if start.d != flow.d:
            raise InputError(f"the start is on S^{start.d - 1}, the flow on S^{flow.d - 1}: make d the same")
        d, s = flow.d, spectrum(flow.d, flow.beta)
        super().__init__(flow, kappa, required_degrees(start, degrees, s), tolerance)
        K = self.degrees
        u, q = roots_jacobi(2 * K, (d - 3) / 2, (d - 3) / 2)
        self.u, self.q = u, q / q.sum()
        self.grid = np.arccos(u)
        self.P, self.dP = polynomials(u, K + 1, d), np.zeros((K + 1, len(u)))
        k = np.arange(1, K + 1)
        self.dP[1:] = (k * (k + d - 2) / (d - 1))[:, None] * polynomials(u, K, d + 2)
        self.a, self.slope = (self.N * np.append(v, np.zeros(K + 1 - len(v))) for v in (s.a, s.slope))
        self.k2 = np.append(0, k * (k + d - 2)).astype(float)
        self.m = np.zeros(K + 1)
        self.m[0], self.m[1 : start.highest + 1] = 1.0, start.amplitudes / self.N[1 : start.highest + 1]

    def values(self) -> Float[np.ndarray, " n"]:
        return (self.N * self.m) @ self.P

    def masses(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        return self.grid, self.values() * self.q

    def rates(self, m: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        v = self.flow.value * (1 - self.u**2) * ((self.slope * m) @ self.dP)
        v = v * self.flow.law.clock if self.flow.law.clock is not None else v / ((self.a * m) @ self.P)
        return self.dP @ (self.q * ((self.N * m) @ self.P) * v) - self.k2 / self.kappa * m


def polynomials(u: Float[np.ndarray, " n"], top: int, d: int) -> Float[np.ndarray, "k n"]:
    """P_0 .. P_{top-1} of dimension d, P_k(1) = 1."""
    P = np.ones((max(top, 2), len(u)))
    P[1] = u
    for k in range(1, top - 1):
        P[k + 1] = ((2 * k + d - 2) * u * P[k] - k * P[k - 1]) / (k + d - 2)
    return P[:top]
