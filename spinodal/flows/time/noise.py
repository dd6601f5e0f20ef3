r"""Brownian motion on the sphere, and a step of a noisy flow.

    dX_i = F_i dt + sqrt(2 / kappa) dW_i

A Gaussian step xi in the tangent space, taken along a geodesic, has the generator of Brownian motion to second order
if its length is reduced by curvature: with tau = h / kappa,

    x <- exp_x( sqrt(2 tau) e^{-(d-2) tau / 6} P_x xi )  [derived],

because the mean fourth derivative along geodesics is 3 (Delta^2 + 2/3 (d-2) Delta) / (d^2 - 1). Half a step of it
before and half after a midpoint step of the drift make a step of weak order two (Strang).

Tokens anywhere in R^d take x <- x + sqrt(2 tau) xi in its place.

Random numbers are drawn by counter, from (seed, step): a resumed simulation draws the same ones.
"""

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.flows.state import Field, Rate, State, is_euclidean


def normal_draws(seed: int, step: int, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Standard normal numbers of one step, from the seed and the number of the step."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step])).standard_normal(shape)


def brownian(
    x: Float[np.ndarray, "n d"], tau: float, xi: Float[np.ndarray, "n d"], euclidean: bool = False
) -> Float[np.ndarray, "n d"]:
    """Brownian motion of generator Delta for a time tau, of weak order two in tau; in R^d where `euclidean`."""
    d = x.shape[1]
    if euclidean:
        return x + np.sqrt(2 * tau) * xi
    v = np.sqrt(2 * tau) * np.exp(-(d - 2) * tau / 6) * sphere.tangent(x, xi)
    angle = np.linalg.norm(v, axis=1, keepdims=True)
    return sphere.normalise(np.cos(angle) * x + np.sinc(angle / np.pi) * v)


def noisy_step(
    field: Field, time: float, state: State, weights: Float[np.ndarray, " n"], h: float, key: tuple[int, int]
) -> tuple[State, Rate]:
    """(state, rate) after half of the noise, a midpoint step of the drift, and half of the noise.

    The rate is that of the midpoint; key is (seed, number of the step).
    """
    xi = normal_draws(*key, (2, *state.directions.shape))
    tau, flat = field.noise * h / 2, is_euclidean(field)
    start = State(brownian(state.directions, tau, xi[0], flat), state.lengths)
    first = field(time, start, weights)
    middle = displace(start, first, h / 2, flat)
    rate = field(time + h / 2, middle, weights)
    end = displace(start, rate, h, flat)
    return State(brownian(end.directions, tau, xi[1], flat), end.lengths), rate


def displace(state: State, rate: Rate, h: float, euclidean: bool) -> State:
    """The state moved by h times its drift and growth, normalised to the sphere unless `euclidean`."""
    x = state.directions + h * rate.drift
    return State(x if euclidean else sphere.normalise(x), state.lengths + h * rate.growth)
