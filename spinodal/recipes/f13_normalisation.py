"""Where the layer norm sits: six schemes, six clocks on one curve.

Claim: from orthonormal tokens all six schemes follow one scalar curve each, with known slopes at 0, and end
    exponentially (post, nGPT, sqrt scaling) or like 1 / t^2 (pre, mix, peri)
Paper: norm2025
Command: spinodal draw f13-normalisation
Minutes: 0.1
Expected: slopes to 1e-10, curves to 1e-5, tails to 1 percent
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal import theory
from spinodal.figures import particles, particles_time
from spinodal.flows import AttentionField
from spinodal.flows.fields import NGPT, Mix, Peri, Post, Pre, Scheme, Sqrt
from spinodal.flows.state import State
from spinodal.flows.time import Adaptive, simulate

N, BETA, SWITCH = 32, 3.0, 4.0
RADIUS = ALPHA = 1.0
EXPECTED = {
    f"{name}: {what} off by": (0, bound)
    for name in ("post-LN", "pre-LN", "mix-LN", "peri-LN", "nGPT", "sqrt")
    for what, bound in (("slope", 1e-10), ("curve", 1e-5), ("tail", 1e-2))
}
LEAST = 1e-8  # a 1 - g of which the integrator has enough digits
Curve = Callable[[np.ndarray], Any]


class Case(NamedTuple):
    """A scheme, g'(0), g(t), the tail of 1 - g, and how long to go."""

    scheme: Scheme
    slope: float
    gamma: Curve
    tail: Curve
    end: float


def tail_mix(t: np.ndarray) -> np.ndarray:
    """C e^{-2 switch} r_0^2 sigma / t^2, sigma = 1 + (n-1) g(switch)  [derived].

    That of pre-LN with the clock of post-LN before, and r = r_0 e^{tau - switch} sqrt(sigma / n) after the switch.
    """
    sigma = 1 + (N - 1) * theory.gamma_sa(SWITCH, N, BETA)
    return np.exp(theory.log_tail_pre(t, N, BETA, RADIUS) - 2 * SWITCH) * sigma


def tail_ngpt(t: np.ndarray) -> np.ndarray:
    """e^{-2 alpha t} through the curve where 1 - g is about 1e-5: its constant has no closed form."""
    anchor = theory.gamma_time_sa(1 - 1e-5, N, BETA) / ALPHA
    return (1 - theory.gamma_ngpt(anchor, N, BETA, alpha=ALPHA)) * np.exp(2 * ALPHA * (anchor - t))


def cases(end: float) -> dict[str, Case]:
    """The six of [norm2025]; those that end like 1 / t^2 go to `end`."""
    n, b = N, BETA
    slope = float(theory.slope_post(n, b))
    return {
        "post-LN": Case(
            Post(), slope, lambda t: theory.gamma_sa(t, n, b), lambda t: np.exp(theory.log_tail_post(t, n, b)), 25.0
        ),
        "pre-LN": Case(
            Pre(),
            float(theory.slope_pre(n, b, RADIUS)),
            lambda t: theory.gamma_pre(t, n, b, radius=RADIUS),
            lambda t: np.exp(theory.log_tail_pre(t, n, b, RADIUS)),
            end,
        ),
        "mix-LN": Case(
            Mix(SWITCH), slope, lambda t: theory.gamma_mix(t, n, b, switch=SWITCH, radius=RADIUS), tail_mix, end
        ),
        "peri-LN": Case(
            Peri(),
            float(theory.slope_peri(n, b, RADIUS)),
            lambda t: theory.gamma_peri(t, n, b, radius=RADIUS),
            lambda t: np.exp(theory.log_tail_pre(t, n, b, RADIUS)),
            end,
        ),
        "nGPT": Case(
            NGPT(ALPHA),
            float(theory.slope_ngpt(n, b, ALPHA)),
            lambda t: theory.gamma_ngpt(t, n, b, alpha=ALPHA),
            tail_ngpt,
            25.0,
        ),
        "sqrt": Case(
            Sqrt(), slope, lambda t: theory.gamma_sqrt(t, n, b), lambda t: np.exp(theory.log_tail_sqrt(t, n, b)), 120.0
        ),
    }  # fmt: skip


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Six flows from orthonormal tokens; nothing is drawn by chance. Quick: to t = 2000, not 20000."""
    schemes, measured = {}, {}
    for name, case in cases(2e3 if quick else 2e4).items():
        field, start = AttentionField(BETA, scheme=case.scheme), State(np.eye(N), np.full(N, RADIUS))
        drift = field(0.0, start, np.full(N, 1 / N)).drift
        slopes = (drift + drift.T)[np.triu_indices(N, 1)]
        times = np.geomspace(0.05, case.end, 220)
        run = simulate(field, start, case.end, saves=times[:-1], method=Adaptive(1e-9 if quick else 1e-11))
        deficit = deficits(run.tokens[1:])
        expected, tail = 1 - np.asarray(case.gamma(times)), np.asarray(case.tail(times))
        seen = deficit > LEAST
        schemes[name] = particles_time.Scheme(times, deficit, expected, tail, case.slope)
        measured |= {
            f"{name}: slope at 0": float(slopes.mean()),
            f"{name}: slope off by": float(abs(slopes / case.slope - 1).max()),
            f"{name}: curve off by": float(abs(deficit[seen] / expected[seen] - 1).max()),
            f"{name}: tail off by": float(abs(deficit[seen] / tail[seen] - 1)[-1]),
        }
    title = f"six layer norms, n = {N} orthonormal tokens, β = {BETA:g}, r₀ = α = 1, mix-LN switches at t = {SWITCH:g}"
    particles.save(particles_time.normalisations(schemes, title=title), out / "normalisation.png")
    return measured


def deficits(x: Float[np.ndarray, "t n d"]) -> Float[np.ndarray, " t"]:
    """1 - <x_1, x_2>, from the distance, so that it keeps its digits."""
    return np.sum((x[:, 0] - x[:, 1]) ** 2, -1) / 2
