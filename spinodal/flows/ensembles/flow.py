r"""The ode clock: the projected flow itself, Dormand-Prince 5(4) with a step for every system.

x' = F(x / |x|) keeps |x| = 1, so stages are normalised and the order stays five. Maps are evaluated by
dense output, so that accuracy alone limits the steps. Tokens nearer than NEAR become one heavier token
and its copies: then no rate is stiff, and a metastable state takes a few long steps.

    symbol  meaning                                         shape
    K       the seven stages; K_7 is the next K_1           s D N
    root    the token whose copy a place holds              N
"""

from dataclasses import dataclass
from numbers import Real
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError, InputError, require_types
from spinodal.flows.engines.law import Law
from spinodal.flows.ensembles.systems import (
    Systems,
    attention_sums,
    close_pairs,
    consensus_is_final,
    constants,
    normalise,
    product,
)
from spinodal.integrate import DORMAND_PRINCE, Controller, interpolant, next_step, repeated_step, stage_sum
from spinodal.loops import compiled, in_parts, use_widest_vectors

TABLEAU, ERROR = DORMAND_PRINCE.A, DORMAND_PRINCE.E
STAGES = len(ERROR)
CONTROLLER = Controller(safety=0.9, shrink=0.2, grow=10.0)
NEAR = 5e-11  # 1 - cos of tokens that merge: distance 1e-5, whose square moves nothing above 1e-9
MOST_STEPS = 100_000
LEAST = 4  # systems worth a thread


@dataclass(frozen=True)
class OdeClock:
    """Time of the flow, by Dormand and Prince's method; `tolerance` bounds the error of a token in one step."""

    tolerance: float = 1e-6

    def __post_init__(self):
        require_types(self, tolerance=Real)
        if not 1e-13 <= self.tolerance <= 0.1:
            raise InputError(f"`tolerance` {self.tolerance:g}: must lie in [1e-13, 0.1]", field="tolerance")

    def grid(self, end: float, number: int) -> Float[np.ndarray, " t"]:
        return np.linspace(end / number, end, number)

    def check_times(self, times: Float[np.ndarray, " t"]) -> None:
        """InputError for times that do not increase from 0."""
        if np.any(np.diff(times, prepend=0) < 0) or not np.all(np.isfinite(times)):
            raise InputError(f"`times` {times}: must be finite and increase from 0", field="times")

    def run(
        self, systems: Systems, law: Law, times: Float[np.ndarray, " t"], threshold: float
    ) -> Float[np.ndarray, "b t"]:
        self.check_times(times)
        shares = np.empty((len(systems.x), len(times)))
        limits = (self.tolerance, threshold, consensus_is_final(threshold), MOST_STEPS)
        numbers = (*constants(law), *limits)

        def part(start: int, stop: int) -> float:
            return advance(
                systems.x[start:stop], systems.weights, systems.n, numbers, times, shares[start:stop]
            )

        reached = min(in_parts(part, len(systems.x), LEAST))
        if reached < times[-1]:
            raise ConvergenceError(f"a system took {MOST_STEPS} steps to t = {reached:.3g} of {times[-1]:g}")
        return shares


@compiled()
@no_type_check
def drift(K, Z, length, x, M, clock):
    """K_j = f_j (M_j - <M_j, x_j> x_j), f_j = 1 / Z_j or the clock."""
    use_widest_vectors()
    for j in range(Z.size):
        Z[j] = 1 / Z[j] if clock == 0 else clock
        length[j] = 0.0
    for k in range(x.shape[0]):
        row, pulled = x[k], M[k]
        for j in range(Z.size):
            length[j] += row[j] * pulled[j]
    for k in range(x.shape[0]):
        row, pulled, out = x[k], M[k], K[k]
        for j in range(Z.size):
            out[j] = Z[j] * (pulled[j] - length[j] * row[j])


@compiled(fastmath={"contract"})
@no_type_check
def combine(y, x, K, c):
    """y = x + sum_s c_s K_s."""
    total, start = y.reshape(y.size), x.reshape(x.size)
    stage_sum(total, K.reshape(K.shape[0], x.size), c, 0, x.size)
    for i in range(x.size):
        total[i] += start[i]


@compiled()
@no_type_check
def largest(y, n, length):
    """max_j |y_j| over the first n tokens."""
    use_widest_vectors()
    length[:] = 0.0
    for k in range(y.shape[0]):
        row = y[k]
        for j in range(length.size):
            length[j] += row[j] * row[j]
    return np.sqrt(length[:n].max())


@compiled()
@no_type_check
def merge_near(x, w, root, S, n):
    """Merges tokens with S_ij > 1 - NEAR at their weighted mean; returns whether there were any."""
    some = False
    for i in range(n):
        for j in range(i + 1, n):
            if w[i] > 0 and w[j] > 0 and S[i, j] > 1 - NEAR:
                some = True
                square = 0.0
                for k in range(x.shape[0]):
                    x[k, i] = w[i] * x[k, i] + w[j] * x[k, j]
                    square += x[k, i] ** 2
                for k in range(x.shape[0]):
                    x[k, i] /= np.sqrt(square)
                w[i] += w[j]
                w[j] = 0.0
                for c in range(root.size):
                    if root[c] == j:
                        root[c] = i
    for c in range(root.size):
        if root[c] != c:
            x[:, c] = x[:, root[c]]
    return some


@compiled()
@no_type_check
def stages(K, y, x, w, h, kappa, clock, room):
    """K_2 to K_7 of a step h from x, whose end is y; the cosines at the end are left in S  [dormand1980]."""
    S, E, M, Z, length = room
    for s in range(1, STAGES):
        combine(y, x, K, h * TABLEAU[s, :s])
        normalise(y, length)
        attention_sums(M, Z, E, S, y, w, kappa)
        drift(K[s], Z, length, y, M, clock)


@compiled()
@no_type_check
def interpolate(y, x, K, h, theta, length):
    """y = x(t + theta h), of order four."""
    combine(y, x, K, h * interpolant(theta))
    normalise(y, length)


@compiled()
@no_type_check
def advance(systems, weights, n, numbers, times, shares):
    """Advances every system to times[-1]; shares[b, m] <- share of close pairs at times[m].

    Returns the least time at which a system ran out of steps, inf where none did.
    """
    kappa, clock, tolerance, threshold, final, most = numbers
    _, D, N = systems.shape
    S, E, M, Z, length = np.empty((N, N)), np.empty((N, N)), np.empty((D, N)), np.empty(N), np.empty(N)
    K, y, nothing, room = np.empty((STAGES, D, N)), np.empty((D, N)), np.zeros((D, N)), (S, E, M, Z, length)
    reached = np.inf
    for b in range(len(systems)):
        x, w, root = systems[b], weights.copy(), np.where(np.arange(N) < n, np.arange(N), 0)
        t, h, m, fresh = 0.0, 0.0, 0, True
        for _ in range(most):
            if fresh:
                attention_sums(M, Z, E, S, x, w, kappa)
                drift(K[0], Z, length, x, M, clock)
            if h == 0.0:
                h = 0.01 / max(largest(K[0], n, length), 1e-3)
            h = min(h, times[-1] - t)
            last = h == times[-1] - t
            stages(K, y, x, w, h, kappa, clock, room)
            combine(M, nothing, K, h * ERROR)
            error = largest(M, n, length) / tolerance
            fresh = False
            if error <= 1:
                while m < times.size and (last or times[m] <= t + h):
                    interpolate(M, x, K, h, (times[m] - t) / h if h > 0 else 0.0, length)
                    product(E, M.T, M)
                    shares[b, m] = close_pairs(E, n, threshold)
                    m += 1
                    if final and shares[b, m - 1] == 1.0:
                        shares[b, m:] = 1.0
                        m = times.size
                x[:] = y
                if m == times.size:
                    break
                t += h
                K[0] = K[STAGES - 1]
                fresh = merge_near(x, w, root, S, n)
                h = next_step(CONTROLLER, h, error)
            else:
                h = repeated_step(CONTROLLER, h, error)
        if m < times.size:
            reached = min(reached, t)
    return reached
