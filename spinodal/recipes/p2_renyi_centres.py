"""Under a causal mask tokens gather at the tokens that came first to their neighbourhood, as cars that park at random.

Claim: causal SA with beta = 64 keeps strong Rényi centres where they are, for long; every token ends near a centre
Paper: causal2024
Command: spinodal draw p2-renyi-centres
Minutes: 0.2
Expected: by t = 150 strong centres move by less than 3 degrees, other centres by more than 10; every token is
    within 0.1 of a centre; the number of centres is that of cars parked at random, 9.15 at n = 200, to 0.15
"""

from pathlib import Path

import numpy as np
from scipy.integrate import quad
from scipy.special import exp1

from spinodal import sphere
from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.flow import continuous_angles
from spinodal.figures.particles import save
from spinodal.flows import AttentionField
from spinodal.flows.time import Adaptive, simulate
from spinodal.observables import renyi_centres
from spinodal.recipes import Paper, estimate

N, BETA, END = 200, 64.0, 150.0
APART = 4 / np.sqrt(BETA)


def parked(n: float) -> float:
    """(L / a) int_0^{n a / L} exp(-2 int_0^v (1 - e^-u) / u du) dv: cars of length a after n trials on a circle L.

    Rényi's parking at random; for n -> inf 0.7476 L / a.
    """
    ein = lambda v: float(exp1(v) + np.log(v) + np.euler_gamma) if v > 0 else 0.0
    return 2 * np.pi / APART * quad(lambda v: np.exp(-2 * ein(v)), 0, n * APART / (2 * np.pi), limit=200)[0]


PARKED = round(parked(float(N)), 3)
EXPECTED = {
    "strong centres move at most by, degrees": (0, 3),
    "other centres move at most by, degrees": (10, 180),
    "furthest token from a centre, radians": (0, 0.1),
    "centres of 200 tokens": (PARKED - 0.15, PARKED + 0.15),
}
EXPECTED_QUICK = {"strong centres move at most by, degrees": (0, 3), "centres of 200 tokens": (8.4, 9.9)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Five flows of 200 tokens, and the centres of 1000 starts; quick: one flow to t = 5, and 20 starts."""
    end, starts = (5.0, 20) if quick else (END, 1000)
    rows = [one_flow(seed + s, end) for s in range(1 if quick else 5)]
    strong, other, away = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    sizes = np.array([10, 20, 50, 100, 200, 500]) if quick else np.array([5, 10, 20, 50, 100, 200, 500, 1000])
    counts = [centres(n, starts, seed) for n in sizes]
    mean = np.array([c.mean() for c in counts])
    error = np.array([c.std(ddof=1) for c in counts]) / np.sqrt(starts)
    fine = np.geomspace(sizes[0], sizes[-1], 60)
    times, angles, is_strong, is_centre = rows[0][0]
    rest = np.degrees(angles)
    panels = [
        Panel(
            "angle of tokens, degrees",
            "t",
            faint=(times, rest),
            lines=centre_lines(times, rest, is_strong, is_centre),
        ),
        Panel(
            f"number of Rényi centres, mean of {starts} starts",
            "tokens n",
            points={"measured": (sizes, mean, error)},
            theory={"parking at random": (fine, np.array([parked(n) for n in fine]))},
            marks={"n = 200": N},
            scales=("log", "linear"),
            place="lower right",
        ),
    ]
    save(
        draw_claim(panels, title=f"causal SA on the circle, n = {N}, β = {BETA:g}"), out / "renyi-centres.png"
    )
    found = {
        "strong centres move at most by, degrees": float(strong.max()),
        "other centres move at most by, degrees": float(other.max()),
        "furthest token from a centre, radians": float(away.max()),
    }
    return found | estimate("centres of 200 tokens", counts[int(np.flatnonzero(sizes == N)[0])])


def centre_lines(times, angles, is_strong, is_centre) -> dict:
    """A line for each centre, all strong ones in the first colour and the others in the second."""

    def joined(chosen):
        columns = np.flatnonzero(chosen)
        gap = np.full((1, len(columns)), np.nan)
        y = np.vstack([angles[:, columns], gap])
        return np.tile(np.append(times, np.nan), len(columns)), y.T.ravel()

    return {"strong centres": joined(is_strong), "other centres": joined(is_centre & ~is_strong)}


def one_flow(seed: int, end: float):
    """((times, angles, which are strong centres, which are centres), their moves, the furthest token from a centre)."""
    x = sphere.uniform(N, 2, seed)
    run = simulate(
        AttentionField(BETA, causal=True), x, end, saves=np.linspace(0, end, 151)[1:], method=Adaptive(1e-6)
    )
    strong = renyi_centres(x, APART, strong=True)[0, 0].numpy()
    centre = renyi_centres(x, APART)[0, 0].numpy()
    angles = continuous_angles(run.tokens)
    moved = np.degrees(abs(angles[-1] - angles[0]))
    near = np.arccos(np.clip(run.tokens[-1] @ run.tokens[-1][centre].T, -1, 1)).min(1)
    others = moved[centre & ~strong].max(initial=0)
    return (run.times, angles, strong, centre), moved[strong].max(), others, near.max()


def centres(n: int, starts: int, seed: int) -> np.ndarray:
    """The number of Rényi centres of n uniform tokens, for each of many starts."""
    angles = np.random.default_rng([seed, n]).uniform(0, 2 * np.pi, (starts, n))
    x = np.stack([np.cos(angles), np.sin(angles)], -1)[None]
    return renyi_centres(x, APART)[0].sum(-1).numpy()


PAPER = Paper(
    arxiv=("2411.04990",),
    read="abstract and captions",
    found={
        "strong centres move at most by, degrees": (1.60832, None),
        "other centres move at most by, degrees": (40.5509, None),
        "furthest token from a centre, radians": (0.00138609, None),
        "centres of 200 tokens": (9.141, 0.021),
    },
    date="2026-11-30",
)
