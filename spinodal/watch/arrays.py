"""Trajectories on disk: arrays of shape layers x tokens x d, for models that cannot run here.

`.npz` and `.safetensors` files hold `tokens` [t n d] or [t b n d] and may hold `valid` [b n] and `times` [t]; an array
that is alone in its file may have any name.
"""

from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from spinodal.errors import InputError
from spinodal.types import Trajectory


def _npz(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {".npz": _npz, ".safetensors": load_file}


def read_trajectory(path: Path) -> Trajectory:
    """The trajectory that a file holds; InputError for anything else."""
    if path.suffix not in READERS:
        raise InputError(f"{path}: arrays of tokens end in {' or '.join(READERS)}")
    try:
        arrays = READERS[path.suffix](path)
    except (OSError, ValueError, BadZipFile, SafetensorError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    tokens = next(iter(arrays.values())) if len(arrays) == 1 else arrays.get("tokens")
    if tokens is None:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}: name the array of tokens `tokens`")
    if tokens.ndim == 3:
        tokens = tokens[:, None]
    if tokens.ndim != 4 or not tokens.is_floating_point():
        shape = f"{tokens.dtype} of shape {tuple(tokens.shape)}"
        raise InputError(f"{path}: tokens are {shape}, not floats of layers x tokens x d")
    if tokens.dtype not in (torch.float32, torch.float64):
        tokens = tokens.float()
    t, b, n, _ = tokens.shape
    valid = arrays.get("valid", torch.ones(b, n)).bool().reshape(b, -1)
    times = arrays.get("times", torch.arange(t)).to(tokens.dtype)
    if valid.shape != (b, n) or times.shape != (t,) or not (times.diff() > 0).all():
        raise InputError(f"{path}: `valid` must be {(b, n)} and `times` {t} increasing numbers")
    return Trajectory(times, tokens, valid)


def write_trajectory(path: Path, trajectory: Trajectory) -> None:
    """Writes a .safetensors file that `read_trajectory` reads."""
    path.write_bytes(save({name: value.contiguous() for name, value in trajectory._asdict().items()}))
