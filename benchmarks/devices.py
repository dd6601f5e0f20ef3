"""Where benchmarks run, and by which clock: the CPU, and a GPU beside it or in its place where there is one."""

import time
from collections.abc import Callable

import torch


def devices() -> list[str]:
    """The CPU, and a GPU where there is one: a column of a table each."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def heading(name: str, device: str) -> str:
    """The name of a column."""
    return name if device == "cpu" else f"{name}, GPU"


def clock(device: str) -> float:
    """CPU seconds of this process, or seconds on the clock once a GPU has done what it was given."""
    if device == "cpu":
        return time.process_time()
    torch.get_device_module(device).synchronize()
    return time.perf_counter()


def timed(run: Callable[[], object], device: str) -> float:
    """What a call takes by the device's clock."""
    started = clock(device)
    run()
    return clock(device) - started
