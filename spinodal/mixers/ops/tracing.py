"""Whether operations are recorded for later, or repeated, instead of being carried out once and now."""

from typing import Any

import torch

Size = Any  # an int, or in a graph for any length a torch.SymInt, which the declarations of torch do not know


def traced() -> bool:
    """True within torch.compile, torch.export and torch.jit.trace: there no Python branch may ask for a number."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def recomputed() -> bool:
    """Whether this call repeats an earlier one for a gradient checkpoint: it then runs within a backward pass."""
    return not traced() and torch._C._current_graph_task_id() != -1


def symbolic(n: Size) -> bool:
    """Whether a size stands for any, in a graph for any length."""
    return isinstance(n, torch.SymInt)
