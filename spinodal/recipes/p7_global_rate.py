"""A density becomes a Dirac at two rates: that of its core, and that of the last mass opposite.

Claim: a regular density converges to a Dirac exponentially in W2
Paper: quantitative2025
Command: spinodal draw p7-global-rate
Minutes: 0.3
Expected: under USA W2^2 falls at the rate (d - 1) e^(-beta), set by the mass that leaves the opposite point last,
    to 0.5 percent for d = 2 to 4 and beta up to 1: 1.2131 in d = 3 at beta = 0.5, 1.6375 at 0.2; the core contracts
    at e^beta
"""

from pathlib import Path

import numpy as np

from spinodal import theory
from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.flows import AttentionField
from spinodal.meanfield import DensityExperiment, ZonalModes, evolve
from spinodal.recipes import Paper

CASES = {2: (0.2, 0.5, 0.75, 1.0), 3: (0.2, 0.35, 0.5, 0.75, 1.0), 4: (0.5, 0.75, 1.0)}
NAMED = {(d, beta): f"rate of W2^2, d = {d}, beta = {beta:g}" for d in CASES for beta in CASES[d]}
RATES = {name: float(theory.wasserstein_rate_usa(*case)) for case, name in NAMED.items()}
EXPECTED = {name: (0.995 * rate, 1.005 * rate) for name, rate in RATES.items()} | {
    "local rate over e^beta, d = 3, beta = 0.5": (0.99, 1.01)
}
EXPECTED_QUICK = {name: EXPECTED[name] for name in (NAMED[3, 0.5], NAMED[3, 0.2])}


def number(rate: float | None) -> float:
    """NaN where there is no rate."""
    return float("nan") if rate is None else rate


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Zonal densities 1 + 0.6 cos(phi); nothing here is random. Quick: two of them."""
    del seed
    cases = [(3, 0.5), (3, 0.2)] if quick else list(NAMED)
    results = {case: density(*case) for case in cases}
    found = {NAMED[case]: number(result.wasserstein_rate) for case, result in results.items()}
    local = number(results[3, 0.5].clustering_rate)
    found["local rate over e^beta, d = 3, beta = 0.5"] = local / float(theory.dirac_rate_usa(0.5))
    lines, points, dashed = {}, {}, []
    for beta in (0.2, 0.5):
        record, rate = results[3, beta].record, RATES[NAMED[3, beta]]
        square = record.wasserstein_dirac**2
        seen = square > 1e-8
        lines[f"β = {beta:g}"] = (record.times[seen], square[seen])
        near = np.flatnonzero(square < 1e-3)[0]
        times = record.times[near:][seen[near:]]
        dashed.append((times, square[near] * np.exp(-rate * (times - times[0]))))
    for d in sorted({d for d, _ in cases}):
        chosen = [case for case in cases if case[0] == d]
        points[f"d = {d}"] = (np.array([b for _, b in chosen]), np.array([found[NAMED[c]] for c in chosen]))
    fine = np.linspace(0.1, 1.05, 100)
    curves = [(fine, np.asarray(theory.wasserstein_rate_usa(d, fine))) for d in (2, 3, 4)]
    panels = [
        Panel(
            "W2² to the nearest Dirac, d = 3",
            "t",
            lines=lines,
            theory=labelled("exp(-(d - 1) exp(-β) t)", dashed),
            scales=("linear", "log"),
        ),
        Panel(
            "rate of W2² in the end",
            "β",
            points=points,
            theory=labelled("(d - 1) exp(-β), or 2 exp(β) if less", curves),
        ),
    ]
    title = "USA, zonal densities: the global rate"
    save(draw_claim(panels, title=title), out / "global-rate.png")
    return found


def density(d: int, beta: float):
    """A density until its W2^2 is below 1e-7."""
    until = 4 + 17 / float(theory.wasserstein_rate_usa(d, beta))
    return evolve(DensityExperiment(AttentionField(beta, "usa"), ZonalModes(np.array([0.6]), d), until))


PAPER = Paper(
    arxiv=("2504.14697",),
    read="abstract",
    found={
        "rate of W2^2, d = 2, beta = 0.2": (0.818729, None),
        "rate of W2^2, d = 2, beta = 0.5": (0.606528, None),
        "rate of W2^2, d = 2, beta = 0.75": (0.472411, None),
        "rate of W2^2, d = 2, beta = 1": (0.367356, None),
        "rate of W2^2, d = 3, beta = 0.2": (1.64075, None),
        "rate of W2^2, d = 3, beta = 0.35": (1.40997, None),
        "rate of W2^2, d = 3, beta = 0.5": (1.21319, None),
        "rate of W2^2, d = 3, beta = 0.75": (0.944783, None),
        "rate of W2^2, d = 3, beta = 1": (0.735778, None),
        "rate of W2^2, d = 4, beta = 0.5": (1.82808, None),
        "rate of W2^2, d = 4, beta = 0.75": (1.4195, None),
        "rate of W2^2, d = 4, beta = 1": (1.10516, None),
        "local rate over e^beta, d = 3, beta = 0.5": (0.996692, None),
    },
    date="2026-11-30",
)
