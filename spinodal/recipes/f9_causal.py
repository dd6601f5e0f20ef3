"""Causal attention: every token sees the past alone, and all end where the first stands.

Claim: with a causal mask and V = I all tokens reach x_1(0), which never moves; the second, with half its attention on
    itself, sets the pace exp(-t / 2)
Paper: causal2024
Command: spinodal draw f9-causal
Minutes: 0.1
Expected: the first token moves by no more than 1e-15; all are within 1e-8 of it at T = 60 (quick: 1e-7 at
    40); token 2 follows its closed form to 1e-6; the largest angle falls at a rate within 0.02 of 0.5
"""

from pathlib import Path

import numpy as np

from spinodal import sphere, theory
from spinodal.figures import particles
from spinodal.flows import AttentionField
from spinodal.flows.time import Adaptive, simulate

N, BETA = 32, 2.0
EXPECTED = {
    "movement of the first token": (0, 1e-15),
    "largest angle at T": (0, 1e-8),
    "token 2 over its closed form - 1": (0, 1e-6),
    "rate of the largest angle": (0.48, 0.52),
}
EXPECTED_QUICK = EXPECTED | {"largest angle at T": (0, 1e-7)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Trails and angles of one flow to T = 60; quick: to 40."""
    end = 40.0 if quick else 60.0
    field, start = AttentionField(BETA, causal=True), sphere.uniform(N, 3, seed)
    run = simulate(
        field, start, end, saves=np.linspace(0, end, 241)[1:], method=Adaptive(1e-10 if quick else 1e-11)
    )
    times, tokens = run.times, run.tokens
    angles = 2 * np.arcsin(np.linalg.norm(tokens - tokens[:, :1], axis=-1) / 2)
    second = np.asarray(theory.two_token_angle_sa(times / 2, BETA, angles[0, 1]))
    title = f"causal SA on the sphere, V = I, n = {N}, β = {BETA:g}: all reach the first token"
    particles.save(particles.causal(times, tokens, second, title=title), out / "causal.png")
    top, seen = angles.max(1), second > 1e-3
    late = (times > end / 2) & (top > 1e-8)
    return {
        "movement of the first token": float(abs(tokens[:, 0] - tokens[0, 0]).max()),
        "largest angle at T": float(top[-1]),
        "token 2 over its closed form - 1": float(abs(angles[seen, 1] / second[seen] - 1).max()),
        "rate of the largest angle": float(-np.polyfit(times[late], np.log(top[late]), 1)[0]),
    }
