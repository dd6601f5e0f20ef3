r"""The energy that a field climbs or descends, or why there is none.

    E = (1 / 2b) sum_ij w_i w_j e^{b <x_i, M x_j>},   P grad_i E = w_i P sum_j w_j e^{b <x_i, M x_j>} M x_j.
So with M = Q^T K symmetric and V = c M a field is a positive multiple of c grad_i E, token by token: 1 / w_i for
USA, 1 / (w_i Z_i) for SA, divided by s_i of any scheme; and dE/dt has the sign of c  [glpr2023; schemes derived].
M = I is the energy of `observables.energies`. At b = 0 E is understood without its constant 1 / 2b,
(1/2) <m, M m> with m = sum_j w_j x_j; every symmetric V then has one.

    symbol  meaning
    M       symmetric coupling Q^T K; at b = 0 with another symmetric V, that V
    c       V = c M; -1 repels
    zeta    1 / clock of the kind: Z_i for SA, 1 for USA, e^b for "gkpr"
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Matrix, times
from spinodal.flows.fields.composed import AttentionField
from spinodal.flows.fields.unnormalised import UnnormalisedField
from spinodal.flows.state import State

EQUAL = 1e-12  # relative difference of matrices that are meant to be one


@dataclass(frozen=True, eq=False)
class Energy:
    """E = (1 / 2b) sum_ij w_i w_j e^{b <x_i, M x_j>} of a field with V = c M  [glpr2023]."""

    field: AttentionField
    M: Matrix
    c: float

    @property
    def sign(self) -> int:
        """+1 where the flow climbs E, -1 where it descends."""
        return 1 if self.c > 0 else -1

    def __call__(self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> float:
        """E. InputError where it overflows."""
        if self.flat:
            m = np.sum(weights[:, None] * x, 0)
            return float(m @ times(self.M, m[None])[0]) / 2
        log_E = self.log_size(x, weights)
        if log_E > math.log(np.finfo(np.float64).max):
            raise InputError(f"log E = {log_E:.6g}: E overflows; use its log")
        return math.copysign(math.exp(log_E), self.field.beta)

    def log(self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> float:
        """log E, by O(n) engines where one applies; NaN where E < 0, as it is with b < 0."""
        if self.flat:
            E = self(x, weights)
            return math.log(E) if E > 0 else -math.inf if E == 0 else math.nan
        return self.log_size(x, weights) if self.field.beta > 0 else math.nan

    def log_size(self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> float:
        """log |E|, b not 0."""
        log_Z = self.field.interactions[0].log_partition(x, weights)
        return log_sum(log_Z, weights) - math.log(2 * abs(self.field.beta))

    def log_dissipation(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> float:
        """log |dE/dt| = log sum_i w_i zeta_i |T_i|^2 / (|c| s_i), T = P A; -inf at rest.

        In a metastable state of clusters E is constant to rounding, and this still shows how they move.
        """
        interaction, scheme = self.field.interactions[0], self.field.scheme
        A = interaction.attention_output(state.directions, weights, scheme.radial(time))
        s, _ = scheme(time, state.lengths, A)
        if self.field.kind == "sa":
            log_zeta = interaction.log_partition(state.directions, weights)
        else:
            log_zeta = self.field.beta if self.field.kind == "gkpr" else 0.0
        size = np.abs(A.tangent).max(1)  # taken out, for squares may underflow
        moving = (size > 0) & (weights > 0)
        if not moving.any():
            return -math.inf
        relative = np.sum((A.tangent[moving] / size[moving, None]) ** 2, 1)
        logs = (
            np.log(relative)
            + 2 * np.log(size[moving])
            + np.broadcast_to(log_zeta - np.log(s), size.shape)[moving]
        )
        return log_sum(logs, weights[moving]) - math.log(abs(self.c))

    @property
    def flat(self) -> bool:
        """Whether every exponent is zero."""
        return self.field.interactions[0].top == 0


def energy_of(field: AttentionField | UnnormalisedField) -> Energy:
    """The energy that the flow of a field climbs or descends  [glpr2023].

    InputError "no energy: ...", with the reason, where the field has none, as with a causal mask. With noise
    no energy is monotone: use the same field with kappa = inf.
    """
    if isinstance(field, UnnormalisedField) or field.euclidean:
        raise InputError("no energy: without layer norm tokens do not stay on the sphere")
    obstacles = {
        "a causal mask makes the pull of two tokens on each other unequal": field.causal,
        "beta = inf, the hardmax limit, has no smooth energy": math.isinf(field.beta),
        "noise moves tokens up and down: take kappa = inf": field.noise > 0,
        "the feed-forward part is no gradient": field.feed_forward is not None,
        "drives of tokens are no gradient of it": field.drive is not None,
        "its heads change with time": field.depth is not None,
        "what tokens read from a source does not act on it": field.source is not None,
        "biases make no gradient": field.biased,
        "scores of positions that are not symmetric, or without beta, make no gradient": field.positions
        is not None
        and (field.beta == 0 or not field.positions.symmetric),
        f"{len(field.heads)} heads at once: ask the field of each head": len(field.heads) > 1,
    }
    for obstacle, stands in obstacles.items():
        if stands:
            raise InputError(f"no energy: {obstacle}")
    head = field.heads[0]
    M, V = head.coupling, head.value_matrix
    if field.interactions[0].top == 0 and proportion(V, M) == 0:
        if not symmetric(V):
            raise InputError("no energy: V is not symmetric")
        return Energy(field, V, 1.0)
    if not symmetric(M):
        raise InputError("no energy: Q^T K is not symmetric")
    c = proportion(V, M)
    if c == 0:
        raise InputError("no energy: V differs from Q^T K, and from every multiple of it but 0")
    return Energy(field, M, c)


def log_sum(logs: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """log sum_i w_i e^{l_i}."""
    top = float(logs.max())
    return top + math.log(np.sum(weights * np.exp(logs - top)))


def symmetric(M: Matrix) -> bool:
    return np.ndim(M) == 0 or bool(np.abs(M - np.transpose(M)).max() <= EQUAL * np.abs(M).max())


def proportion(V: Matrix, M: Matrix) -> float:
    """c of V = c M; 0 where there is none."""
    identity = np.eye(max(len(np.atleast_1d(V)), len(np.atleast_1d(M))))
    V, M = (A * identity if np.ndim(A) == 0 else np.asarray(A) for A in (V, M))
    square = float(np.sum(M * M))
    c = float(np.sum(V * M)) / square if square else 0.0
    return c if np.abs(V - c * M).max() <= EQUAL * np.abs(V).max() else 0.0
