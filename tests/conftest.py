"""Every test runs with shapes checked (jaxtyping with beartype) and torch on one thread."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from jaxtyping import install_import_hook

install_import_hook("spinodal", "beartype.beartype")

import torch

torch.set_num_threads(1)
