r"""The gradient flow in time, its descent in steps, and the sparse descent.

    flow      x' = -M^-1 grad E                          dE/dt = -x'^T M x' <= 0
    step      x <- x - eta M^-1 grad E                   descends for eta < 2 / L, with M = I
    sparse    x <- prox_{eta P, M}(x - eta M^-1 grad E)  E + P never rises for eta <= 1 / L

Where |f'| has no bound (polynomials) the step is halved until the energy falls as it must.
The proximal map is that of the metric M, threshold eta tau / m_i for P = tau |x|_1: then what is found is a
minimum of E + P whatever M and eta are. With the threshold eta tau for every i the minimum would
be that of E + tau sum m_i |x_i|. The formulas of the article [preetham2023] are not available, and these are
ours [derived]; its own threshold, once and after convergence, is `threshold_once`.

    symbol  meaning                            shape
    x       state                              n
    M       diagonal of the mobility's inverse n
    tau     threshold
    eta     step
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.integrate import solve_ivp

from spinodal.errors import ConvergenceError, InputError
from spinodal.graphs.energy import System
from spinodal.graphs.experiment import GradientFlow
from spinodal.graphs.states import real_states
from spinodal.results import Result
from spinodal.types import Trajectory

TOLERANCE = 1e-10  # of |grad E|, relative to the scale of the system
ROUNDING = 1e-14  # of an energy


@dataclass(frozen=True, eq=False, repr=False)
class FlowResult(Result):
    """States x(t) and their energies; `residual` is |grad E| at the last state."""

    times: Float[np.ndarray, " t"]
    states: Float[np.ndarray, "t n"]
    energies: Float[np.ndarray, " t"]
    residual: float
    experiment: GradientFlow | None = field(
        default=None, repr=False, metadata={"saved": "never"}
    )  # a record has it as its configuration

    @property
    def largest_rise(self) -> float:
        """The largest rise of the energy from one of the times to the next; below 0 where it always falls."""
        return float(np.diff(self.energies).max())


class Descent(NamedTuple):
    """The last state of a descent, the energy (with the penalty) at every step, and the residual."""

    state: Float[np.ndarray, " n"]
    energies: Float[np.ndarray, " t"]
    residual: float
    converged: bool


class Penalty(NamedTuple):
    """P(x) and its proximal map prox(x, s) = argmin_z |z - x|^2 / 2 + s P(z), s = eta / m_i."""

    value: Callable[[Float[np.ndarray, " n"]], float]
    prox: Callable[[Float[np.ndarray, " n"], Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


def soft_threshold(
    x: Float[np.ndarray, "*b n"], tau: float | Float[np.ndarray, "*b n"]
) -> Float[np.ndarray, "*b n"]:
    """sgn(x) (|x| - tau)_+, the proximal map of tau |x|_1.

    Moves every entry towards zero by tau, and sets those that would cross it to zero.
    """
    return np.sign(x) * np.maximum(np.abs(x) - tau, 0.0)


def hard_threshold(
    x: Float[np.ndarray, "*b n"], tau: float | Float[np.ndarray, "*b n"]
) -> Float[np.ndarray, "*b n"]:
    """x 1[|x| > tau], the proximal map of (tau^2 / 2) |x|_0.

    Sets the entries up to tau to zero and keeps the others as they are.
    """
    return np.where(np.abs(x) > tau, x, 0.0)


def l1(tau: float) -> Penalty:
    """P(x) = tau |x|_1, the penalty that makes states sparse and keeps the problem convex where E is.

    InputError for a threshold that is negative or not finite.
    """
    require_threshold(tau)
    return Penalty(lambda x: tau * float(np.abs(x).sum()), lambda x, factor: soft_threshold(x, tau * factor))


def l0(tau: float) -> Penalty:
    """P(x) = (tau^2 / 2) |x|_0, the penalty that counts the entries that are not zero.

    Its threshold in a step eta is tau sqrt(eta / m_i). InputError for a threshold that is negative or not finite.
    """
    require_threshold(tau)
    return Penalty(
        lambda x: tau**2 / 2 * np.count_nonzero(x), lambda x, factor: hard_threshold(x, tau * np.sqrt(factor))
    )


def require_threshold(tau: float) -> None:
    """InputError unless the threshold is finite and not negative."""
    if not (math.isfinite(tau) and tau >= 0):
        raise InputError(f"tau = {tau}: a threshold is finite and not negative")


def gradient_flow(
    system: System,
    x: Num[np.ndarray, " _"],
    times: Float[np.ndarray, " t"],
    *,
    M: Float[np.ndarray, " n"] | None = None,
    accuracy: float = 1e-9,
) -> FlowResult:
    """x' = -M^-1 grad E(x), so that dE/dt = -x'^T M x' <= 0.

    Integrates from x at times[0] by Dormand and Prince's method of order eight, with errors held to `accuracy`; the
    energy falls up to that error. M [n] > 0 is the inverse mobility of each vertex, 1 if not given. ConvergenceError
    where the state runs off to infinity, as it does for a polynomial coupling that repels at a distance.

    >>> import numpy as np
    >>> from spinodal import graphs
    >>> system = graphs.build_system("cycle:4", "sin")
    >>> flow = graphs.gradient_flow(system, np.array([0.0, 0.5, 1.0, 0.5]), np.linspace(0.0, 10.0, 5))
    >>> flow.states[-1].round(4).tolist()
    [0.5, 0.5, 0.5, 0.5]
    >>> bool(flow.largest_rise < 0)
    True
    """
    x = real_states(x, system.graph.n)
    m = mobility_vector(system, x, M)
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise InputError("times must ascend, two of them or more")
    with np.errstate(over="ignore", invalid="ignore"):
        solution = solve_ivp(
            lambda _, z: -system.gradient(z) / m, (times[0], times[-1]), x, t_eval=times, method="DOP853",
            rtol=accuracy, atol=accuracy,
        )  # fmt: skip
    if not solution.success or not np.isfinite(solution.y).all():
        raise ConvergenceError(
            f"the flow stopped at t = {solution.t[-1]:.6g}, with |x| = {np.abs(solution.y).max():.3g}"
        )
    states = np.ascontiguousarray(solution.y.T)
    residual = float(np.abs(system.gradient(states[-1])).max())
    return FlowResult(times, states, system.energy(states), residual)


def descent(
    system: System,
    x: Num[np.ndarray, " _"],
    *,
    penalty: Penalty | None = None,
    eta: float | None = None,
    M: Float[np.ndarray, " n"] | None = None,
    steps: int = 100_000,
) -> Descent:
    """x <- prox_{eta P}(x - eta M^-1 grad E(x)), until x moves no more; E + P never rises  [derived].

    Gradient descent, or proximal descent with a penalty. eta is 1 / L if not given, L a bound on the curvature. Where
    |f'| has no bound, eta is halved while the energy does not fall enough, and grows while it does. `residual` is
    max |M (x - x') / eta|, which without a penalty is |grad E|. InputError for an eta that could let the energy rise:
    2 / L and above, or more than 1 / L with a penalty.
    """
    x = real_states(x, system.graph.n)
    m = mobility_vector(system, x, M)
    L = system.curvature_bound() / m.min()
    fixed = math.isfinite(L)
    if not fixed:
        radius = max(1.0, 2 * float(np.abs(np.append(system.graph.differences(x), x)).max()))
        L = system.curvature_bound(radius) / m.min()
    L = L or 1.0  # without edges and anchors any step will do
    h = 1 / L if eta is None else eta
    if h <= 0 or (fixed and h > 1 / L and (penalty is not None or h >= 2 / L)):
        limit = "2 / L" if penalty is None else "1 / L with a penalty"
        raise InputError(f"eta = {h:g}: above 0 and below {limit}, L = {L:.6g}, or the energy may rise")
    P = penalty or Penalty(lambda _: 0.0, lambda z, _: z)
    E, g = float(system.energy(x)), system.gradient(x)
    energies, residual = [E + P.value(x)], math.inf
    for _ in range(steps):
        moved = P.prox(x - h * g / m, h / m)
        step = moved - x
        residual = float(np.abs(m * step).max() / h)
        if residual <= TOLERANCE * system.scale:
            break
        energy, slope, size = (
            float(system.energy(moved)),
            system.gradient(moved),
            float((m * step * step).sum() / h),
        )
        if not fixed:
            # what a step below 1 / L obeys; near the end the energies round, and the slopes decide alone
            short = energy <= E + g @ step + size / 2 + ROUNDING * (abs(E) + system.scale)
            if not short or step @ (slope - g) > size:
                h /= 2
                continue
            h *= 1.2
        x, E, g = moved, energy, slope
        energies.append(E + P.value(x))
    return Descent(x, np.array(energies), residual, residual <= TOLERANCE * system.scale)


def mobility_vector(
    system: System, x: Float[np.ndarray, " _"], M: Float[np.ndarray, " _"] | None
) -> Float[np.ndarray, " n"]:
    """The diagonal of M as an array, 1 if not given; InputError for a state or an M that does not fit."""
    n = system.graph.n
    if x.shape != (n,) or not np.isfinite(x).all():
        raise InputError(f"the state must be {n} finite numbers, one a vertex; its shape is {x.shape}")
    if M is None:
        return np.ones(n)
    if M.shape != (n,) or not (np.isfinite(M) & (M > 0)).all():
        raise InputError(f"M must be {n} positive numbers: a mobility that is not positive does not descend")
    return M


class ThresholdedState(NamedTuple):
    """The state x 1[|x| > tau] of an equilibrium x; it is no equilibrium  [preetham2023].

    `rise` is how much the threshold raised the energy, `residual` the |grad E| of the state.
    """

    state: Float[np.ndarray, " n"]
    rise: float
    residual: float


def threshold_once(system: System, x: Num[np.ndarray, " _"], tau: float) -> ThresholdedState:
    """x <- x 1[|x| > tau] after convergence  [preetham2023].

    The article's form of sparsity. It leaves the equilibrium: the result holds the rise of the energy and |grad E|.
    `descent` with a penalty is the form that converges to an equilibrium.
    """
    require_threshold(tau)
    x = real_states(x, system.graph.n)
    cut = hard_threshold(x, tau)
    rise = float(system.energy(cut) - system.energy(x))
    return ThresholdedState(cut, rise, float(np.abs(system.gradient(cut)).max()))


def trajectory(flow: FlowResult, *, circle: bool) -> Trajectory:
    """(cos x_i, sin x_i), or x_i itself, as tokens over time.

    Converts states of a graph to the `Trajectory` that observables read: unit vectors on the circle, or numbers on the
    line.
    """
    import torch

    x = torch.from_numpy(flow.states)
    tokens = torch.stack([x.cos(), x.sin()], -1) if circle else x[..., None]
    valid = torch.ones(1, x.shape[1], dtype=torch.bool)
    return Trajectory(torch.from_numpy(flow.times), tokens[:, None], valid)
