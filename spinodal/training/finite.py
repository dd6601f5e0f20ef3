"""Whether all values of weights are finite: nothing can be trained from others, and they are never saved."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from torch import Tensor


def first_nonfinite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor with a value that is not finite."""
    return next((name for name, value in tensors if not bool(value.isfinite().all())), None)


def nonfinite_weights(checkpoint: Path) -> str | None:
    """Why nothing can be trained from a checkpoint: the first weights in it that are not finite; None if all are."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if name := first_nonfinite((name, file.get_tensor(name)) for name in file.keys()):  # noqa: SIM118
                return f"its {name} is not finite"
    return None
