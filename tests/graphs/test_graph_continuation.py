"""Row 10: folds to eight digits, pitchforks one mode at a time, and what must be refused."""

import math

import numpy as np
import pytest
from marks import slow_but
from scipy.optimize import brentq
from typed import of_kind

from spinodal import graphs
from spinodal.errors import ConvergenceError, InputError
from spinodal.graphs import (
    BranchStart,
    Family,
    System,
    branch_start,
    continue_branch,
    coupling,
    named_graph,
    onsite,
    singular_point,
    switch_branch,
    twisted_state,
)

SINE = coupling("sin")
DRIVES = {"path:2": [0.5, -0.5], "path:4": [1, 0.5, -0.5, -1], "cycle:3": [1, 0, -1]}


def driven(name: str) -> Family:
    graph = named_graph(name)
    return Family(System(graph, SINE, onsite(graph.n, drive=np.array(DRIVES[name], dtype=float))), "mu")


def followed(family: Family, x: np.ndarray, bounds: tuple[float, float]):
    return continue_branch(family, branch_start(family, x, bounds), bounds)


def triangle_fold() -> float:
    """C3 with y = (a, a) along its two edges and 2a across: mu = sin a + sin 2a, largest where its derivative is 0."""
    a = of_kind(brentq(lambda a: math.cos(a) + 2 * math.cos(2 * a), 0.5, 1.5, xtol=1e-15), float)
    return math.sin(a) + math.sin(2 * a)


@pytest.mark.parametrize(
    ("name", "known"),
    slow_but([("path:2", 2.0), ("path:4", 2 / 3), ("cycle:3", triangle_fold())], ("path:4", 2 / 3)),
)
def test_folds_of_driven_graphs_to_eight_digits(name: str, known: float):
    family = driven(name)
    branch = followed(family, np.zeros(family.system.graph.n), (0.0, 3.0))
    fold = next(p for p in branch.singular if p.kind == "fold")
    assert fold.value == pytest.approx(known, abs=1e-11)
    assert fold.error < 1e-9
    system = family.at(fold.value)
    H = system.hessian(fold.state)
    assert np.abs(H @ fold.kernel).max() < 1e-9
    assert np.abs(system.gradient(fold.state)).max() < 1e-11
    assert branch.values.max() <= known + 1e-9
    assert branch.indices[0] == 0
    assert branch.indices[-1] > 0
    residual = [
        np.abs(family.at(l).gradient(x)).max() for l, x in zip(branch.values, branch.states, strict=True)
    ]
    assert max(residual) < 1e-9
    assert triangle_fold() == pytest.approx(1.76017259, abs=5e-9)


@pytest.mark.slow
def test_the_articles_test_by_coordinates_misses_folds_and_sees_some_where_there_are_none():
    """P4 folds on its middle edge, where no d^2E/dx_i^2 is zero; P3 with y = (0, pi) has one that is, and no fold."""
    family = driven("path:4")
    fold = singular_point(family, *near_fold(family))
    assert np.abs(graphs.coordinate_curvatures(family.at(fold.value), fold.state)).min() > 0.5
    path = System(named_graph("path:3"), SINE)
    x = np.array([0, 0, np.pi])
    assert np.abs(path.gradient(x)).max() < 1e-15
    assert abs(graphs.coordinate_curvatures(path, x)[1]) < 1e-15
    assert graphs.index_and_nullity(path, x) == (1, 0)


def near_fold(family: Family):
    branch = followed(family, np.zeros(family.system.graph.n), (0.0, 3.0))
    k = int(branch.values.argmax())
    return branch.states[k], float(branch.values[k])


@pytest.mark.slow
def test_pitchforks_of_an_anchored_path_come_one_at_a_time():
    """y^3 - lam y with anchors gamma / 2 |x|^2: lam = gamma / mu_k, mu_k = 2 - sqrt 2, 2, 2 + sqrt 2 on P4."""
    gamma = 0.8
    system = System(named_graph("path:4"), coupling("y**3 - lam*y", lam=0.0), onsite(4, stiffness=gamma))
    family = Family(system, "lam")
    branch = followed(family, np.zeros(4), (0.0, 3.0))
    assert [p.kind for p in branch.singular] == ["pitchfork"] * 3
    known = gamma / np.array([2 + math.sqrt(2), 2, 2 - math.sqrt(2)])
    np.testing.assert_allclose([p.value for p in branch.singular], known, atol=1e-10)
    assert branch.singular[0].note == "supercritical"
    assert np.abs(branch.states).max() < 1e-12


@pytest.mark.slow
def test_the_branch_of_a_pitchfork_leaves_as_a_square_root():
    """P2, y^3 - lam y, gamma: x = (-u, u), E = gamma u^2 + 4 u^4 - 2 lam u^2: u^2 = (2 lam - gamma) / 8."""
    family = Family(
        System(named_graph("path:2"), coupling("y**3 - lam*y", lam=0.0), onsite(2, stiffness=1.0)), "lam"
    )
    (point,) = followed(family, np.zeros(2), (0.0, 2.0)).singular
    assert point.value == pytest.approx(0.5, abs=1e-12)
    start = switch_branch(family, point, 0.1)
    assert 8 * start.state[1] ** 2 == pytest.approx(2 * start.value - 1, abs=1e-12)
    branch = continue_branch(family, start, (0.0, 2.0))
    np.testing.assert_allclose(8 * branch.states[:, 1] ** 2, 2 * branch.values - 1, atol=1e-9)
    assert (branch.indices == 0).all()
    assert branch.values[-1] == 2.0


def test_subcritical_and_transcritical_points():
    """Anchored P2, -lam y - y^3, bends down. y (y^2 - 1) (y^2 - 1 - lam): y = 1 crosses y^2 = 1 + lam at 0."""
    down = Family(
        System(named_graph("path:2"), coupling("-lam*y - y**3", lam=0.0), onsite(2, stiffness=1.0)), "lam"
    )
    (point,) = followed(down, np.zeros(2), (0.0, 2.0)).singular
    assert (point.kind, point.note) == ("pitchfork", "subcritical")
    crossing = Family(
        System(named_graph("path:2"), coupling("y*(y**2 - 1)*(y**2 - 1 - lam)", lam=0.0)), "lam"
    )
    (point,) = followed(crossing, np.array([-0.5, 0.5]), (-0.5, 0.5)).singular
    assert point.kind == "transcritical"
    assert point.value == pytest.approx(0, abs=1e-10)
    for amplitude in (0.05, -0.05):
        start = switch_branch(crossing, point, amplitude)
        y = start.state[1] - start.state[0]
        assert y**2 == pytest.approx(1 + start.value, abs=1e-12)


@pytest.mark.slow
def test_modes_that_cross_at_once_are_refused_not_classified():
    """y^3 - lam y without anchor: all n - 1 modes at lam = 0. C12, q = 2, sin y + lam sin 2y: all 11 at 0.5."""
    free = Family(System(named_graph("complete:4"), coupling("y**3 - lam*y", lam=0.0)), "lam")
    branch = followed(free, np.zeros(4), (-1.0, 1.0))
    (point,) = branch.singular
    assert point.kind == "refused"
    assert "3 modes" in point.note
    assert point.value == pytest.approx(0, abs=1e-8)
    with pytest.raises(InputError, match="3 modes cross at once"):
        singular_point(free, np.zeros(4), 0.0)
    ring = Family(System(named_graph("cycle:12"), coupling("sin(y) + lam*sin(2*y)", lam=0.0)), "lam")
    branch = followed(ring, twisted_state(12, 2), (0.0, 1.0))
    (point,) = branch.singular
    assert (point.kind, branch.indices[0], branch.indices[-1]) == ("refused", 0, 11)
    assert point.value == pytest.approx(0.5, abs=1e-8)
    assert "11 modes" in point.note
    np.testing.assert_allclose(np.mod(np.diff(branch.states), 2 * np.pi), np.pi / 3, atol=1e-9)


def test_more_than_the_kernel_is_asked_for():
    """y^5 - lam y: the fourth power of the reduced energy vanishes, and no pitchfork is claimed."""
    flat = Family(
        System(named_graph("path:2"), coupling("y**5 - lam*y", lam=0.0), onsite(2, stiffness=1.0)), "lam"
    )
    with pytest.raises(InputError, match="no fourth power"):
        singular_point(flat, np.zeros(2), 0.49)
    touch = Family(System(named_graph("path:2"), coupling("y**3 + lam**2*y", lam=0.0)), "lam")
    with pytest.raises((InputError, ConvergenceError)):
        singular_point(touch, np.zeros(2), 0.01)


def test_stiffness_is_a_parameter_too():
    """P2, f = -y + y^3: with gamma x the origin is stable for gamma > 2."""
    system = System(named_graph("path:2"), coupling("y**3 - y"), onsite(2, stiffness=1.0))
    branch = followed(Family(system, "gamma"), np.zeros(2), (3.0, 1.0))
    (point,) = branch.singular
    assert point.kind == "pitchfork"
    assert point.value == pytest.approx(2, abs=1e-10)
    assert branch.values[0] == 3.0
    assert branch.values[-1] == 1.0


@pytest.mark.slow
def test_a_closed_curve_closes():
    """P2, f = y^3 + (lam^2 - 1) y: the circle y^2 + lam^2 = 1, which crosses y = 0 at lam = +-1."""
    family = Family(System(named_graph("path:2"), coupling("y**3 + (lam**2 - 1)*y", lam=0.0)), "lam")
    branch = continue_branch(
        family, BranchStart(np.array([-0.5, 0.5]), 0.0, np.array([0.0, 0, 1])), (-3.0, 3.0)
    )
    assert branch.end == "closed"
    y = np.diff(branch.states).ravel()
    np.testing.assert_allclose(y**2 + branch.values**2, 1, atol=1e-9)
    assert y.min() < -0.8


@pytest.mark.slow
@pytest.mark.parametrize("start", [-0.5, 0.5, 1.7])
def test_a_pitchfork_met_along_its_side_branch(start: float):
    """P2, y^3 - lam y: y = sqrt(lam) turns at lam = 0 into y = -sqrt(lam), with index 0 on both sides."""
    family = Family(System(named_graph("path:2"), coupling("y**3 - lam*y", lam=0.0)), "lam")
    branch = followed(family, np.array([-start, start]), (1.0, -1.0))
    (point,) = branch.singular
    assert (point.kind, point.note) == ("pitchfork", "supercritical")
    assert point.value == pytest.approx(0, abs=1e-12)
    assert np.abs(point.state).max() < 1e-6
    assert (branch.end, set(branch.indices)) == ("left at lam = 1", {0})
    np.testing.assert_allclose(
        np.diff(branch.states[[0, -1]]).ravel(), np.sign(start) * np.array([1, -1]), atol=1e-9
    )


@pytest.mark.slow
def test_every_turn_is_reported_where_more_than_one_mode_crosses_too():
    """C4, y^3 - lam y from the side: at lam = 0 the parameter turns, and three modes vanish."""
    family = Family(System(named_graph("cycle:4"), coupling("y**3 - lam*y", lam=0.0)), "lam")
    (point,) = followed(family, np.array([0.0, 1, 0, 1]), (1.0, -1.0)).singular
    assert point.kind == "refused"
    assert point.note.startswith("the parameter turns; 3 modes cross at once")
    assert point.value == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_a_circle_has_a_turn_at_either_end():
    """P2, y^3 + (lam^2 - 1) y: y^2 + lam^2 = 1 turns at lam = +-1, where it meets y = 0."""
    family = Family(System(named_graph("path:2"), coupling("y**3 + (lam**2 - 1)*y", lam=0.0)), "lam")
    branch = continue_branch(
        family, BranchStart(np.array([-0.5, 0.5]), 0.0, np.array([0.0, 0, 1])), (-3.0, 3.0)
    )
    assert [(p.kind, round(p.value, 9)) for p in branch.singular] == [("pitchfork", 1), ("pitchfork", -1)]


@pytest.mark.slow
def test_a_sheet_of_equilibria_is_no_row_of_crossings():
    """C3, y^3 - lam y: at each lam the circle sum y^2 = 2 lam, along which H has a kernel; it ends at lam = 0."""
    family = Family(System(named_graph("cycle:3"), coupling("y**3 - lam*y", lam=0.0)), "lam")
    branch = followed(family, np.array([0.3, -0.9, 0.6]), (1.0, 0.2))
    assert branch.singular == ()
    np.testing.assert_allclose(
        (family.system.graph.differences(branch.states) ** 2).sum(-1), 2 * branch.values
    )


BOUNDED = ([-1.0, 1, 1, -1], [0.0, -1, 1, 0], [1.0, 0.5, -0.5, -1])


@pytest.mark.parametrize("drive", slow_but(BOUNDED, BOUNDED[0]))
def test_a_branch_ends_at_its_bound(drive: list[float]):
    """The diamond, sin: the curve comes back to mu = 0 where H is degenerate, and ended at mu = -0.138 of [0, 4]."""
    family = Family(System(named_graph("diamond"), SINE, onsite(4, drive=np.array(drive))), "mu")
    branch = followed(family, np.zeros(4), (0.0, 4.0))
    assert branch.values[-1] == 0.0
    assert branch.end == "left at mu = 0"
    assert branch.values.min() >= 0
    assert np.abs(family.at(0.0).gradient(branch.states[-1])).max() < 1e-9
    assert np.linalg.norm(branch.states[-1] - branch.states[-2]) < 0.5


def test_a_start_outside_of_the_bounds_is_refused():
    family = driven("path:2")
    start = branch_start(family, np.zeros(2), (0.5, 3.0))
    with pytest.raises(InputError, match="is outside of 1 to 3"):
        continue_branch(family, start, (1.0, 3.0))


def test_mistakes_are_named():
    system = System(named_graph("path:2"), SINE, onsite(2, drive=np.array([0.5, -0.5])))
    with pytest.raises(InputError, match="no parameter 'lam'"):
        Family(system, "lam")
    with pytest.raises(InputError, match="there is none"):
        Family(system, "gamma")
    with pytest.raises(InputError, match="two different"):
        followed(Family(system, "mu"), np.zeros(2), (1.0, 1.0))
    with pytest.raises(ConvergenceError, match="no equilibrium near"):
        followed(Family(system, "mu"), np.zeros(2), (2.5, 3.0))
