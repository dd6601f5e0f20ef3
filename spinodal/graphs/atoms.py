r"""The functions that couplings are sums of: derivatives of every order, and the integral from 0, in closed form.

kind   function              bound of |f'|
sin    sin(m y)              m
cos    cos(m y), in products  m
tanh   tanh(m y)             m
ratio  y / (1 + m y^2)       1
"""

import math

import numpy as np
from numpy.polynomial import Polynomial


def sine(m: int | float, y, order: int):
    """d^order/dy^order of sin(m y); order -1: (1 - cos m y) / m, without cancellation at small y."""
    if order < 0:
        return 2 * np.sin(m * y / 2) ** 2 / m
    wave = np.cos(m * y) if order % 2 else np.sin(m * y)
    return (-1) ** (order // 2) * m**order * wave


def cosine(m: int | float, y, order: int):
    """d^order/dy^order of cos(m y); order -1: sin(m y) / m."""
    if order < 0:
        return np.sin(m * y) / m
    wave = np.sin(m * y) if order % 2 else np.cos(m * y)
    return (-1) ** ((order + 1) // 2) * m**order * wave


def ratio(s: int | float, y, order: int):
    """d^order/dy^order of y / (1 + s y^2) = Re 1 / (y - i / sqrt s) / s; order -1: log(1 + s y^2) / 2s."""
    if order < 0:
        return np.log1p(s * np.square(y)) / (2 * s)
    return (-1) ** order * math.factorial(order) / s * np.real((y - 1j / math.sqrt(s)) ** -(order + 1.0))


def hyperbolic_tangent(m: int | float, y, order: int):
    """d^order/dy^order of tanh(m y), a polynomial in t = tanh, as t' = m (1 - t^2); order -1: log cosh(m y) / m."""
    if order < 0:
        u = np.abs(m * y)
        return (u + np.log1p(np.expm1(-2 * u) / 2)) / m
    p = Polynomial([0.0, 1.0])
    for _ in range(order):
        p = m * p.deriv() * Polynomial([1.0, 0.0, -1.0])
    return p(np.tanh(m * y))


FUNCTIONS = {"sin": sine, "cos": cosine, "tanh": hyperbolic_tangent, "ratio": ratio}
