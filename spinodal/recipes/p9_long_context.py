"""One query over n keys: from which beta on attention is on the nearest key.

Claim: attention of a query over n uniform keys on S^(d-1) turns from averaging to the nearest keys at beta ~
    n^(2/(d-1))
Paper: longcontext2026
Command: spinodal draw p9-long-context
Minutes: 0.7
Expected: the beta at which E sum p^2 is 1/2 is that of its exact integral at every n, to 15 percent; exponents
    fitted for n = 64 to 16384 are those of the integral to 0.03: 1.00, 0.51 and 0.29 in d = 3, 5, 9, above 2 / (d -
    1) by the finite-n correction
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from spinodal import sphere
from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.recipes import Paper

DIMENSIONS, SIZES = (3, 5, 9), (64, 256, 1024, 4096, 16384)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Critical beta of 200 draws of the keys; quick: of 40, up to 1024 keys."""
    sizes, draws = (SIZES[:3], 40) if quick else (SIZES, 200)
    found, points, scaled, exact, corrected = {}, {}, {}, [], []
    fine = np.geomspace(sizes[0], sizes[-1], 12)
    for d in DIMENSIONS:
        rows = [critical_beta(d, n, draws, seed) for n in sizes]
        beta, error = (np.array(column) for column in zip(*rows, strict=True))
        points[f"d = {d}"] = (np.array(sizes), beta, error)
        integral = np.array([exact_beta(d, n) for n in sizes])
        exact.append((fine, np.array([exact_beta(d, n) for n in fine])))
        slope, deviation = fitted_slope(np.log(sizes), np.log(beta), error / beta)
        theory = fitted_slope(np.log(sizes), np.log(integral), error / beta)[0]
        found |= {f"exponent, d = {d}": slope, f"exponent, d = {d} ±": deviation}
        found[f"exponent of the integral, d = {d}"] = theory
        found[f"exponent less that of the integral, d = {d}"] = slope - theory
        found[f"largest |beta / integral - 1|, d = {d}"] = float(abs(beta / integral - 1).max())
        corrected.append((fine, exact[-1][1] / fine ** (2 / (d - 1))))
        scaled[f"d = {d}"] = tuple(y / np.array(sizes) ** (2 / (d - 1)) for y in (beta, error))
    panels = [
        Panel(
            "β at which E Σ p² = 1/2",
            "keys n",
            points=points,
            theory=labelled("exact integral", exact),
            scales=("log", "log"),
        ),
        Panel(
            "the same over n^(2/(d-1)): the correction of finite n",
            "keys n",
            points={name: (np.array(sizes), *values) for name, values in scaled.items()},
            theory=labelled("exact integral", corrected),
            scales=("log", "linear"),
            limits=(0, 10),
            place="center right",
        ),
    ]
    save(draw_claim(panels, title="one query over n uniform keys on S^(d-1)"), out / "long-context.png")
    return found


def critical_beta(d: int, n: int, draws: int, seed: int) -> tuple[float, float]:
    """(the beta at which the mean over draws of sum p^2 is 1/2, its standard error)."""
    rng = np.random.default_rng([seed, d, n])
    cosines = np.stack([sphere.uniform(n, d, rng)[:, 0] for _ in range(draws)])
    gaps = cosines - cosines.max(1, keepdims=True)

    def squares(log_beta: float) -> np.ndarray:
        p = np.exp(np.exp(log_beta) * gaps)
        return np.square(p).sum(1) / np.square(p.sum(1))

    middle = 2 / (d - 1) * np.log(n)
    at = float(brentq(lambda b: squares(b).mean() - 0.5, middle - 3, middle + 3, xtol=1e-4))  # type: ignore[arg-type]
    slope = (squares(at + 0.05).mean() - squares(at - 0.05).mean()) / 0.1
    return float(np.exp(at)), float(np.exp(at) * squares(at).std(ddof=1) / np.sqrt(draws) / slope)


def exact_beta(d: int, n: float) -> float:
    """The beta at which E sum p^2 = n int_0^inf l E(w^2 e^(-l w)) E(e^(-l w))^(n-1) dl is 1/2  [derived].

    w = e^(beta (c - 1)), with c the cosine of a uniform key: of density ~ (1 - c^2)^((d-3)/2).
    """
    angle = np.exp(np.linspace(-12, np.log(np.pi), 900))
    mass = np.sin(angle) ** (d - 2) * angle
    mass /= mass.sum()
    log_l = np.linspace(-25, 60, 400)
    l = np.exp(log_l)[:, None]

    def square(log_beta: float) -> float:
        w = np.exp(-np.exp(log_beta) * 2 * np.sin(angle / 2) ** 2)
        decay = np.exp(-l * w)
        none = decay @ mass
        one = (decay * w**2) @ mass
        return float(n * np.sum(l[:, 0] ** 2 * one * none ** (n - 1)) * (log_l[1] - log_l[0]))

    middle = 2 / (d - 1) * np.log(n)
    return float(np.exp(brentq(lambda b: square(b) - 0.5, middle - 3, middle + 3, xtol=1e-6)))  # type: ignore[arg-type]


def fitted_slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """(slope, its standard error) of a line through points of these errors."""
    weight = 1 / error**2
    away = x - np.average(x, weights=weight)
    size = np.sum(weight * away**2)
    return float(np.sum(weight * away * y) / size), float(size**-0.5)


EXPECTED = {
    **{
        f"exponent, d = {d}": (g - 0.03, g + 0.03)
        for d, g in zip(DIMENSIONS, (0.999, 0.511, 0.288), strict=True)
    },
    **{f"exponent less that of the integral, d = {d}": (-0.03, 0.03) for d in DIMENSIONS},
    **{f"largest |beta / integral - 1|, d = {d}": (0, 0.15) for d in DIMENSIONS},
}
EXPECTED_QUICK = {f"exponent less that of the integral, d = {d}": (-0.15, 0.15) for d in DIMENSIONS}
PAPER = Paper(
    arxiv=("2605.08505",),
    read="abstract",
    found={
        "exponent, d = 3": (0.996934, 0.012),
        "exponent, d = 5": (0.52268, 0.0088),
        "exponent, d = 9": (0.287285, 0.0091),
    },
    date="2026-11-30",
)
