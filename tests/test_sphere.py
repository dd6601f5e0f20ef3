"""The sphere: projections that project, steps that stay on it, samples that are uniform, errors that name."""

import numpy as np
import pytest
import torch

from spinodal import sphere
from spinodal.errors import InputError

X = sphere.uniform(50, 4, seed=1)
Y = np.random.default_rng(2).standard_normal((50, 4))


def test_uniform_points_are_unit_and_isotropic():
    x = sphere.uniform(100_000, 3, seed=3)
    assert abs(np.linalg.norm(x, axis=1) - 1).max() < 5e-16
    assert abs(x.mean(0)).max() < 4 / np.sqrt(3 * len(x))
    second = x.T @ x / len(x)
    assert abs(second - np.eye(3) / 3).max() < 4 / np.sqrt(len(x))
    assert np.array_equal(x, sphere.uniform(100_000, 3, seed=np.random.default_rng(3)))


def test_tangent_is_a_projection_onto_the_complement_of_x():
    v = sphere.tangent(X, Y)
    assert abs((v * X).sum(1)).max() < 1e-15
    assert abs(sphere.tangent(X, v) - v).max() < 1e-15
    assert abs(v + (X * Y).sum(1, keepdims=True) * X - Y).max() < 1e-15


def test_a_step_agrees_with_the_geodesic_to_second_order():
    v = sphere.tangent(X, Y)
    speed = np.linalg.norm(v, axis=1, keepdims=True)
    errors = []
    for h in (0.02, 0.01):
        geodesic = np.cos(h * speed) * X + np.sin(h * speed) * v / speed
        errors.append(abs(sphere.retract(X, h * v) - geodesic).max())
    assert 2.9 < np.log2(errors[0] / errors[1]) < 3.1


def test_tensors_and_arrays_agree():
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    assert np.array_equal(sphere.tangent(x, y).numpy(), sphere.tangent(X, Y))
    assert abs(sphere.retract(x, y).numpy() - sphere.retract(X, Y)).max() < 5e-16
    assert sphere.require_unit(x) is x


@pytest.mark.parametrize(
    ("vector", "length"),
    [
        ([0.0, 0.0], "0 "),
        ([1e-200, 0.0], "0 "),
        ([np.nan, 1.0], "nan"),
        ([np.inf, 1.0], "inf"),
        ([1e160, 0.0], "inf"),
    ],
)
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_vectors_without_direction_are_refused(vector, length, kind):
    rows = kind([[1.0, 0.0], vector])
    with pytest.raises(InputError, match=r"vector 1 has length " + length):
        sphere.normalise(rows)


def test_what_is_not_unit_is_named():
    with pytest.raises(InputError, match=r"vector 2 has length 1\.5 .*sphere\.normalise.*one of 2"):
        sphere.require_unit(X * np.array([1, 1, 1.5, 0.5] + 46 * [1])[:, None])
    with pytest.raises(InputError, match="d = 1"):
        sphere.normalise(np.ones((3, 1)))
    with pytest.raises(InputError, match="d = 1"):
        sphere.uniform(3, 1)
    with pytest.raises(InputError, match="n = 0"):
        sphere.uniform(0, 3)
