"""Every test runs with types and shapes checked, torch on one thread, and random numbers of its own.

`make test-browser`, whose tests are about pages, waits neither for the checks nor for torch.
"""

import copy
import gc
import os
import signal
from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for what a script starts with &
    signal.signal(signal.SIGINT, signal.default_int_handler)

if not os.environ.get("SPINODAL_BROWSER"):
    import types_at_run_time

    types_at_run_time.install()

    import torch

    torch.set_num_threads(1)

    def pytest_runtest_logstart() -> None:
        """The first calls of every test are checked."""
        types_at_run_time.begin_test()


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: the garbage collector looks at the objects of tests alone."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_random_numbers(request: pytest.FixtureRequest) -> Iterator[None]:
    """The generators of a test's module stand where they stood at import, in whatever order tests run."""
    module = getattr(request, "module", None)
    generators = {name: v for name, v in vars(module or object).items() if isinstance(v, np.random.Generator)}
    for name, generator in generators.items():
        setattr(module, name, copy.deepcopy(generator))
    yield
    for name, generator in generators.items():
        setattr(module, name, generator)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """As a user has it: without the checks of types and shapes, which are slow and fix the symbols of a graph."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
