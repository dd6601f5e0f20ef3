"""Experiments on a system on a graph, each a frozen value, and the functions that run them.

    EquilibriumSearch   -> find_equilibria     all equilibria
    GradientFlow        -> integrate_flow      the flow of a state
    Continuation        -> follow_branch       an equilibrium as a parameter varies
    StabilityAnalysis   -> analyse_stability   the stability of an equilibrium

    from spinodal import graphs
    search = graphs.EquilibriumSearch(graphs.build_system("cycle:3", "y**3 - y"))
    graphs.find_equilibria(search).energies

`spinodal.runs` writes experiments and results as JSON and arrays, and reads them back equal. Types are named
as text, so that the defaults are known without loading what computes.
"""

from dataclasses import dataclass, replace
from math import isfinite
from numbers import Integral, Real

from spinodal import graphs
from spinodal.errors import InputError, require_types
from spinodal.types import Progress


@dataclass(frozen=True, eq=False)
class EquilibriumSearch:
    """The search for all x with grad E(x) = 0, as a value.

    At most `starts` random starts are refined by Newton's method in each block of the graph; if None, as many as suit
    the size of the block. `seed` draws the starts.
    """

    system: "graphs.System"  # whose energy E is
    starts: int | None = None
    seed: int = 0

    def __post_init__(self):
        require_types(self, system=graphs.System, starts=(Integral, type(None)), seed=Integral)
        require_seed(self.seed)
        if self.starts is not None and self.starts < 1:
            raise InputError(f"`starts` {self.starts}: at least 1 search", field="starts")


def find_equilibria(search: EquilibriumSearch, *, progress: Progress | None = None) -> "graphs.Equilibria":
    """All x with grad E(x) = 0, as far as the search finds them.

    `progress` is called with the number of blocks that are done and the number of all blocks.
    """
    found = graphs.equilibria(search.system, starts=search.starts, seed=search.seed, progress=progress)
    return replace(found, experiment=search)


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """x' = -grad E(x) from a start until a time, as a value.

    `points` states are kept at equal distances in time. `start` is a state, or the name of one: "zero", "random" (drawn
    from `seed`) or "twisted:Q".
    """

    system: "graphs.System"  # whose energy E is
    start: "str | graphs.State" = "random"
    time: float = 20.0
    points: int = 201
    seed: int = 0

    def __post_init__(self):
        require_types(self, system=graphs.System, time=Real, points=Integral, seed=Integral)
        require_seed(self.seed)
        require_points(self.points)
        if not (isfinite(self.time) and self.time > 0):
            raise InputError(f"`time` {self.time:g}: must be above 0", field="time")
        start_of(self)


def integrate_flow(flow: GradientFlow) -> "graphs.FlowResult":
    """x' = -grad E(x), with the energy at each state that is kept.

    Integrates the gradient flow of the experiment. ConvergenceError where the state runs off to infinity.
    """
    import numpy as np

    times = np.linspace(0, flow.time, flow.points)
    return replace(graphs.gradient_flow(flow.system, start_of(flow), times), experiment=flow)


@dataclass(frozen=True, eq=False)
class Continuation:
    """grad E(x, l) = 0 followed in l from an equilibrium near `start`, as a value.

    The parameter l goes from `first` until it leaves the range to `last`. It is a parameter of the coupling, "mu"
    (which multiplies the drive) or "gamma" (which multiplies the stiffness of the anchors).
    """

    system: "graphs.System"  # whose energy E is
    parameter: str
    first: float
    last: float
    start: "str | graphs.State" = "zero"
    points: int = 2000  # at most
    seed: int = 0  # of a random start

    def __post_init__(self):
        require_types(
            self, system=graphs.System, parameter=str, first=Real, last=Real, points=Integral, seed=Integral
        )
        require_seed(self.seed)
        require_points(self.points)
        graphs.require_bounds(self.first, self.last)
        start_of(self)


def follow_branch(continuation: Continuation, *, progress: Progress | None = None) -> "graphs.Branch":
    """The curve grad E(x, l) = 0 around its folds, with its singular points.

    `progress` is called with how far the parameter is from its first value, and how far its last one is.
    ConvergenceError where no equilibrium is near the start, or the curve is lost.
    """
    family = graphs.Family(continuation.system, continuation.parameter)
    bounds = (continuation.first, continuation.last)
    begin = graphs.branch_start(family, start_of(continuation), bounds)
    branch = graphs.continue_branch(family, begin, bounds, points=continuation.points, progress=progress)
    return replace(branch, experiment=continuation)


@dataclass(frozen=True, eq=False)
class StabilityAnalysis:
    """An analysis of the stability of an equilibrium, as a value.

    With `refine` the state is first moved to the nearby equilibrium by Newton's method.
    """

    system: "graphs.System"  # whose energy E is
    state: "graphs.State"
    refine: bool = False
    seed: int = 0  # of the directions in which the energy is tried, where eigenvalues do not tell

    def __post_init__(self):
        require_types(self, system=graphs.System, seed=Integral)
        require_seed(self.seed)
        graphs.state_vector(self.state, self.system.graph.n, field="state")


def analyse_stability(analysis: StabilityAnalysis) -> "graphs.StabilityReport":
    """The stability of an equilibrium from eigenvalues of the Hessian, and the tests that need none.

    InputError where the state is no equilibrium.
    """
    system, x = analysis.system, analysis.state
    if analysis.refine:
        x = graphs.refine_states(system, x[None])[0][0]
    found = graphs.stability(system, x, seed=analysis.seed)
    w = system.edgewise(x, 1)
    cut = graphs.negative_cut(system.graph, w) if system.free else None
    alone = system.free and (w < 0).sum() == 1
    return graphs.StabilityReport(
        state=x,
        energy=float(system.energy(x)),
        stability=found,
        lowest_eigenvalue=graphs.lowest_eigenvalue(system, x),
        all_slopes_positive=graphs.positive_test(system, x),
        cut=None if cut is None else tuple(cut.nonzero()[0].tolist()),
        resistance=graphs.single_negative_edge(system.graph, w) if alone else None,
    )


def start_of(experiment: GradientFlow | Continuation) -> "graphs.State":
    """The state that an experiment begins from."""
    n = experiment.system.graph.n
    if isinstance(experiment.start, str):
        return graphs.initial_state(experiment.start, n, seed=experiment.seed)
    return graphs.state_vector(experiment.start, n, field="start")


def require_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"`seed` {seed}: must be 0 or more", field="seed")


def require_points(points: int) -> None:
    if points < 2:
        raise InputError(f"`points` {points}: at least 2, the first and the last", field="points")
