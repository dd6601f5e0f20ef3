r"""Many small systems of tokens at once: how they start, how they lie in memory, and what drives one.

Only inner products enter when Q = K = V = I, so n tokens of R^d are min(n, d) numbers each, exactly.
A system lies as rows of coordinates, so that loops over tokens are loops over vectors; the places
that fill up a vector hold copies of the first token with weight zero, which pull at nothing.

    symbol  meaning                                            shape
    x       tokens of the systems                              b D N, D and N padded
    w       weights: 1/n, and 0 where a place is filled up     N
    S       cosines <x_i, x_j> of one system                   N N
    E       w_i e^{beta (S_ij - 1)}, Z_j = sum_i E_ij          N N
    M       sum_i x_i E_ij: the mean that pulls at j, times Z  D N
"""

from typing import Any, NamedTuple, Protocol, no_type_check, runtime_checkable

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows.engines.law import Law
from spinodal.flows.ensembles.tiles import LANES, TILE, product
from spinodal.loops import compiled, exp2, plus, use_widest_vectors


class Systems(NamedTuple):
    """Many systems in the memory layout of the compiled loops, which change `x` in place."""

    x: Float[np.ndarray, "b D N"]
    weights: Float[np.ndarray, " N"]
    n: int
    d: int


@runtime_checkable
class Clock(Protocol):
    """Advances many systems of tokens together, by layers (`LayerClock`) or along the ODE (`OdeClock`)."""

    def run(
        self, systems: Systems, law: Law, times: Float[np.ndarray, " t"], threshold: float
    ) -> Float[np.ndarray, "b t"]:
        """Advances `systems.x` and returns the share of pairs with <x_i, x_j> >= threshold.

        A system all of whose pairs are this close is advanced no further where `consensus_is_final`.
        """
        ...

    def grid(self, end: float, number: int) -> Float[np.ndarray, " t"]:
        """`number` times up to `end` at which this clock can be read."""
        ...


def uniform_systems(n: int, d: int, numbers: range, seed: int) -> Float[np.ndarray, "b n r"]:
    """Systems of n independent uniform tokens of S^{d-1}, in r = min(n, d) coordinates.

    A system depends on the seed and its number alone, so that a larger ensemble contains a smaller one.
    """
    draw = lambda number: sphere.uniform(n, d, np.random.default_rng([seed, n, d, number]))
    return np.concatenate([triangular_coordinates(draw(number)[None]) for number in numbers])


def triangular_coordinates(x: Float[np.ndarray, "b n d"]) -> Float[np.ndarray, "b n r"]:
    """c with c c^T = x x^T and r = min(n, d): the triangular factor of a QR decomposition  [derived].

    Coordinates of tokens in their own span; cosines are the same.
    """
    if x.shape[1] >= x.shape[2]:
        return x
    R: Any = np.linalg.qr(x.mT, mode="r")
    return sphere.normalise(np.ascontiguousarray(R.mT))


def pack_systems(x: Float[np.ndarray, "b n d"]) -> Systems:
    """Systems in the layout of the loops; InputError for tokens that are not unit vectors."""
    b, n, d = x.shape
    if n < 2:
        raise InputError(f"n = {n}: a system has at least two tokens, so that there are pairs")
    sphere.require_unit(x, 1e-12)
    filled = np.zeros((b, d + -d % TILE, n + -n % LANES))
    filled[:, :d, :n] = x.transpose(0, 2, 1)
    filled[:, :, n:] = filled[:, :, :1]
    weights = np.where(np.arange(filled.shape[2]) < n, 1 / n, 0.0)
    return Systems(filled, weights, n, d)


def unpack_systems(systems: Systems) -> Float[np.ndarray, "b n d"]:
    return np.ascontiguousarray(systems.x[:, : systems.d, : systems.n].transpose(0, 2, 1))


def consensus_is_final(threshold: float) -> bool:
    """<y, z> >= c for y, z = normalise(sum_i a_i x_i), a_i >= 0, where every <x_i, x_j> >= c >= 0  [derived].

    Whether pairs that are all within the threshold stay within it, under either clock: true for thresholds >= 0. For
    <y, z> = sum a_i b_j <x_i, x_j> / (|.| |.|) >= c sum a sum b / (sum a sum b).
    """
    return threshold >= 0


def constants(law: Law) -> tuple[float, float]:
    """(beta / ln 2, the clock, 0 for SA); InputError for beta < 0."""
    if law.beta < 0:
        raise InputError(
            f"`beta` {law.beta:g}: ensembles flow with beta >= 0; simulate particles", field="beta"
        )
    return law.beta / np.log(2), law.clock or 0.0


@compiled()
@no_type_check
def attention_weights(E, Z, S, w, kappa):
    """E_ij = w_i 2^{kappa (S_ij - 1)} and Z_j = sum_i E_ij, with kappa = beta / ln 2."""
    use_widest_vectors()
    for j in range(Z.size):
        Z[j] = 0.0
    for i in range(w.size):
        e, s, wi = E[i], S[i], w[i]
        for j in range(Z.size):
            v = wi * exp2(kappa * (s[j] - 1.0))
            e[j] = v
            Z[j] += v


@compiled()
@no_type_check
def attention_sums(M, Z, E, S, x, w, kappa):
    """M_j = sum_i x_i E_ij and Z_j of one system, and its cosines S."""
    product(S, x.T, x)
    attention_weights(E, Z, S, w, kappa)
    product(M, x, E)


@compiled()
@no_type_check
def normalise(x, length):
    """x_j <- x_j / |x_j|."""
    use_widest_vectors()
    for j in range(length.size):
        length[j] = 0.0
    for k in range(x.shape[0]):
        row = x[k]
        for j in range(length.size):
            length[j] += row[j] * row[j]
    for j in range(length.size):
        length[j] = 1 / np.sqrt(length[j])
    for k in range(x.shape[0]):
        row = x[k]
        for j in range(length.size):
            row[j] *= length[j]


@compiled()
@no_type_check
def close_pairs(S, n, threshold):
    """The share of pairs i < j < n with S_ij >= threshold."""
    use_widest_vectors()
    number = 0.0
    for i in range(n):
        row = S[i]
        for j in range(n):
            number = plus(number, 1.0 if row[j] >= threshold else 0.0)
        number -= 1.0 if row[i] >= threshold else 0.0
    return number / (n * (n - 1))
