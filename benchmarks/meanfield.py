"""The mean-field equation on the circle, through the birth of Diracs, by four methods; and growth rates.

    python benchmarks/meanfield.py [--json FILE] [--quick]

SA at beta = 9 from rho = (1 + 0.1 sum_k cos(k theta - phi_k)) / 2 pi, k = 1..4, to T = 30, where three Diracs are left.
Error: the largest of |m_k - exact|, k = 1..10; exact is the hp-Lagrangian solver at tolerance 1e-11. A method
fails at the first whole time at which that exceeds 1e-3. The rivals:

    Fourier        Galerkin in 64 or 256 degrees, LSODA at 1e-8; it stops by itself when its tail shows
    finite volume  second order (minmod), Heun, CFL 0.4, face velocities by FFT
    quantiles      tokens of equal mass, fixed for ever; the same steps and engines as the panels

One thread; CPU seconds, medians of five turns after one that compiles.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from spinodal import theory
from spinodal.errors import ConvergenceError
from spinodal.meanfield import (
    Circle,
    CircleModes,
    Fourier,
    Sphere,
    SphereModes,
    Zonal,
    ZonalModes,
    drift_law,
    harmonic_index,
    tokens,
)
from spinodal.meanfield.kernel import spectrum

BETA, TURNS = 9.0, 5
FOUR = CircleModes(np.full(4, 0.1), np.array([0.0, 1.0, 2.0, 0.5]))
TIMES = np.arange(1.0, 31.0)
Moments = list[np.ndarray]


def advanced(solver, times: np.ndarray) -> Moments:
    """Moments 1..10 at each time, as far as the solver goes."""
    found = []
    try:
        for t in times:
            while solver.time < t:
                solver.advance(t)
            found.append(solver.moments(10)[1:])
    except ConvergenceError:
        pass
    return found


def panels(tolerance: float) -> Callable[[np.ndarray], Moments]:
    return lambda times: advanced(Circle(drift_law("sa", BETA), FOUR, tolerance=tolerance), times)


def fourier(degrees: int) -> Callable[[np.ndarray], Moments]:
    return lambda times: advanced(
        Fourier(drift_law("sa", BETA), FOUR, degrees=degrees, tolerance=1e-8), times
    )


def quantiles(n: int) -> Callable[[np.ndarray], Moments]:
    k = np.arange(1, 5)[:, None]
    a = np.linspace(0, 2 * np.pi, 20_001)
    cdf = (a + np.sum(0.1 / k * (np.sin(k * a - FOUR.phases[:, None]) + np.sin(FOUR.phases)[:, None]), 0)) / (
        2 * np.pi
    )
    theta = np.interp((np.arange(n) + 0.5) / n, cdf, a)
    return lambda times: advanced(tokens(drift_law("sa", BETA), theta, np.full(n, 1 / n)), times)


def finite_volume(n: int) -> Callable[[np.ndarray], Moments]:
    """Cell averages; slopes by minmod, upwind fluxes, velocities at faces from the cells' moments."""
    s, h = spectrum(2, BETA), 2 * np.pi / n
    k = np.arange(len(s.a))
    turn = np.exp(1j * k * h / 2)  # from centres to the faces right of them
    widened = np.sinc(k * h / (2 * np.pi))  # of cell averages, to those of the density itself

    def rate(rho: np.ndarray) -> tuple[np.ndarray, float]:
        c = np.fft.rfft(rho)[: len(k)] / np.maximum(widened, 0.1) / n * turn
        v = np.fft.irfft(1j * k * s.slope * c, n) / np.fft.irfft(s.a * c, n)
        left, right = rho - np.roll(rho, 1), np.roll(rho, -1) - rho
        slope = np.where(left * right > 0, np.where(abs(left) < abs(right), left, right), 0)
        flux = np.where(v > 0, v * (rho + slope / 2), v * np.roll(rho - slope / 2, -1))
        return (np.roll(flux, 1) - flux) / h, float(abs(v).max())

    def run(times: np.ndarray) -> Moments:
        edges = np.arange(n + 1) * h
        j = np.arange(1, 5)[:, None]
        whole = edges + np.sum(0.1 / j * np.sin(j * edges - FOUR.phases[:, None]), 0)
        rho, now, found = np.diff(whole) / (2 * np.pi) * n, 0.0, []
        centres = edges[:-1] + h / 2
        for t in times:
            while now < t:
                f, fastest = rate(rho)
                dt = min(0.4 * h / fastest, t - now)
                rho = rho + dt / 2 * (f + rate(rho + dt * f)[0])
                now += dt
            found.append(
                np.exp(1j * np.arange(1, 11)[:, None] * centres) @ rho / n * np.sinc(np.arange(1, 11) / n)
            )
        return found

    return run


METHODS = {
    "panels, tolerance 1e-7": panels(1e-7),
    "panels, tolerance 1e-8": panels(1e-8),
    "panels, tolerance 1e-9": panels(1e-9),
    "Fourier, 64 degrees": fourier(64),
    "Fourier, 256 degrees": fourier(256),
    "finite volume, 512 cells": finite_volume(512),
    "finite volume, 2048 cells": finite_volume(2048),
    "quantiles, 1000 tokens": quantiles(1000),
    "quantiles, 10000 tokens": quantiles(10_000),
}


def through_diracs(turns: int) -> list[dict]:
    """A row a method: CPU seconds to T = 30 in one go, the error there, the time of failure."""
    exact = panels(1e-11)(TIMES)
    rows = []
    for name, method in METHODS.items():
        seen = method(TIMES)
        error = [float(np.abs(a - b).max()) for a, b in zip(seen, exact, strict=False)]
        bad = np.flatnonzero(np.array(error) > 1e-3)
        fails = TIMES[bad[0]] if len(bad) else (TIMES[len(error)] if len(error) < len(TIMES) else None)
        rows.append(
            {"method": name, "error": error[-1] if len(error) == len(TIMES) else None, "fails": fails}
        )
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(turns):
        for name, method in METHODS.items():
            began = time.process_time()
            method(TIMES[-1:])
            seconds[name].append(time.process_time() - began)
    return [row | {"seconds": float(np.median(seconds[row["method"]]))} for row in rows]


def grown(solver_of: Callable, k: int, rate: float, until: float) -> float:
    """|measured - theory| over theory of one growth rate, from the odd part in the amplitude."""
    odd = []
    for amplitude in (1e-5, -1e-5):
        solver = solver_of(amplitude)
        before = solver.moments(k)[k]
        while solver.time < until:
            solver.advance(until)
        odd.append(abs(solver.moments(k)[k] / before))
    return float(abs(np.log(np.mean(odd)) / until / rate - 1))


def rates() -> list[dict]:
    """Largest error of the growth rates of the fastest degree and of its neighbour below, beta = 1, 5, 9."""
    rows = []
    for where, d in [("circle", 2), ("sphere", 3), ("zonal", 3), ("zonal", 4), ("zonal", 8), ("zonal", 16)]:
        worst = 0.0
        for beta in (1.0, 5.0, 9.0):
            law, fastest = drift_law("sa", beta, d), int(theory.fastest_degree(d, beta))
            until = 0.4 / float(theory.growth_rate_sa(fastest, d, beta))
            for k in {fastest, max(1, fastest - 1)}:

                def solver_of(a: float, k: int = k, law=law, where: str = where, d: int = d):
                    if where == "circle":
                        start = CircleModes(np.eye(k)[-1] * abs(a), np.full(k, 0.0 if a > 0 else np.pi))
                        return Circle(law, start, tolerance=1e-14)
                    if where == "zonal":
                        return Zonal(law, ZonalModes(np.eye(k)[-1] * a, d), tolerance=1e-14)
                    alm = np.zeros(harmonic_index(k, k, k) + 1, complex)
                    alm[0], alm[harmonic_index(k, k, k)] = np.sqrt(4 * np.pi), a
                    return Sphere(law, SphereModes(alm, k), degree=24, tolerance=1e-13)

                worst = max(worst, grown(solver_of, k, float(theory.growth_rate_sa(k, d, beta)), until))
        rows.append({"where": f"{where}, d = {d}", "largest relative error": worst})
    return rows


def consensus() -> list[dict]:
    """Density to consensus: the time of the last merger and CPU seconds."""
    rows = []
    for beta, tolerance in [(9.0, 1e-8), (25.0, 1e-8), (25.0, 1e-9), (81.0, 1e-8)]:
        began, steps = time.process_time(), 0
        solver = Circle(drift_law("sa", beta), FOUR, tolerance=tolerance)
        while not solver.consensus:
            solver.advance(np.inf)
            steps += 1
        seconds = time.process_time() - began
        rows.append(
            {"beta": beta, "tolerance": tolerance, "time": solver.time, "steps": steps, "seconds": seconds}
        )
    return rows


def printed(title: str, rows: list[dict]):
    print(f"\n{title}\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in row.values()) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        "through Diracs": through_diracs(1 if options.quick else TURNS),
        "growth rates": rates(),
        "consensus": consensus(),
    }
    for title, rows in results.items():
        printed(title, rows)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
