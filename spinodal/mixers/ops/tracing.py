"""Whether torch records, repeats or transforms operations, and whether a compiled loop may replace them."""

import os
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

LEAST, TOKENS = 2**16, 256  # numbers that are worth loading a compiler, and tokens that are worth a thread
Size = Any  # an int, or in a graph for any length a torch.SymInt, which the declarations of torch do not know


def traced() -> bool:
    """Whether torch.compile, torch.export or torch.jit.trace records: no branch may then depend on values."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def recomputed() -> bool:
    """Whether this call repeats an earlier one for a gradient checkpoint: it then runs within a backward pass."""
    return not traced() and torch._C._current_graph_task_id() != -1


def symbolic(n: Size) -> bool:
    """Whether a size is symbolic, as in a graph that is traced for texts of any length."""
    return isinstance(n, torch.SymInt)


def is_plain(x: Tensor) -> bool:
    """Whether a compiled loop may read x: float32 on the CPU, and nothing records, transforms or watches it.

    NUMBA_DISABLE_JIT=1, which turns the compiler off, makes it False.
    """
    return (
        not traced()
        and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
        and type(x) is Tensor
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.are_deterministic_algorithms_enabled()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and not is_legacy_batchedtensor(x)
    )
