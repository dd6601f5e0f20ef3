r"""Tokens without layer norm, anywhere in R^d, as they are or in coordinates that remove their growth  [clusters2023].

    none      x_i' = sum_h sum_j p_ij^h V^h x_j + W s(A x_i + c) + Omega_i x_i + c_i
    rescaled  z = e^{-tV} x:   z_i' = sum_j p_ij V (z_j - z_i),   p_ij of <Q e^{tV} z_i, K e^{tV} z_j>

On the layer clock, x <- x + h A(x), the growth is (I + h V)^k and z = (I + h V)^{-k} x has the layers
z_i <- z_i + (I + h V)^{-1} h V sum_j p_ij (z_j - z_i): with V = I and beta = inf those of [alcalde2024], alpha = h.
There e^{tV} counts up to a factor, as do all positive multiples of a score, so that nothing overflows.

    symbol  meaning                                     shape
    x, z    tokens; they are the directions of a State, with lengths 1     n d
    G       growth, e^{tV} or (I + h V)^k; a number where V is one         d d
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.linalg import expm

from spinodal.errors import InputError
from spinodal.flows.engines.choose import mean_and_engine
from spinodal.flows.engines.kernel import Kernel, Matrix, square, times
from spinodal.flows.engines.law import EPS
from spinodal.flows.fields.schemes import Rescaled
from spinodal.flows.state import Rate

if TYPE_CHECKING:
    from spinodal.flows.fields.composed import AttentionField

LARGEST = 1e300  # score that doubles keep with its rounding
Tokens = Float[np.ndarray, "n d"]
Weights = Float[np.ndarray, " n"]


def check_euclidean(field: "AttentionField") -> None:
    """InputError for parts that tokens without layer norm do not have."""
    if field.kind != "sa":
        raise InputError(
            f"`kind` {field.kind!r} without layer norm: sums of e^(b <x, y>) over tokens of any length have no bound; "
            "take 'sa'",
            field=("kind", "normalisation"),
        )
    if field.source is not None:
        raise InputError(
            "`source` without layer norm: it is of unit vectors; take another `normalisation`",
            field=("source", "normalisation"),
        )
    if not isinstance(field.scheme, Rescaled):
        return
    others = {
        "several `heads`": len(field.heads) > 1,
        "a bias of V": field.heads[0].value_bias is not None,
        "`feed_forward`": field.feed_forward is not None,
        "`drive`": field.drive is not None,
        "`depth`": field.depth is not None,
        "noise, `kappa`": field.noise > 0,
    }
    if found := [name for name, there in others.items() if there]:
        raise InputError(
            f"`normalisation` 'rescaled' removes the growth e^(tV) of one head, and here is {found[0]}: take 'none'",
            field="normalisation",
        )


def euclidean_rate(field: "AttentionField", time: float, x: Tokens, weights: Weights) -> Rate:
    """x' of tokens without layer norm, or z' of rescaled ones, with a bound on its error; lengths stay 1."""
    if isinstance(field.scheme, Rescaled):
        return rescaled_rate(field, growth(field, time), time, x, weights)
    now, d = field.at(time), x.shape[1]
    v, Z, bound = np.zeros_like(x), np.zeros(len(x)), np.zeros(len(x))
    length, engines = np.linalg.norm(x, axis=1), {}
    for one in now.interactions:
        mean, engine = mean_and_engine(one.kernel, x, weights, one.engine)
        head, seen = one.head, mean.log_partition > -np.inf
        pull, size = times(head.value_matrix, x + mean.shift), head.value_norm
        far = length + np.linalg.norm(mean.shift, axis=1)
        error = size * (mean.error_bound + EPS * (8 + d**0.5) * far)
        if head.value_bias is not None:
            pull, error = pull + head.value_bias, error + 4 * EPS * float(np.linalg.norm(head.value_bias))
        v, bound = v + seen[:, None] * pull, bound + error
        Z += scaled_partition(one.kernel, x, mean.log_partition) / len(now.heads)
        engines[engine.name] = None
    for part in now.beside:
        v, bound = v + part(x), bound + part.error_bound * np.maximum(1.0, length)
    return Rate(v, np.zeros(len(x)), Z, bound, ", ".join(engines))


def rescaled_rate(field: "AttentionField", G: Matrix, time: float, z: Tokens, weights: Weights) -> Rate:
    """z' = V sum_j p_ij (z_j - z_i), p_ij of <Q G z_i, K G z_j>; -V z for a token that reads none with weight."""
    (one,) = field.interactions
    kernel = grown_kernel(one.kernel, G, time, z)
    mean, engine = mean_and_engine(kernel, z, weights, one.engine)
    V, size = one.head.value_matrix, one.head.value_norm
    seen = (mean.log_partition > -np.inf)[:, None]
    shift = np.where(seen, mean.shift, -z)
    bound = size * (mean.error_bound + EPS * (8 + z.shape[1] ** 0.5) * np.linalg.norm(shift, axis=1))
    Z = scaled_partition(kernel, z, mean.log_partition)
    return Rate(times(V, shift), np.zeros(len(z)), Z, bound, engine.name)


def euclidean_layer(
    field: "AttentionField", time: float, x: Tokens, weights: Weights, h: float
) -> tuple[Tokens, Rate]:
    """x + h A(x), or z + (I + hV)^-1 hV sum_j p_ij (z_j - z_i) with G = (I + hV)^k, and the rate before it."""
    if not isinstance(field.scheme, Rescaled):
        rate = euclidean_rate(field, time, x, weights)
        return x + h * rate.drift, rate
    rate = rescaled_rate(field, growth(field, time, h), time, x, weights)
    V = field.heads[0].value_matrix
    if np.ndim(V) == 0:
        return x + h / (1 + h * float(V)) * rate.drift, rate
    return x + h * np.linalg.solve(layer_matrix(V, h), rate.drift.T).T, rate


def layer_matrix(V: Matrix, h: float) -> Matrix:
    """I + h V."""
    return 1 + h * float(V) if np.ndim(V) == 0 else np.eye(len(np.asarray(V))) + h * np.asarray(V)


def growth(field: "AttentionField", time: float, step: float | None = None, *, whole: bool = False) -> Matrix:
    """G = e^{tV}, or (I + hV)^{t / h} for layers of a step h; up to a positive factor for hardmax, unless `whole`."""
    V, kernel = field.heads[0].value_matrix, field.interactions[0].kernel
    relative = kernel.hard and not kernel.biased and not whole
    with np.errstate(over="ignore", invalid="ignore"):
        if np.ndim(V) == 0:
            v = float(V)
            g = np.exp(time * v) if step is None else np.power(1 + step * v, round(time / step))
            return 1.0 if relative else float(g)
        M = np.asarray(V) if step is None else np.asarray(layer_matrix(V, step))
        values = np.linalg.eigvals(M) if relative else np.zeros(1)
        if step is None:
            return expm(time * (M - values.real.max() * np.eye(len(M))))
        return np.linalg.matrix_power(M / (np.abs(values).max() if relative else 1.0), round(time / step))


def with_scores(field: "AttentionField", z: Tokens, time: float, step: float | None = None) -> Tokens:
    """The tokens x = G z, whose scores count; up to a positive factor for hardmax, where that changes no weight."""
    return times(growth(field, time, step), z) if isinstance(field.scheme, Rescaled) else z


def grown_kernel(kernel: Kernel, G: Matrix, time: float, z: Tokens) -> Kernel:
    """e^{b <Q G z_i, K G z_j>}; InputError where a score leaves the range of doubles."""
    with np.errstate(over="ignore", invalid="ignore"):
        grown = replace(kernel, queries=product(kernel.queries, G), keys=product(kernel.keys, G))
        targets, sources = grown.logits(z)
        top = float(np.linalg.norm(targets, axis=1).max() * np.linalg.norm(sources, axis=1).max())
    if not top < LARGEST:
        raise InputError(
            f"at t = {time:g} the scores b <Q e^(tV) z, K e^(tV) z> leave the range of doubles: give an earlier "
            "`until`, or beta = inf, for which they count up to a factor",
            field="until",
        )
    return grown


def product(A: Matrix, B: Matrix) -> Matrix:
    """A B, where a number is that multiple of the identity."""
    return np.asarray(A) @ np.asarray(B) if np.ndim(A) and np.ndim(B) else A * B


def scaled_partition(kernel: Kernel, x: Tokens, log_Z: Weights) -> Weights:
    """Z_i over e to the largest exponent that lengths allow; for hardmax the mass of the maximisers."""
    if kernel.hard:
        return np.exp(log_Z)
    targets, sources = kernel.logits(x)
    largest = np.linalg.norm(targets, axis=1) * np.linalg.norm(sources, axis=1).max()
    return np.exp(np.minimum(log_Z - largest, 0.0))


def require_end(field: "AttentionField", x: Tokens, until: float, step: float | None = None) -> None:
    """InputError where scores leave doubles before a time, or a layer of a step has no inverse to rescale by."""
    if not isinstance(field.scheme, Rescaled):
        return
    V = field.heads[0].value_matrix
    if step is not None and abs(np.linalg.det(square(layer_matrix(V, step)))) < EPS:
        raise InputError(
            f"`step` {step:g}: I + h V has no inverse, by which rescaled layers are divided; take another",
            field="step",
        )
    if np.isfinite(until):
        grown_kernel(field.interactions[0].kernel, growth(field, until, step), until, x)
