"""The processes of one run, as torchrun or accelerate start them: the main one writes, all know what it knows.

A run of one process is the same code with nobody to tell.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, cast

import torch
from accelerate import PartialState
from torch import distributed

from spinodal.errors import InputError

T = TypeVar("T")
PATIENCE = timedelta(hours=1)  # for a process that reads a text or scores a model while the others wait


def process_count() -> int:
    """The number of processes of this run: those of the group, or before there is one those that a launcher told."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE") or 1)


def process_rank() -> int:
    """The number of this process among those of the run; 0 is the main one, which alone writes and speaks."""
    return int(os.environ.get("RANK") or 0) if process_count() > 1 else 0


def on_processor() -> bool:
    """Whether several processes compute without an accelerator: Trainer has to be told, or it forms no group."""
    return process_count() > 1 and not torch.accelerator.is_available()


def join_group() -> None:
    """Forms the group of the processes of a run: gloo without an accelerator, the accelerator's own with one.

    InputError where `accelerate launch` was asked for several processes and started one.
    """
    sizes = any(name.endswith(("WORLD_SIZE", "PMI_SIZE")) for name in os.environ)
    if {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= os.environ.keys() and not sizes:
        raise InputError(
            "`accelerate launch` was asked for several processes and started one, as it does without an accelerator: "
            "take `torchrun --nproc-per-node N`"
        )
    if process_count() > 1:
        PartialState(cpu=on_processor(), timeout=PATIENCE)


def together(function: Callable[[], T]) -> T:
    """function() of each process; what one of them raises is raised by all, so that none waits for another for ever."""
    if process_count() == 1:
        return function()
    value, error = None, None
    try:
        value = function()
    except Exception as raised:
        error = raised
    errors: list[Exception | None] = [None] * process_count()
    distributed.all_gather_object(errors, error)
    if error := error or next(filter(None, errors), None):
        raise error
    return cast(T, value)


def main_only(function: Callable[[], T]) -> T:
    """function() of the main process, which alone calls it and has its value: None in the others.

    What it raises is raised by all.
    """
    return together(lambda: cast(T, None) if process_rank() else function())


def on_main(function: Callable[[], T]) -> T:
    """function() of the main process, which alone calls it, for all; what it raises is raised by all."""
    values = [main_only(function)]
    if process_count() > 1:
        distributed.broadcast_object_list(values)
    return values[0]


def any_of(asked: bool) -> bool:
    """Whether any of the processes says yes."""
    if process_count() == 1:
        return asked
    device = "cpu" if on_processor() else torch.accelerator.current_accelerator()
    votes = torch.tensor(float(asked), device=device)
    distributed.all_reduce(votes)
    return bool(votes)
