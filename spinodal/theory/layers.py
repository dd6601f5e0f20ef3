r"""Layers instead of time: equiangular tokens under the map that a Transformer applies.

One layer x_i <- normalise(p x_i + q sum_k x_k) keeps tokens equiangular. With S = sum_k x_k,
<x_i, S> = sigma and |S|^2 = n sigma, so the deficit v = 1 - g obeys, without subtraction,

    v <- v p^2 / (p^2 + q sigma (2 p + n q)),   sigma = n - (n-1) v   [derived].

Attention has q = h w and p = 1 + h (e^{beta v} - 1) w, w = 1 / (e^{beta v} + n - 1); USA has the same
with w = e^{beta g} / n. Against the projected flow this *layer clock* is slow: normalising divides by
1 + h <x, Att(x)>.

    symbol  meaning                                     symbol  meaning
    g, v    common cosine and 1 - g                     h       step of the layer clock
    p, q    weights of a token itself and of the sum    rho     cosine before a bare layer
"""

from math import exp

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.limits import require_at_most
from spinodal.theory.domain import (
    LEAST_BETA,
    Counts,
    Number,
    Numbers,
    count,
    real,
    signed_temperature,
    temperature,
)
from spinodal.theory.gamma import cosine, one_share, time_sa

MOST_LAYERS = 1_000_000


def layer_gamma(
    layers: int, n: int, beta: Number, step: Number = 0.1, start: Number = 0.0
) -> Float[np.ndarray, " t"]:
    """g_{k+1} = cos of x <- normalise(x + h Att(x)) at g_k  [glpr2023; recursion derived].

    The common cosine of n tokens after 0, 1, ..., `layers` layers of step h under SA; `start` is the cosine before.
    """
    require_at_most(MOST_LAYERS, int(count("layers", layers, 0)), "layers")
    return 1 - _layer_deficits(layers, n, beta, step, start)


def layer_gamma_usa(
    layers: int, n: int, beta: Number, step: Number = 0.1, start: Number = 0.0
) -> Float[np.ndarray, " t"]:
    """g_{k+1} = cos of x_i <- normalise(x_i + (h / n) sum_j e^{b <x_i, x_j>} x_j) at g_k  [derived].

    The common cosine of n tokens after 0, 1, ..., `layers` layers of step h under USA. With weights e^{b(<x,y> - 1)}
    the same recursion holds at h e^{-b}. A step with h e^b / n far above 1 overwrites the tokens.
    """
    require_at_most(MOST_LAYERS, int(count("layers", layers, 0)), "layers")
    return 1 - _layer_deficits(layers, n, beta, step, start, usa=True)


def layer_slowness(gamma: Numbers, n: Counts, beta: Numbers, step: Numbers = 0.1) -> Numbers:
    """1 + h <x, Att(x)> = 1 + h (1 - (n-1) v / (e^{beta v} + n - 1))  [derived].

    The time on the layer clock per time of the flow, to first order in h. `layer_to_ode` and `ode_to_layer` convert
    exactly.
    """
    n, beta, step = count("n", n, 2), signed_temperature(beta), real("step", step, 0.0, np.inf)
    v = 1 - cosine("gamma", gamma, n)
    return 1 + step * (1 - (n - 1) * v * one_share(beta * v, n))


def layer_to_ode(t: Numbers, n: int, beta: Number, step: Number = 0.1) -> Numbers:
    """t_ode with g_SA(t_ode) = g_layers(t)  [derived].

    The time at which the flow SA has the cosine that the layer clock has at t = h k, from an orthonormal start. Linear
    between layers, of which there may be a million; the clocks agree as h -> 0. InputError where the cosine has become
    one to 300 digits.
    """
    step = float(real("step", step, 0.0, np.inf, ends=False))
    t = real("t", t, 0.0, MOST_LAYERS * step)
    layer, ode = _clocks(int(np.ceil(np.max(t) / step)), n, beta, step)
    if layer[-1] < np.max(t):
        raise InputError(
            f"t = {np.max(t):g}: tokens are at consensus since t = {layer[-1]:g} of the layer clock"
        )
    return np.interp(t, layer, ode)


def ode_to_layer(t: Numbers, n: int, beta: Number, step: Number = 0.1) -> Numbers:
    """t = h k with g_layers(t) = g_SA(t_ode), the inverse of `layer_to_ode`  [derived].

    The time on the layer clock at which the cosine is that of the flow SA. InputError after a million layers, or where
    the cosine has become one to 300 digits.
    """
    t = real("t", t, 0.0, np.inf)
    layers = 16
    while layers <= MOST_LAYERS:
        layer, ode = _clocks(layers, n, beta, step)
        if ode[-1] >= np.max(t):
            return np.interp(t, ode, layer)
        if len(layer) <= layers:
            raise InputError(f"t = {np.max(t):g}: tokens are at consensus since t = {ode[-1]:g}")
        layers *= 4
    raise InputError(f"t = {np.max(t):g}: takes over {MOST_LAYERS} layers of step {step}; enlarge it")


def attention_layer(rho: Numbers, n: Counts, beta: Numbers) -> Numbers:
    """cos(y_i, y_j) for y = normalise(Att(x)), n equiangular tokens of cosine rho, no residual  [chen2025].

    The common cosine after one bare attention layer: p = 1 - e^{-beta (1-rho)} and q = e^{-beta (1-rho)} in the
    recursion of this file, up to a common factor.
    """
    n = count("n", n, 2)
    v = 1 - cosine("rho", rho, n)
    E = np.exp(-temperature(beta, least=LEAST_BETA) * v)
    return 1 - _deficit_after(v, 1 - E, E, n)


def long_context_layer(rho: Numbers, c: Numbers) -> Numbers:
    """1, 4 rho / (1 + 3 rho) or rho, as c (1-rho) is below, at or above 1  [chen2025].

    The limit of `attention_layer` for long sequences, n -> inf with beta = c log n and 0 < rho < 1. At rho = 0 the mean
    of the tokens vanishes and c = 1/2 is critical instead. "At" means to twelve digits.
    """
    rho = real("rho", rho, 0.0, 1.0, ends=False)
    side = real("c", c, 0.0, np.inf) * (1 - rho) - 1
    return np.where(np.abs(side) < 1e-12, 4 * rho / (1 + 3 * rho), np.where(side < 0, 1.0, rho))


def _deficit_after(v, p, q, n):
    """The deficit after one layer with weights p and q, by the recursion of this file."""
    sigma = n - (n - 1) * v
    return v * p**2 / (p**2 + q * sigma * (2 * p + n * q))


def _layer_deficits(
    layers: int, n: int, beta: Number, step: Number, start: Number, *, usa: bool = False
) -> np.ndarray:
    """The deficits v = 1 - g after 0, 1, ..., `layers` layers."""
    b, h = float(temperature(beta, least=LEAST_BETA)), float(real("step", step, 0.0, np.inf, ends=False))
    v = [1 - float(cosine("start", start, count("n", n, 2)))]
    for _ in range(layers):
        E = exp(-b * v[-1])
        w = h * exp(b) / n if usa else h / (1 + (n - 1) * E)
        v.append(_deficit_after(v[-1], 1 + (1 - E) * w, E * w, n))
    return np.array(v)


def _clocks(layers: int, n: int, beta: Number, step: Number) -> tuple[np.ndarray, np.ndarray]:
    """(t, t_ode): times of layers 0, 1, ... on the layer clock and under SA, as long as 1 - g > 1e-300."""
    v = _layer_deficits(layers, n, beta, step, 0.0)
    v = v[v > 1e-300]
    return float(step) * np.arange(len(v)), np.asarray(time_sa(v, n, signed_temperature(beta), 1.0))
