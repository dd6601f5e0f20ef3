r"""Layers on the clock of the theory: fitted beta, the flow's time per layer, and the residual of the fit.

Equiangular tokens under the flow SA have one common cosine g(t), `theory.gamma_sa`. The mean cosines g_l of a
model's layers are laid on that curve in two ways:

    fitted   (beta, h) = argmin sum_l (g_l - g(h l))^2: one temperature and one time step for all layers
    times    t_l with g(t_l) = g_l at a given beta: the ODE's time that each layer has reached

The theory has cosines grow. A model whose cosines fall has no such time there, and its residual says so.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from spinodal.theory import gamma_time_sa

BETAS = (0.0, 50.0)
STEPS = (1e-6, 50.0)
SHORT_OF_ONE = 1 - 1e-12


class Clock(NamedTuple):
    """The curve g(step l) by layer l at `beta`, and the times t_l at which g has the layers' own cosines.

    `step` and `times` are in units of the time of the flow; `residual` is the root of the mean square of curve less
    cosines. A cosine below the first has no time: NaN.
    """

    beta: float
    step: float
    curve: Float[np.ndarray, " t"]
    residual: float
    times: Float[np.ndarray, " t"]


def effective_clock(cosines: Float[np.ndarray, " t"], n: int, *, beta: float | None = None) -> Clock:
    """argmin over (beta, step) of sum_l (g_l - g(step l))^2, with g of `theory.gamma_sa`  [glpr2023].

    Lays the mean cosines g_l of layers, of sequences of `n` tokens, on the curve of equiangular tokens. `beta` is
    fitted in [0, 50] unless it is given, `step` in [1e-6, 50]; cosines are cut to (-1 / (n - 1), 1), the curve's range.
    """
    n = max(n, 2)
    low = -1 / (n - 1)
    g = np.clip(cosines, low + 1e-9 * (1 - low), SHORT_OF_ONE)
    layers, knots = np.arange(len(g)), _knots(float(g[0]), n)

    def curve(b: float, log_step: float) -> np.ndarray:
        # the times of many cosines at once, turned round: `theory.gamma_sa` bisects, 100 times as slow
        return np.interp(np.exp(log_step) * layers, np.asarray(gamma_time_sa(knots, n, b, knots[0])), knots)

    def fit(b: float):
        """The least-squares fit from beta = b and the step at which the curve meets the largest cosine."""
        top = int(g.argmax())
        reached = float(gamma_time_sa(max(g[top], knots[0]), n, b, knots[0])) / max(top, 1)
        start = np.log(np.clip(reached, 2 * STEPS[0], STEPS[1] / 2))
        if beta is not None:
            return least_squares(lambda p: curve(b, p[0]) - g, [start], bounds=np.log(STEPS))
        bounds = list(zip(BETAS, np.log(STEPS), strict=True))
        return least_squares(lambda p: curve(*p) - g, [b, start], bounds=bounds)

    fits = [fit(b) for b in ((0.5, 3.0, 10.0) if beta is None else (beta,))]
    best = min(fits, key=lambda fit: fit.cost)
    b = float(best.x[0]) if beta is None else beta
    fitted = curve(b, best.x[-1])
    grown = g >= g[0]
    times = np.full(len(g), np.nan)
    times[grown] = gamma_time_sa(g[grown], n, b, float(g[0]))
    return Clock(b, float(np.exp(best.x[-1])), fitted, float(np.sqrt(np.mean((fitted - g) ** 2))), times)


def _knots(start: float, n: int) -> Float[np.ndarray, " k"]:
    """Cosines from `start` to consensus, even in the clock of `theory.gamma`, dense enough to interpolate."""
    first = np.log((1 + (n - 1) * start) / (1 - start))
    y = first + np.linspace(0, 28 - first, 1000)
    return 1 - n / (np.exp(y) + n - 1)
