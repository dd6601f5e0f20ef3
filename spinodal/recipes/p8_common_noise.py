"""Values drawn anew in every layer are noise that all tokens share, and by that noise alone tokens gather.

Claim: with weights resampled in every layer tokens follow a diffusion on the sphere with common noise, without
    drift
Paper: homogenized2026
Command: spinodal draw p8-common-noise
Minutes: 0.5
Expected: from 8 orthonormal tokens of R^64 at beta = 0 the mean cosine at tau = h^2 layers = 4 is that of the
    equation of equiangular tokens, 0.845, to three standard errors and 0.01; at beta = 20 it stays at 0, and the
    mean square cosine is that of two tokens under common linear noise at tau = 4 and 16, to 25 percent
"""

from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, OrthonormalStart, Resampled
from spinodal.flows.time import Layers, simulate
from spinodal.recipes import Paper, estimate

N, D, STEP = 8, 64, 0.2


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """24 draws of the weights at each beta, 100 and 400 layers; quick: 6 draws, 100 layers."""
    draws, ends = (6, (4.0, 4.0)) if quick else (24, (4.0, 16.0))
    found, rows = {}, {}
    for beta, end in zip((0.0, 20.0), ends, strict=True):
        tau, cosines = zip(*(flow(beta, end, seed + s) for s in range(draws)), strict=True)
        rows[beta] = tau[0], np.array(cosines)
    tau, cosines = rows[0.0]
    mean = cosines.mean(-1)
    found |= estimate("beta = 0: mean cosine at tau = 4", mean[:, -1])
    found["beta = 0: theory"] = float(equiangular(tau[[0, -1]], 0.0)[-1])
    late, square = rows[20.0][0], np.square(rows[20.0][1]).mean(-1)
    for time in (4.0,) if quick else (4.0, 16.0):
        at, expected = int(np.argmin(abs(late - time))), square_cosine(np.array([time]))[0]
        found |= estimate(f"beta = 20: mean cosine at tau = {time:g}", rows[20.0][1].mean(-1)[:, at])
        found |= estimate(
            f"beta = 20: mean square cosine over theory at tau = {time:g}", square[:, at] / expected
        )
    root = np.sqrt(draws)
    panels = [
        Panel(
            f"β = 0: mean cosine, {draws} draws of the weights",
            "τ = h² layers",
            lines={"measured": (tau, mean.mean(0), mean.std(0, ddof=1) / root)},
            theory={"equiangular tokens": (tau, equiangular(tau, 0.0))},
            limits=(-0.02, 1.02),
        ),
        Panel(
            "β = 20: mean cosine and mean square cosine",
            "τ = h² layers",
            lines={
                "mean square": (late, square.mean(0), square.std(0, ddof=1) / root),
                "mean": (late, rows[20.0][1].mean(-1).mean(0), rows[20.0][1].mean(-1).std(0, ddof=1) / root),
            },
            theory={
                "two tokens, common linear noise": (late, square_cosine(late)),
                "_equiangular tokens": (late, equiangular(late, 20.0)),
            },
        ),
    ]
    title = f"SA with values redrawn every layer, n = {N} orthonormal tokens, d = {D}, h = {STEP:g}"
    save(draw_claim(panels, title=title), out / "common-noise.png")
    return found


def flow(beta: float, end: float, seed: int):
    """(tau, cosines of all pairs) of one draw of the weights."""
    field = AttentionField(beta, depth=Resampled(D, values=f"random:{seed}", period=STEP))
    until = end / STEP
    run = simulate(
        field,
        OrthonormalStart(N, D).tokens(),
        until,
        saves=np.linspace(0, until, 26)[1:],
        method=Layers(STEP),
    )
    pairs = np.triu_indices(N, 1)
    return run.times * STEP, np.array([(x @ x.T)[pairs] for x in run.tokens])


def equiangular(tau: np.ndarray, beta: float) -> np.ndarray:
    """g' = ((d - 2 + g^2) <A_i, A_j> - (d - 1) g |A_i|^2) / d, A attention of n tokens of cosine g  [derived].

    The mean cosine under dx_i = P (dB A_i) less what keeps |x_i| = 1, B a matrix of d x d Brownian motions / sqrt(d).
    """

    def rate(_: float, g: np.ndarray) -> np.ndarray:
        q = np.exp(beta * (g - 1)) / (1 + (N - 1) * np.exp(beta * (g - 1)))
        p = 1 - (N - 1) * q
        square = p**2 + 2 * p * q * (N - 1) * g + q**2 * (N - 1) * (1 + (N - 2) * g)
        product = p**2 * g + 2 * p * q * (1 + (N - 2) * g) + q**2 * ((N - 2) + ((N - 1) ** 2 - (N - 2)) * g)
        return ((D - 2 + g**2) * product - (D - 1) * g * square) / D

    return solve_ivp(rate, (0, tau[-1]), [0.0], t_eval=tau, rtol=1e-9, atol=1e-12).y[0]


def square_cosine(tau: np.ndarray) -> np.ndarray:
    """E g^2 with y = artanh g, dy = tanh(y) dt / d + sqrt(2 / d) dW, y(0) = 0: self-attention alone  [derived].

    dg = -g (1 - g^2) dt / d + sqrt(2 / d) (1 - g^2) dW under dx = P (dB x), the same B for both.
    """
    y = np.linspace(-8, 8, 201)
    h = y[1] - y[0]
    up = (1 / h**2 + np.tanh(y) / (2 * h)) / D
    down = (1 / h**2 - np.tanh(y) / (2 * h)) / D
    generator = np.diag(up[:-1], 1) + np.diag(down[1:], -1) - np.diag(up + down)
    generator[0, 0], generator[-1, -1] = -up[0], -down[-1]
    found, value, before = [], np.tanh(y) ** 2, 0.0
    for t in tau:
        value = expm(generator * (t - before)) @ value
        before = t
        found.append(value[len(y) // 2])
    return np.array(found)


MEAN = float(equiangular(np.array([0.0, 4.0]), 0.0)[-1])
EXPECTED = {
    "beta = 0: mean cosine at tau = 4": (MEAN - 0.04, MEAN + 0.04),
    "beta = 20: mean cosine at tau = 4": (-0.1, 0.1),
    "beta = 20: mean cosine at tau = 16": (-0.15, 0.15),
    "beta = 20: mean square cosine over theory at tau = 4": (0.75, 1.25),
    "beta = 20: mean square cosine over theory at tau = 16": (0.75, 1.25),
}
EXPECTED_QUICK = {"beta = 0: mean cosine at tau = 4": (MEAN - 0.1, MEAN + 0.1)}
PAPER = Paper(
    arxiv=("2604.01978",),
    read="abstract",
    found={
        "beta = 0: mean cosine at tau = 4": (0.838241, 0.013),
        "beta = 20: mean cosine at tau = 4": (0.00315277, 0.0099),
        "beta = 20: mean cosine at tau = 16": (0.00124455, 0.025),
        "beta = 20: mean square cosine over theory at tau = 4": (0.881372, 0.052),
        "beta = 20: mean square cosine over theory at tau = 16": (1.07454, 0.089),
    },
    date="2026-11-30",
)
