"""Checks that a module fits into memory, before any of it is allocated.

Parameters are counted on torch's meta device, which allocates nothing.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from spinodal.errors import InputError

SHARE = 0.8  # of the machine's memory: the rest is for the system, for other programs, and for Python itself
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_memory() -> int:
    """Bytes of memory of the machine, or the limit of this process's control group where that is less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in LIMITS:
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            sizes.append(int(text))
    return min(sizes, default=2**63)


def device_memory(device: torch.device) -> int:
    """Bytes that tensors of this device may take: all of a GPU, SHARE of the machine, any number elsewhere."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(SHARE * machine_memory()) if device.type == "cpu" else 2**63


def parameter_count(build: Callable[[], nn.Module]) -> int:
    """The number of parameters of the module that `build` returns, tied ones once; warnings are dropped."""
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        module = build()
    return sum(parameter.numel() for parameter in module.parameters())


def longest_that_fits(size: Callable[[int], int], length: int, limit: int) -> int:
    """The largest n from 2 to length - 1 with size(n) <= limit, for a size that grows with n; 0 where none fits.

    0 also where `size` raises InputError, as it does for lengths that a mixer does not take.
    """
    low, high = 2, length
    try:
        if size(low) > limit:
            return 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if size(middle) <= limit else (low, middle)
    except InputError:
        return 0
    return low


def require_memory(size: Callable[[int], int], length: int) -> None:
    """Raises InputError where the device that new tensors lie on does not hold size(length) parameters.

    The message says the number, and the largest length that would fit where a shorter one does. There is no
    check on the meta device, which allocates nothing.
    """
    device = torch.get_default_device()
    if device.type == "meta":
        return
    each, memory = torch.get_default_dtype().itemsize, device_memory(device)
    if (count := size(length)) * each <= memory:
        return
    longest = longest_that_fits(size, length, memory // each)
    at = f" at length={length}" if longest else ""
    advice = (
        f"a length of at most {longest} ({size(longest):,}) would fit" if longest else "only less would fit"
    )
    raise InputError(
        f"{count:,} parameters{at} take {count * each / 1e9:,.1f} GB, and there are {memory / 1e9:,.1f} GB for them "
        f"here: {advice}"
    )
