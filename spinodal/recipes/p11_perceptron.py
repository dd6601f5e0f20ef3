"""A perceptron beside attention: tokens end in a few atoms, whether attention gathers them or spreads them.

Claim: with a perceptron critical points of attention's energy are atomic, generically
Paper: perceptron2026
Command: spinodal draw p11-perceptron
Minutes: 2
Expected: 400 tokens under USA and a perceptron that is a gradient end in 1 or 2 atoms, at rest to 1e-6, and gather
    there at the rate of the Jacobian, to 1 percent; where attention repels, V = -I, 200 tokens end in 40 atoms at
    most with the perceptron, and in 190 points or more without it
"""

from pathlib import Path

import numpy as np

from spinodal import sphere
from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, FeedForward, Head
from spinodal.flows.state import State
from spinodal.flows.time import Adaptive, simulate
from spinodal.observables import cluster_count
from spinodal.recipes import Paper, estimate

D, WIDTH, BETA = 3, 8, 1.0
STRENGTH = 4.0  # of the perceptron beside attention
END, SPREAD_END, EPSILON = 40.0, 400.0, 1e-4
EXPECTED = {
    "V = I: atoms of 400 tokens": (1, 2),
    "V = I: largest speed in the end": (0, 1e-6),
    "V = I: rate over that of the Jacobian": (0.99, 1.01),
    "V = -I: atoms of 200 tokens": (1, 40),
    "V = -I, no perceptron: atoms of 200 tokens": (190, 200),
}
EXPECTED_QUICK = {  # of two perceptrons, whose error is .013
    "V = I: atoms of 400 tokens": (1, 2),
    "V = I: rate over that of the Jacobian": (0.95, 1.05),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Tokens on S^2 with 6 perceptrons, attracted and repelled; quick: 50 and 200 tokens, 2 perceptrons."""
    n, count, end, long = (50, 2, 20.0, 20.0) if quick else (400, 6, END, SPREAD_END)
    runs = [flow(n, seed + s, end) for s in range(count)]
    ratios = [run["ratio"] for run in runs if np.isfinite(run["ratio"])]
    found = estimate("V = I: atoms of 400 tokens", [run["atoms"] for run in runs])
    found["V = I: largest speed in the end"] = float(max(run["speed"] for run in runs))
    found |= estimate("V = I: rate over that of the Jacobian", ratios)
    spread = [repelled(seed + s, long, STRENGTH) for s in range(count)]
    alone = repelled(seed, long, 0.0)
    found |= estimate("V = -I: atoms of 200 tokens", [atoms[-1] for _, atoms in spread])
    found["V = -I, no perceptron: atoms of 200 tokens"] = int(alone[1][-1])
    dashed, widths = [], {}
    for s, run in enumerate(run for run in runs if np.isfinite(run["ratio"])):
        near = (run["width"] < 1e-3) & (run["width"] > 1e-9)
        t = run["times"][near]
        widths[f"perceptron {s}"] = (run["times"], run["width"])
        dashed.append((t, run["width"][near][-1] * np.exp(-run["rate"] * (t - t[-1]))))
    panels = [
        Panel(
            "V = I: distance from the mean, root mean square",
            "t",
            lines=widths,
            theory=labelled("rate of the Jacobian", dashed),
            scales=("linear", "log"),
            limits=(1e-9, 3),
        ),
        Panel(
            f"V = -I: groups of 200 tokens at cosine 1 - {EPSILON:g}",
            "t",
            lines=labelled("a perceptron each", spread),
            theory={"no perceptron": alone},
            scales=("log", "log"),
        ),
    ]
    title = f"USA with a perceptron of {WIDTH} units on S², β = {BETA:g}"
    save(draw_claim(panels, title=title), out / "perceptron.png")
    return found


def perceptron(seed: int, strength: float = STRENGTH) -> FeedForward:
    """strength / WIDTH sum_k w_k a_k tanh(<a_k, x> + c_k), a gradient, with normal a, w and c."""
    rng = np.random.default_rng([seed, 11])
    inner, sign, bias = (
        rng.standard_normal((WIDTH, D)),
        rng.standard_normal(WIDTH),
        rng.standard_normal(WIDTH),
    )
    return FeedForward((strength / WIDTH * sign[:, None] * inner).T, inner, bias, "tanh")


def flow(n: int, seed: int, end: float) -> dict:
    """Attracted tokens: atoms in the end, the largest speed there, and how the last atom contracts."""
    feed = perceptron(seed)
    field = AttentionField(BETA, "usa", feed_forward=feed)
    times = np.linspace(0, end, 1 + round(20 * end))
    run = simulate(field, sphere.uniform(n, D, seed), end, saves=times[1:], method=Adaptive(1e-9))
    x = run.tokens[-1]
    speed = np.linalg.norm(field(0.0, State(x, np.ones(n)), np.full(n, 1 / n)).drift, axis=1).max()
    mean = sphere.normalise(run.tokens.mean(1))
    width = np.sqrt(np.square(run.tokens - mean[:, None]).sum(-1).mean(-1))
    near, rate, ratio = np.flatnonzero((width < 1e-6) & (width > 1e-8)), np.nan, np.nan
    if n - len(run.merges.time) == 1 and len(near) > 2:
        rate = contraction_rate(feed, mean[near[len(near) // 2]])
        ratio = -np.polyfit(run.times[near], np.log(width[near]), 1)[0] / rate
    return {
        "atoms": n - len(run.merges.time),
        "speed": float(speed),
        "times": run.times,
        "width": width,
        "rate": rate,
        "ratio": ratio,
    }


def contraction_rate(feed: FeedForward, x: np.ndarray) -> float:
    """The slowest rate at which tokens approach each other at an atom x: of P DF P - (e^beta + <x, F>) I  [derived].

    F is the perceptron; attention of one atom is e^beta x for all, whose change is that of the mean alone.
    """
    inside = 1 - np.tanh(feed.inner @ x + feed.bias) ** 2
    tangent = np.linalg.svd(x[None])[2][1:]
    jacobian = tangent @ feed.outer @ (inside[:, None] * feed.inner) @ tangent.T
    return float(np.exp(BETA) + x @ feed(x[None])[0] - np.linalg.eigvals(jacobian).real.max())


def repelled(seed: int, end: float, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """(times, groups of tokens) of 200 tokens that repel each other, beside the perceptron."""
    field = AttentionField(BETA, "usa", heads=(Head(values=-1.0),), feed_forward=perceptron(seed, strength))
    times = np.geomspace(0.1, end, 40)
    run = simulate(field, sphere.uniform(200, D, seed), end, saves=times, method=Adaptive(1e-7))
    return run.times[1:], cluster_count(run, EPSILON)[1:, 0].numpy()


PAPER = Paper(
    arxiv=("2601.21366",),
    read="abstract",
    found={
        "V = I: atoms of 400 tokens": (1, 0.0),
        "V = I: largest speed in the end": (1.75e-12, None),
        "V = I: rate over that of the Jacobian": (1.00527, 0.0021),
        "V = -I: atoms of 200 tokens": (6.33333, 3.4),
        "V = -I, no perceptron: atoms of 200 tokens": (199, None),
    },
    date="2026-11-30",
)
