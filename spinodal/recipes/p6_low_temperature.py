"""At low temperature a density is first projected to a set of low dimension, along the flow at beta = infinity.

Claim: the density follows its projection to a set of low dimension within sqrt(log beta / beta) e^(Ct) + e^(-ct);
    here V = I and Q^T K = diag(2, 1) on the circle, where the set is the axis, and diag(2, 2, 1) on S^2, where it
    is a circle
Paper: lowtemperature2026
Command: spinodal draw p6-low-temperature
Minutes: 1
Expected: on the circle the distance of the density falls as under the flow at beta = infinity, to 2 percent at t =
    2 and beta = 1000, and its least value falls as beta^(-1/2), with an exponent from -0.52 to -0.42; 500 tokens on
    S^2 have a floor of a few tokens that read themselves alone, above 0.05
"""

from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, Head, UniformStart
from spinodal.flows.time import Adaptive, simulate
from spinodal.meanfield import CircleModes, DensityExperiment, evolve
from spinodal.recipes import Paper

BETAS, END = (10.0, 30.0, 100.0, 300.0, 1000.0), 14.0
START = CircleModes(np.array([0.6]), np.array([1.0]))  # (1 + 0.6 cos(theta - 1)) / 2 pi
FALL = "distance over that at beta = infinity, t = 2, beta = 1000"
EXPONENT = "exponent of the least distance in beta, circle"
EXPECTED = {
    FALL: (0.98, 1.02),
    EXPONENT: (-0.52, -0.42),
    "least distance on the circle, beta = 1000": (0.01, 0.02),
    "least distance on S^2, n = 500, beta = 1000": (0.05, 0.2),
}
EXPECTED_QUICK = {FALL: (0.95, 1.05), EXPONENT: (-0.6, -0.35)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """A density on the circle at five beta, 500 and 2000 uniform tokens on S^2 at three; quick: the circle at two."""
    betas = np.array((10.0, 1000.0) if quick else BETAS)
    circle = {beta: on_circle(beta, 1e-4 if quick else 1e-6) for beta in betas}
    fine = np.linspace(0, END, 281)
    limit = limit_distance(fine)
    least = np.array([distance.min() for _, distance in circle.values()])
    times, distance = circle[1000.0]
    found = {FALL: float(np.interp(2, times, distance) / np.interp(2, fine, limit))}
    found[EXPONENT] = float(np.polyfit(np.log(betas), np.log(least), 1)[0])
    found |= {
        f"least distance on the circle, beta = {b:g}": float(y) for b, y in zip(betas, least, strict=True)
    }
    points = {"density on the circle": (betas, least)}
    for n in () if quick else (500, 2000):
        shown = betas[::2]
        ball = np.array([on_sphere(beta, n, seed) for beta in shown])
        points[f"{n} tokens on S²"] = (shown, ball)
        found |= {
            f"least distance on S^2, n = {n}, beta = {b:g}": float(y)
            for b, y in zip(shown, ball, strict=True)
        }
    law = np.sqrt(np.log(betas) / betas)
    panels = [
        Panel(
            "circle: distance of the density to the axis, rms",
            "t",
            lines={f"β = {beta:g}": circle[beta] for beta in betas[:: 1 if quick else 2]},
            theory={"β = ∞": (fine, limit)},
            scales=("linear", "log"),
            limits=(3e-3, 1),
        ),
        Panel(
            "least distance over t",
            "β",
            points=points,
            theory={"sqrt(log β / β), the bound's law": (betas, law * least[0] / law[0])},
            scales=("log", "log"),
            limits=(3e-3, 0.3),
            place="lower left",
        ),
    ]
    title = "SA, V = I, Qᵀ K = diag(2, 1) on the circle and diag(2, 2, 1) on S²"
    save(draw_claim(panels, title=title), out / "low-temperature.png")
    return found


def on_circle(beta: float, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """(times, root mean square of sin theta) of the density."""
    field = AttentionField(float(beta), heads=(Head(queries=np.diag([2.0, 1.0])),))
    record = evolve(DensityExperiment(field, START, END, tolerance)).record
    return record.times, np.sqrt(np.maximum(0, (1 - np.real(record.moments[:, 2])) / 2))


def on_sphere(beta: float, n: int, seed: int) -> float:
    """The least root mean square distance of n tokens of S^2 to the plane."""
    field = AttentionField(float(beta), heads=(Head(queries=np.diag([2.0, 2.0, 1.0])),))
    times = np.linspace(0, END, 29)
    run = simulate(field, UniformStart(n, 3, seed).tokens(), END, saves=times[1:], method=Adaptive(1e-4))
    return float(np.sqrt(np.square(run.tokens[..., 2]).mean(1)).min())


def limit_distance(times: np.ndarray) -> np.ndarray:
    """That of x' = P_x M x / |M x|, the flow of a positive density at beta = infinity, M = Q^T K  [derived].

    On the circle theta' = -sin theta cos theta / (4 cos^2 theta + sin^2 theta)^(1/2), for 4001 angles of equal mass.
    """
    theta = np.linspace(-np.pi, np.pi, 20001)
    mass = (theta + np.pi + 0.6 * (np.sin(theta - 1) - np.sin(-np.pi - 1))) / (2 * np.pi)
    start = np.interp((np.arange(4001) + 0.5) / 4001, mass, theta)

    def rate(_: float, a: np.ndarray) -> np.ndarray:
        return -np.sin(a) * np.cos(a) / np.sqrt(4 * np.cos(a) ** 2 + np.sin(a) ** 2)

    angles = solve_ivp(rate, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-10).y
    return np.sqrt(np.mean(np.sin(angles) ** 2, 0))


PAPER = Paper(
    arxiv=("2605.10931",),
    read="abstract",
    found={
        "distance over that at beta = infinity, t = 2, beta = 1000": (0.999463, None),
        "exponent of the least distance in beta, circle": (-0.492925, None),
        "least distance on the circle, beta = 1000": (0.0142471, None),
        "least distance on S^2, n = 500, beta = 1000": (0.12816, None),
    },
    date="2026-11-30",
)
