"""Tests that draw from a generator of their module do not depend on each other."""

import numpy as np

RANDOM = np.random.default_rng(5)
FIRST = np.random.default_rng(5).standard_normal(3)


def test_a_test_draws_the_first_numbers():
    assert np.array_equal(RANDOM.standard_normal(3), FIRST)


def test_another_test_draws_them_too():
    assert np.array_equal(RANDOM.standard_normal(3), FIRST)
