"""The processes of one run, as torchrun or accelerate start them, and how they share values and errors.

The main process alone writes files. A run of one process takes the same code, without communication.
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
    """The number of processes of this run: the size of their group, or WORLD_SIZE before there is a group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE") or 1)


def process_rank() -> int:
    """The rank of this process in the run; 0 is the main process, which alone writes files and messages."""
    return int(os.environ.get("RANK") or 0) if process_count() > 1 else 0


def on_processor() -> bool:
    """Whether the run has several processes and no accelerator; Trainer forms their group only if told so."""
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
    """function(), called by every process; an exception in one is raised in all, so that none waits on."""
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
    """function(), called by the main process alone; None in the others. An exception is raised in all."""
    return together(lambda: cast(T, None) if process_rank() else function())


def on_main(function: Callable[[], T]) -> T:
    """function(), called by the main process alone and returned in all; an exception is raised in all."""
    values = [main_only(function)]
    if process_count() > 1:
        distributed.broadcast_object_list(values)
    return values[0]


def any_of(asked: bool) -> bool:
    """Whether `asked` is true in any process of the run."""
    if process_count() == 1:
        return asked
    device = "cpu" if on_processor() else torch.accelerator.current_accelerator()
    votes = torch.tensor(float(asked), device=device)
    distributed.all_reduce(votes)
    return bool(votes)
