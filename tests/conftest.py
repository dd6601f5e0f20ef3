"""Every test runs with shapes checked (jaxtyping with beartype) and torch on one thread."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from jaxtyping import install_import_hook

PACKAGE = Path(__file__).parent.parent / "spinodal"
# transformers rebuilds configurations from their signature, which the hook would hide
UNCHECKED = {"spinodal.models.configuration"}


def modules() -> set[str]:
    """Every module of the package by its full name."""
    files = PACKAGE.rglob("*.py")
    return {".".join(("spinodal", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files}


install_import_hook(sorted(modules() - UNCHECKED), "beartype.beartype")

import torch

torch.set_num_threads(1)
