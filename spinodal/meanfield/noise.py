r"""Where noise and attraction balance: stationary densities of the Fokker--Planck equation, zonal on S^{d-1}.

    rho X = (1/kappa) grad rho   with   USA: log rho = kappa clock Y + const,   SA: rho = Z^{kappa / beta} / const,

Y and Z as in `lagrangian`. The uniform density is one solution for every kappa; at kappa_c = beta / a_1 (SA:
beta a_0 / a_1) the degree-one branch leaves it. The branch is followed by its order parameter r = m_1, with kappa as
an unknown, so that it may turn back: it does where the transition is a jump.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root
from scipy.special import roots_jacobi

from spinodal.errors import ConvergenceError, InputError
from spinodal.meanfield.eulerian import polynomials
from spinodal.meanfield.kernel import DriftLaw, spectrum

NODES = 256


class StationaryBranch(NamedTuple):
    """Stationary densities of order parameter r = m_1 > 0: the kappa that each needs, and its moments m_0, ..., m_K."""

    r: Float[np.ndarray, " c"]
    kappa: Float[np.ndarray, " c"]
    moments: Float[np.ndarray, "c k"]


def critical_kappa(flow: DriftLaw) -> float:
    """kappa_c = 1 / (clock a_1 / beta), for SA beta a_0 / a_1  [noise2026].

    The inverse strength of noise above which the uniform density is unstable.
    """
    s = spectrum(flow.d, flow.beta)
    if flow.value < 0:
        raise InputError("V = -I: repulsion and noise both spread tokens, and nothing becomes unstable")
    clock = flow.law.clock
    return float(1 / (s.slope[1] * clock) if clock is not None else s.a[0] / s.slope[1])


def stationary_branch(flow: DriftLaw, r: Float[np.ndarray, " c"]) -> StationaryBranch:
    """X[rho] rho = (1 / kappa) grad rho with m_1 = r, for ascending r in (0, 1).

    The stationary densities with noise that are not uniform, each found from the one before by Newton's method.
    """
    if not (np.all(r > 0) and np.all(r < 1) and np.all(np.diff(r) > 0)):
        raise InputError("order parameters must ascend within (0, 1)")
    critical, d = critical_kappa(flow), flow.d
    s = spectrum(d, flow.beta)
    K = len(s.a)
    u, q = roots_jacobi(NODES, (d - 3) / 2, (d - 3) / 2)
    P = polynomials(u, K, d)
    clock = flow.law.clock

    def moments(kappa: float, m: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        if clock is None:
            log = kappa / flow.beta * np.log(np.maximum((s.N * s.a * m) @ P, 1e-300)) if flow.beta else 0.0
        else:
            log = kappa * clock * ((s.N * s.slope * m) @ P)
        if flow.beta == 0 and clock is None:
            log = kappa * ((s.N * s.slope * m) @ P)  # log Z / beta -> Y
        rho = q * np.exp(log - np.max(log))
        return P @ rho / rho.sum()

    found, unknown = [], np.zeros(K - 1)  # log(kappa / critical), m_2 .. m_{K-1}
    for order in r:

        def excess(y: Float[np.ndarray, " k"], order: float = float(order)) -> Float[np.ndarray, " k"]:
            m = np.concatenate([[1.0, order], y[1:]])
            return (moments(critical * np.exp(np.clip(y[0], -50, 50)), m) - m)[1:]

        solved = root(excess, unknown, tol=1e-13)
        if np.abs(solved.fun).max() > 1e-9:
            raise ConvergenceError(
                f"no stationary density with m_1 = {order:.4g} at beta = {flow.beta:g}, d = {d}: use smaller steps of r"
            )
        unknown = solved.x
        found.append(np.concatenate([[critical * np.exp(unknown[0]), 1.0, order], unknown[1:]]))
    rows = np.array(found)
    return StationaryBranch(r, rows[:, 0], rows[:, 1:])


def branch_curvature(flow: DriftLaw) -> float:
    """d(kappa / kappa_c) / d(r^2) at r = 0  [derived].

    Positive where the transition from the uniform density is continuous, negative where it jumps. Measured at r = 0.02
    and 0.04, with the error of fourth order removed.
    """
    r = np.array([0.02, 0.04])
    c = (stationary_branch(flow, r).kappa / critical_kappa(flow) - 1) / r**2
    return float((4 * c[0] - c[1]) / 3)
