"""Every test runs with shapes checked (jaxtyping with beartype), torch on one thread, and random numbers of its own.

`make test-browser`, whose tests are about pages, waits neither for the checks nor for torch.
"""

import copy
import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

PACKAGE = Path(__file__).parent.parent / "spinodal"
# transformers rebuilds configurations from their signature, which the hook would hide
UNCHECKED = {"spinodal.models.configuration"}


def modules() -> set[str]:
    """Every module of the package by its full name."""
    files = PACKAGE.rglob("*.py")
    return {".".join(("spinodal", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files}


if not os.environ.get("SPINODAL_BROWSER"):
    from jaxtyping import install_import_hook

    install_import_hook(sorted(modules() - UNCHECKED), "beartype.beartype")

    import torch

    torch.set_num_threads(1)


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
