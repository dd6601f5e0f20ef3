"""Equilibria against closed forms and against enumeration, in the numbers of the specification."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from marks import slow_but

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.graphs import (
    System,
    coupling,
    edge_list,
    equilibria,
    from_networkx,
    named_graph,
    onsite,
    pull_back,
)

CUBIC, SINE = coupling("y**3 - y"), coupling("sin")


def solved(name: str, f, **options):
    return equilibria(System(named_graph(name), f), **options)


def test_trees_are_zeros_on_every_edge():
    """P5, y^3 - y: 3^4 states of which those with y = +-1 on every edge, 2^4, are linearly stable."""
    result = solved("path:5", CUBIC)
    assert len(result.entries) == 81
    assert [e.stability for e in result.entries].count("linear") == 16
    assert (result.betti, result.dimension, result.bound, result.unseen) == (0, 0, 0, 0)
    graph = named_graph("path:5")
    states = {tuple(np.round(graph.differences(e.state))) for e in result.entries}
    assert states == set(itertools.product((-1.0, 0.0, 1.0), repeat=4))
    for e in result.entries:
        y = np.round(graph.differences(e.state))
        assert e.index == (y == 0).sum()
        assert e.energy == pytest.approx(-0.25 * (y != 0).sum(), abs=1e-12)


def test_a_bridge_carries_no_flow():
    barbell = edge_list(6, [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3)])
    for e in equilibria(System(barbell, SINE)).entries:
        assert abs(math.sin(barbell.differences(e.state)[3])) < 1e-9


@pytest.mark.parametrize("n", slow_but(range(3, 9), 3, 4))
def test_cycles_have_a_continuum_when_the_length_says_so(n: int):
    """iff 3 | n for y^3 - y, iff 4 | n for sin; and of sin all isolated equilibria are counted by hand."""
    cubic, sine = solved(f"cycle:{n}", CUBIC, starts=2048), solved(f"cycle:{n}", SINE)
    assert cubic.dimension == (n % 3 == 0)
    assert sine.dimension == (n % 4 == 0)
    # y is alpha on n - k edges and pi - alpha on k, and the sum is a multiple of 2 pi
    angles = [
        [np.mod((2 * q - k) * math.pi / (n - 2 * k), 2 * math.pi) for q in range(n - 2 * k)]
        for k in range((n + 1) // 2)
    ]
    twisted = [abs(math.cos(a)) < 1e-9 for a in angles[0]]
    count = sum(math.comb(n, k) * sum(abs(math.cos(a)) > 1e-9 for a in angles[k]) for k in range(len(angles)))
    count += sum(twisted) if n % 4 else 0
    assert sum(e.nullity == 0 for e in sine.entries) == count
    assert sine.unseen == 0


def test_bowtie_and_diamond_have_one_betti_number_and_two_dimensions():
    bowtie, diamond = solved("bowtie", CUBIC), solved("diamond", CUBIC)
    assert (bowtie.betti, bowtie.dimension, bowtie.bound) == (2, 2, 2)
    assert (diamond.betti, diamond.dimension, diamond.bound) == (2, 0, 1)
    # d along the shared edge, s and s' from its middle to the tips: s (s^2 - 1 + 3 d^2 / 4) = 0, and then
    # f(d) + f(s + d/2) + f(s' + d/2) = 0 leaves 3, 4 and 12 solutions with no, one and two tips off the middle
    assert len(diamond.entries) == 19


def test_the_circle_of_the_triangle():
    """{0}, and sum y^2 = 2 with E = -1/2: Lyapunov stable, neither linearly nor asymptotically."""
    result = solved("cycle:3", CUBIC)
    circle, origin = result.entries
    assert np.abs(origin.state).max() < 1e-12
    assert (origin.index, origin.nullity, origin.stability) == (2, 0, "unstable")
    y = named_graph("cycle:3").differences(circle.state)
    assert (y**2).sum() == pytest.approx(2, abs=1e-10)
    assert circle.energy == pytest.approx(-0.5, abs=1e-12)
    assert (circle.index, circle.nullity, circle.dimension) == (0, 1, 1)
    assert circle.stability == "lyapunov"
    assert not circle.asymptotic
    assert result.dimension == 1


@pytest.mark.parametrize("n", slow_but([4, 5, 6], 4, 5))
def test_complete_graphs_have_the_order_parameter_zero_set(n: int):
    """dimension n - 3, index 2; and the 2^(n-1) states of 0 and pi that are not in it."""
    result = solved(f"complete:{n}", SINE)
    assert result.dimension == n - 3
    zero = [e for e in result.entries if abs(np.exp(1j * e.state).sum()) < 1e-6 and e.nullity == n - 3]
    assert [(e.index, e.dimension) for e in zero] == [(2, n - 3)]
    split = [e for e in result.entries if e.nullity == 0]
    balanced = math.comb(n, n // 2) // 2 if n % 2 == 0 else 0
    assert len(split) == 2 ** (n - 1) - balanced
    assert result.dimension <= result.bound


def test_equilibria_pull_back_along_coverings():
    """C6 -> C3 and the cube -> K4."""
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    cube = from_networkx(nx.Graph([(i, j) for i, j in itertools.combinations(range(8), 2)
                                   if np.abs(corners[i] - corners[j]).sum() == 1]))  # fmt: skip
    order = np.array([int(name) for name in cube.names])
    antipodal = np.array([min(k, 7 - k) for k in range(8)])[order]
    covers = [
        (named_graph("cycle:6"), named_graph("cycle:3"), np.arange(6) % 3, CUBIC),
        (cube, named_graph("complete:4"), antipodal, SINE),
    ]
    for above, below, p, f in covers:
        lower = equilibria(System(below, f))
        system = System(above, f)
        for e in lower.entries:
            x = pull_back(e.state, above, below, p)
            assert np.abs(system.gradient(x)).max() < 1e-9
            assert float(system.energy(x)) == pytest.approx(2 * e.energy, abs=1e-9)
            assert graphs.local_dimension(system, x) >= e.dimension
    with pytest.raises(InputError, match="no covering"):
        pull_back(np.zeros(3), named_graph("cycle:5"), named_graph("cycle:3"), np.arange(5) % 3)


def test_blocks_multiply_and_what_is_counted_adds():
    """A triangle and a square at one vertex, with a bridge: against the product, and against a plain search."""
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 2), (5, 6)]
    graph = edge_list(7, edges)
    assert sorted(map(len, graphs.blocks(graph))) == [1, 3, 4]
    system = System(graph, CUBIC)
    whole = equilibria(system)
    parts = [solved(name, CUBIC).entries for name in ("cycle:3", "cycle:4", "path:2")]
    assert len(whole.entries) == math.prod(map(len, parts))
    key = lambda e: (round(e.energy, 6), e.index, e.nullity, e.stability, e.asymptotic)
    expected = []
    for chosen in itertools.product(*parts):
        kinds = {e.stability for e in chosen}
        kind = next((k for k in ("unstable", "lyapunov") if k in kinds), "linear")
        total = [sum(getattr(e, name) for e in chosen) for name in ("energy", "index", "nullity")]
        expected.append((round(total[0], 6), *total[1:], kind, all(e.asymptotic for e in chosen)))
    assert sorted(map(key, whole.entries)) == sorted(expected)
    for e in whole.entries[::7]:
        assert np.abs(system.gradient(e.state)).max() < 1e-8
        assert graphs.index_and_nullity(system, e.state) == (e.index, e.nullity)
        assert float(system.energy(e.state)) == pytest.approx(e.energy, abs=1e-9)
        one = graphs.stability(system, e.state)
        assert (one.name, one.asymptotic, one.dimension) == (e.stability, e.asymptotic, e.dimension)


def test_components_are_solved_on_their_own():
    apart = edge_list(6, [(0, 1), (2, 3), (3, 4)])  # and a vertex without an edge
    result = equilibria(System(apart, CUBIC))
    assert len(result.entries) == 3**3
    for e in result.entries:
        for part in ([0, 1], [2, 3, 4], [5]):
            assert abs(e.state[part].sum()) < 1e-12


def test_anchors_and_drives_are_part_of_the_system():
    """P2 with f = sin and drive (mu/2, -mu/2): sin(x_0 - x_1) = mu/2, two solutions modulo 2 pi."""
    system = System(named_graph("path:2"), SINE, onsite(2, drive=np.array([0.5, -0.5])))
    result = equilibria(system)
    y = sorted(e.state[1] - e.state[0] for e in result.entries)
    np.testing.assert_allclose(
        np.mod(y, 2 * np.pi), np.mod([-5 * np.pi / 6, -np.pi / 6], 2 * np.pi), atol=1e-9
    )
    assert [e.stability for e in result.entries] == ["linear", "unstable"]
    strong = System(named_graph("cycle:5"), SINE, onsite(5, stiffness=9.0, centre=np.arange(5.0) / 9))
    (only,) = equilibria(strong).entries
    assert only.stability == "linear"
    with pytest.raises(InputError, match="drifts"):
        equilibria(System(named_graph("path:2"), SINE, onsite(2, drive=1.0)))


def test_the_list_has_its_limits():
    with pytest.raises(InputError, match="59049 equilibria"):
        solved("path:11", CUBIC)
    with pytest.raises(InputError, match="every state"):
        equilibria(System(named_graph("path:2"), coupling("lam*y", lam=0.0)))


def test_states_equal_up_to_translation_or_turns_are_one_and_seeds_agree():
    one, other = (solved("cycle:5", SINE, seed=seed) for seed in (0, 1))
    key = lambda e: tuple(np.round(np.mod(e.state - e.state[0] + 1e-6, 2 * np.pi), 5))
    assert {key(e) for e in one.entries} == {key(e) for e in other.entries}
    assert len({key(e) for e in one.entries}) == len(one.entries) == 30
    assert all((e.state > -np.pi).all() and (e.state <= np.pi + 1e-9).all() for e in one.entries)


@pytest.mark.parametrize(
    ("name", "bound"), [("cycle:7", 1), ("bowtie", 2), ("diamond", 1), ("path:6", 0), ("complete:4", 2)]
)
def test_the_bound_of_chains_of_cycles(name: str, bound: int):
    assert graphs.dimension_bound(named_graph(name)) == bound


def test_a_ladder_of_h_squares_loses_h_minus_one():
    for h in range(1, 6):
        ladder = from_networkx(nx.convert_node_labels_to_integers(nx.ladder_graph(h + 1)))
        assert ladder.betti == h
        assert graphs.dimension_bound(ladder) == 1
    assert solved_dimension(nx.ladder_graph(3)) <= 1


def solved_dimension(other) -> int:
    return equilibria(System(from_networkx(nx.convert_node_labels_to_integers(other)), SINE)).dimension


@pytest.mark.parametrize(
    ("text", "count"),
    [("y/(1 + y**2)", 1), ("y/(1 + y**2) - y/5", 9), ("sin(0.5*y)", 4), ("sin(y) - sin(y)**3", 16)],
)
def test_fractions_and_half_frequencies_on_a_tree(text: str, count: int):
    """P3: the zeros of f on either edge, within one period."""
    result = solved("path:3", coupling(text))
    assert len(result.entries) == count
    f = coupling(text)
    for e in result.entries:
        assert np.abs(f(np.diff(e.state))).max() < 1e-12


@pytest.mark.parametrize(
    ("graph", "text", "count"),
    [
        ("cycle:3", "y/(1 + y**2)", 1),
        ("cycle:4", "y/(1 + y**2)", 1),  # y f(y) > 0: consensus alone
        ("complete:4", "y/(1 + 1e6*y**2)", 1),
        ("cycle:4", "tanh(y) - tanh(2*y)", 1),
        ("cycle:4", "y/(1 + y**2) - y/5", 51),
    ],
)
def test_what_runs_away_under_a_coupling_that_decays_is_no_equilibrium(graph: str, text: str, count: int):
    result = equilibria(graphs.build_system(graph, text), starts=512)
    assert len(result.entries) == count
    assert max(np.abs(e.state).max() for e in result.entries) <= 2 + 1e-9


def test_anchors_may_hold_two_ends_as_far_apart_as_they_like():
    """P2 anchored at 0 and 1e12: the pull between them is nothing, and the state is where the anchors are."""
    ends = onsite(2, stiffness=1.0, centre=np.array([0.0, 1e12]))
    result = equilibria(System(named_graph("path:2"), coupling("y/(1 + y**2)"), ends))
    assert any(np.allclose(e.state, [0, 1e12], atol=1e-3) for e in result.entries)


def test_states_are_the_same_modulo_the_period_of_the_coupling():
    """C3, sin(y/2): the states of sin, twice as large."""
    one, half = solved("cycle:3", SINE), solved("cycle:3", coupling("sin(0.5*y)"))
    assert [e.index for e in half.entries] == [e.index for e in one.entries]
    np.testing.assert_allclose(
        [e.energy for e in half.entries], [2 * e.energy for e in one.entries], atol=1e-9
    )


def test_a_start_and_its_mirror_image_are_one():
    """C11, sin: 16 starts that all end apart, and their mirror images, are 16 of 16 and not 32 of 16."""
    result = solved("cycle:11", SINE, starts=16)
    assert len(result.entries) > 16
    assert 0.5 < result.unseen <= 1


@pytest.mark.slow
def test_a_search_that_is_not_complete_says_so():
    """K12 with sin has 2^11 states of 0 and pi; K1 has one state and nothing to search."""
    result = solved("complete:12", SINE, starts=100)
    assert result.unseen > 0.1
    alone = solved("path:1", SINE)
    assert [e.stability for e in alone.entries] == ["linear"]
    assert alone.unseen == 0
