"""On S^2 and beyond, the degree of the harmonics that grow fastest steps up with beta.

Claim: growth rates measured from the nonlinear solvers, S^2 and zonal in any dimension, are those of Funk and Hecke
    across the first thresholds, and a cloud on S^2 ends in the clusters of one degree
Paper: bpa2024
Command: spinodal draw f8-sphere-density
Minutes: 2
Expected: relative errors below 1e-7 on S^2 and 1e-6 zonal, d = 3 to 16; on S^2 the fastest degree is 1, 2, 3, 4
    at beta = 1, 3, 6, 10; the mass error is rounding
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinodal import theory
from spinodal.figures import densities, save_picture
from spinodal.meanfield import (
    Sphere,
    SphereModes,
    Zonal,
    ZonalModes,
    clusters,
    drift_law,
    harmonic_index,
    record_evolution,
    sphere_noise,
)
from spinodal.meanfield.sphere import potential

BETAS = (1.0, 3.0, 6.0, 10.0)
EXPECTED = {f"fastest degree at beta = {beta:g}": (k, k) for k, beta in enumerate(BETAS, 1)} | {
    "largest relative error on the sphere": (0, 1e-7),
    "largest relative error zonal": (0, 1e-6),
    "mass error of the cloud": (0, 1e-14),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Rates of the fastest degree at four temperatures and in four dimensions, and one cloud; quick: two of each."""
    fastest = [int(theory.fastest_degree(3, beta)) for beta in BETAS]
    on_sphere = {
        beta: rate(
            lambda a, b=beta, l=l: Sphere(drift_law("sa", b, 3), harmonic(l, a), degree=24, tolerance=1e-13),
            l,
            beta,
            3,
        )
        for beta, l in list(zip(BETAS, fastest, strict=True))[: 2 if quick else 4]
    }
    zonal = {}
    for d in (3, 16) if quick else (3, 4, 8, 16):
        k = int(theory.fastest_degree(d, 6.0))
        start = lambda a, k=k, d=d: ZonalModes(np.eye(k)[-1] * a, d)
        zonal[d] = rate(
            lambda a, d=d, s=start: Zonal(drift_law("sa", 6.0, d), s(a), tolerance=1e-14), k, 6.0, d
        )
    return {
        "fastest degrees on the sphere": ", ".join(map(str, fastest)),
        **{f"fastest degree at beta = {beta:g}": k for beta, k in zip(BETAS, fastest, strict=True)},
        "largest relative error on the sphere": max(map(abs, on_sphere.values())),
        "largest relative error zonal": max(map(abs, zonal.values())),
        **cloud(out, seed, quick),
    }


def harmonic(l: int, amplitude: float) -> SphereModes:
    """1 + amplitude * sqrt(2 l + 1) P_l(z)."""
    alm = np.zeros(harmonic_index(l, l, l) + 1, complex)
    alm[0], alm[harmonic_index(l, 0, l)] = np.sqrt(4 * np.pi), amplitude * np.sqrt(4 * np.pi)
    return SphereModes(alm, l)


def rate(solver_of: Callable, k: int, beta: float, d: int) -> float:
    """Relative error of the growth rate of degree k, over 0.4 of its time; what is quadratic drops out."""
    expected = float(theory.growth_rate_sa(k, d, beta))
    grown = []
    for amplitude in (1e-5, -1e-5):
        solver = solver_of(amplitude)
        before = solver.moments(k)[k]
        while solver.time < 0.4 / expected:
            solver.advance(0.4 / expected)
        grown.append(solver.moments(k)[k] / before)
    return float(np.log(np.mean(grown)) / 0.4 - 1)


def cloud(out: Path, seed: int, quick: bool) -> dict[str, float]:
    """White noise at beta = 10 to its clusters, degree 4 the fastest."""
    start = sphere_noise(0.01, np.random.default_rng(seed))
    solver = Sphere(drift_law("sa", 10.0, 3), start, degree=24 if quick else 32, tolerance=1e-5)
    record = record_evolution(solver, until=1e3, stop="diracs", degrees=16)
    rates = np.asarray(theory.growth_rate_sa(np.arange(1, 7), 3, 10.0))
    save_picture(densities.amplitudes(record.times, record.moments[:, 1:7], rates), out / "amplitudes.png")
    theta, phi = np.meshgrid(np.linspace(0, np.pi, 91), np.linspace(-np.pi, np.pi, 181), indexing="ij")
    at = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(
        -1, 3
    )
    seen = potential(at, solver.x, solver.weights, 60.0).reshape(theta.shape)
    title = f"SA on S², β = 10, t = {solver.time:.3g}: {clusters(solver)} clusters"
    save_picture(densities.sphere_map(seen / seen.mean(), title), out / "clusters.png")
    return {
        "clusters of the cloud": float(clusters(solver)),
        "mass error of the cloud": float(record.mass_error.max()),
    }
