"""Long contexts: how strongly attention must grow with their length, beta = c log n, to do neither all nor nothing.

Claim: one layer sends the cosine rho of equiangular tokens to 1, to 4 rho / (1 + 3 rho) or leaves it, as c is
    below, at or above 1 / (1 - rho)
Paper: chen2025
Command: spinodal draw f11-long-context
Minutes: 1
Expected: the layer agrees with its closed form to 1e-12; at n = 1024 and c (1 - rho) = 1/2, 1, 2 the cosine is
    within 0.003 of the three limits (quick: 0.02 at n = 128). For rho = 0 they are others, 1, 1/2 and 0 about c = 1/2
    and not about 1, and slower: within 0.04 of them (0.1)
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from spinodal import sphere, theory
from spinodal.figures import maps, save_picture
from spinodal.flows.engines.pairs import interaction

RHO = (0.0, 0.25, 0.5, 0.75)


def layer_cosine(rho: float, n: int, beta: float) -> float:
    """The mean cosine of pairs of normalise(Att(x)), for n tokens of R^{n+1} that all have the cosine rho."""
    x: Float[np.ndarray, "n d"] = np.hstack([np.sqrt(1 - rho) * np.eye(n), np.full((n, 1), np.sqrt(rho))])
    y = sphere.normalise(interaction(beta * x, x, x, np.full(n, 1 / n)).shift)
    return float((np.square(y.sum(0)).sum() - n) / (n * (n - 1)))


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """A picture a rho; nothing is drawn by chance. Quick: up to 128 tokens."""
    lengths = (8, 32, 128) if quick else (32, 256, 1024)
    c = np.linspace(0, 2.5, 11 if quick else 26)
    measured, worst = {}, 0.0
    for rho in RHO:
        critical = 0.5 if rho == 0 else 1 / (1 - rho)
        curves = {}
        for n in lengths:
            betas = c * critical * np.log(n)
            found = np.array([layer_cosine(rho, n, beta) for beta in betas])
            expected = np.asarray(theory.attention_layer(rho, n, betas))
            curves[f"n = {n}"] = found, expected
            worst = max(worst, float(abs(found - expected).max()))
            for k in np.flatnonzero(np.isin(c, (0.5, 1.0, 2.0)) & (n == lengths[-1])):
                measured[f"rho = {rho:g}, n = {n}, c over critical = {c[k]:g}"] = float(found[k])
        title = f"one layer of attention, ρ = {rho:g}, critical c = {critical:.3g}"
        figure = maps.measured_over_theory(
            c,
            curves,
            limits(rho),
            labels=("c over its critical value, β = c log n", "cosine after the layer"),
            title=title,
        )
        save_picture(figure, out / f"rho-{rho:g}.png")
    return measured | {"largest |measured - closed form|": worst}


def limits(rho: float) -> tuple[float, float, float]:
    """The limits n -> inf below, at and above the critical c."""
    if rho == 0:
        return 1.0, 0.5, 0.0
    below, at, above = np.asarray(
        theory.long_context_layer(rho, np.array([0.5, 1.0, 2.0]) / (1 - rho))
    ).tolist()
    return below, at, above


def bounds(n: int, off: float, slow: float) -> dict[str, tuple[float, float]]:
    """The limits of every rho, to `off` at this n, and to `slow` for rho = 0."""
    found = {"largest |measured - closed form|": (0.0, 1e-12)}
    for rho in RHO:
        width = slow if rho == 0 else off
        for c, limit in zip((0.5, 1, 2), limits(rho), strict=True):
            found[f"rho = {rho:g}, n = {n}, c over critical = {c:g}"] = (limit - width, limit + width)
    return found


EXPECTED = bounds(1024, 0.003, 0.04)
EXPECTED_QUICK = bounds(128, 0.02, 0.1)
