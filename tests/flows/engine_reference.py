"""Attention by its definition, in extended precision, and the clouds on which engines are judged.

`exact` sums differences, `averaged` averages and projects: two roads to one number, in 64 bits of
mantissa where the engines have 53. Only the first keeps its digits near a cluster.
"""

import numpy as np

from spinodal import sphere

WIDE = np.longdouble


def unit_rows(x):
    x = np.asarray(x, WIDE)
    return x / np.sqrt((x * x).sum(1, keepdims=True))


def rate(Z, beta, kind):
    if kind == "sa":
        return 1 / Z
    return np.exp(WIDE(beta if kind == "usa" else 0)) + 0 * Z


def exact(x, weights, beta, kind="sa", rows=None, causal=False):
    """(drift, Z) of some rows: sum_j w_j e^{-b q/2} P_{x_i} (x_j - x_i) / |x_j|, q = |x_i - x_j|^2.

    The differences are those of the doubles as they are: dividing by lengths first would round them.
    """
    raw, w, x = np.asarray(x, WIDE), np.asarray(weights, WIDE), unit_rows(x)
    length = np.sqrt((raw * raw).sum(1))
    drift, Z = [], []
    for i in range(len(x)) if rows is None else rows:
        some = slice(i + 1) if causal else slice(None)
        e = w[some] * np.exp(-beta * ((x[some] - x[i]) ** 2).sum(1) / 2)
        pull = (e / length[some]) @ (raw[some] - raw[i])
        drift.append(pull - (pull @ x[i]) * x[i])
        Z.append(e.sum())
    Z = np.array(Z)
    return np.array(drift) * rate(Z, beta, kind)[:, None], Z


def averaged(x, weights, beta, kind="sa"):
    """(drift, Z) by the definition: the weighted mean of the tokens, projected."""
    x, w = unit_rows(x), np.asarray(weights, WIDE)
    e = w * np.exp(beta * (x @ x.T - 1))
    Z, num = e.sum(1), e @ x
    num -= (num * x).sum(1, keepdims=True) * x
    return num * rate(Z, beta, kind)[:, None], Z


def cloud(name, n, d, seed=0):
    """(x, weights): tokens of one kind, with uneven weights."""
    random = np.random.default_rng(seed)
    centres = sphere.uniform(4, d, random)
    match name:
        case "uniform":
            x = random.standard_normal((n, d))
        case "clustered":
            x = centres[random.integers(0, 4, n)] + 1e-2 * random.standard_normal((n, d))
        case "metastable":
            x = centres[random.integers(0, 4, n)] + 1e-9 * random.standard_normal((n, d))
        case "one cluster":
            x = centres[0] + 1e-7 * random.standard_normal((n, d))
        case "alone":  # one token opposite to all others
            x = centres[0] + 1e-3 * random.standard_normal((n, d))
            x[0] = -centres[0]
        case "nearly coincident":
            x = random.standard_normal((n, d))
            x[1] = x[0] * (1 + 1e-13 * random.standard_normal(d))
        case "poles":
            x = 1e-3 * random.standard_normal((n, d))
            x[:, -1] = random.choice([-1, 1], n)
            x[0] = np.eye(d)[-1]
    weights = random.uniform(0.1, 2, n)
    return sphere.normalise(x), weights / weights.sum()


CLOUDS = ["uniform", "clustered", "metastable", "one cluster", "alone", "nearly coincident", "poles"]
