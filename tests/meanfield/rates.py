"""Growth rates out of the nonlinear solvers, for the tests and the benchmark."""

from collections.abc import Callable

import numpy as np


def growth(solver_of: Callable, degree: int, time: float, size: float = 1e-5) -> float:
    """log-slope of the odd part in the amplitude of m_k: what is quadratic in it drops out."""
    first, last = [], []
    for amplitude in (size, -size):
        solver = solver_of(amplitude)
        first.append(solver.moments(degree)[degree].real)
        while solver.time < time:
            solver.advance(time)
        last.append(solver.moments(degree)[degree].real)
    return float(np.log((last[0] - last[1]) / (first[0] - first[1])) / time)
