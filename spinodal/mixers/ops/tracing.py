"""Whether operations are recorded for later instead of being carried out now."""

from typing import Any

import torch

Size = Any  # an int, or in a graph for any length a torch.SymInt, which the declarations of torch do not know


def traced() -> bool:
    """True within torch.compile, torch.export and torch.jit.trace: there no Python branch may ask for a number."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def symbolic(n: Size) -> bool:
    """Whether a size stands for any, in a graph for any length."""
    return isinstance(n, torch.SymInt)
