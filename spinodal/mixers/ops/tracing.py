"""Whether operations are recorded for later instead of being carried out now."""

import torch


def traced() -> bool:
    """True within torch.compile, torch.export and torch.jit.trace: there no Python branch may ask for a number."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
