"""Whether all weights are finite: weights that are not are never saved, and no training starts from them."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from torch import Tensor


def first_nonfinite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor with a value that is not finite."""
    return next((name for name, value in tensors if not bool(value.isfinite().all())), None)


def nonfinite_weights(checkpoint: Path) -> str | None:
    """A text that names the first weights of a checkpoint that are not finite; None if all are finite."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if name := first_nonfinite((name, file.get_tensor(name)) for name in file.keys()):  # noqa: SIM118
                return f"its {name} is not finite"
    return None
