"""Parameters of a test, some of which are slow."""

from collections.abc import Iterable

import pytest


def slow_but(values: Iterable, *quick: object) -> list:
    """The values as parameters: slow but for these, for which a few stand in `make test`."""
    return [
        v if v in quick else pytest.param(*(v if isinstance(v, tuple) else [v]), marks=pytest.mark.slow)
        for v in values
    ]
