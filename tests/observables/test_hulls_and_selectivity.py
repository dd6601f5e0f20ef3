"""Hulls by shapes that are known, in any affine plane; Boolean rows and rank by matrices that are known."""

import math
from typing import Any

import numpy as np
import pytest

from spinodal.errors import InputError
from spinodal.observables import (
    attention_rank,
    boolean_rows,
    hull_vertices,
    hull_volume,
    measure,
    vertex_distance,
)


def test_a_square_has_four_vertices_wherever_it_lies():
    rng = np.random.default_rng(0)
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    inner = rng.uniform(0.1, 1.9, (20, 2))
    x = np.concatenate([inner[:5], square, inner[5:], square[:2] + 1e-9])
    corners = np.flatnonzero(hull_vertices(x)[0, 0])
    assert corners.tolist() == [5, 6, 7, 8]
    assert float(hull_volume(x)) == pytest.approx(4.0)
    far = np.linalg.norm(inner[:, None] - square, axis=2).min(1).max()
    assert float(vertex_distance(x)) == pytest.approx(far, abs=1e-8)
    assert float(vertex_distance(x, np.zeros((1, 2)))) == pytest.approx(8**0.5)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0][:2]
    lifted = x @ turn + rng.standard_normal(5)
    assert np.flatnonzero(hull_vertices(lifted)[0, 0]).tolist() == [5, 6, 7, 8]
    assert float(hull_volume(lifted)) == 0
    assert float(vertex_distance(lifted)) == pytest.approx(far, abs=1e-8)


def test_lines_points_and_simplices():
    line = np.array([[3.0], [-1.0], [2.0], [-1.0]])
    assert hull_vertices(line)[0, 0].tolist() == [True, True, False, False]
    assert float(hull_volume(line)) == 4
    assert hull_vertices(np.ones((3, 2)))[0, 0].tolist() == [True, False, False]
    assert float(hull_volume(np.ones((3, 2)))) == 0
    assert int(hull_vertices(np.eye(40)).sum()) == 40
    with pytest.raises(InputError, match="tokens span 9 dimensions: convex hulls are for 7"):
        hull_vertices(np.random.default_rng(0).standard_normal((30, 9)))
    with pytest.raises(InputError, match=r"`vertices` have shape \(2, 3\)"):
        vertex_distance(line, np.zeros((2, 3)))


def test_rows_and_rank_of_attention():
    p = np.array([[1.0, 0, 0], [0.995, 0.005, 0], [0.4, 0.3, 0.3]])
    assert boolean_rows(p) == pytest.approx(2 / 3)
    assert boolean_rows(p, 0.999) == pytest.approx(1 / 3)
    assert boolean_rows(np.stack([p, np.eye(3)])) == pytest.approx(5 / 6)
    assert attention_rank(np.tile([0.2, 0.8], (2, 1))) == 1
    assert attention_rank(np.stack([np.eye(4), np.full((4, 4), 0.25)])) == 2.5
    with pytest.raises(InputError, match="attention weights"):
        boolean_rows(np.ones((0, 0)))
    found = measure(10 * np.eye(3)[None], ["boolean_rows", "attention_rank"])
    assert (float(found["boolean_rows"]), float(found["attention_rank"])) == (1.0, 3.0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", ["a text", [[1.0, math.nan], [0.5, 0.5]], [[1.0, 0.0], [1.0]]])
def test_what_holds_no_finite_numbers_is_named(wrong: Any):
    """NaN would count as a row that reads several tokens, in silence."""
    for measured in (boolean_rows, attention_rank):
        with pytest.raises(InputError, match="`weights`"):
            measured(wrong)
    with pytest.raises(InputError, match="`vertices`"):
        vertex_distance(np.eye(2), wrong)
