"""Values whose declared type is wider than what a test knows of them, checked where they are narrowed."""

from typing import TypeVar

import numpy as np
from torch import nn

T = TypeVar("T")
Kind = TypeVar("Kind")


def present(value: T | None) -> T:
    """The value, which is not None."""
    assert value is not None
    return value


def of_kind(value: object, kind: type[Kind]) -> Kind:
    """The value, which is an instance of this class."""
    assert isinstance(value, kind)
    return value


def array(value: object) -> np.ndarray:
    """The value, which is an array: closed forms declare numbers too, matplotlib whatever converts to an array."""
    return of_kind(value, np.ndarray)


def modules(model: nn.Module, name: str) -> nn.ModuleList:
    """The list of modules of this name: attributes of modules are declared as tensors or modules."""
    return of_kind(model.get_submodule(name), nn.ModuleList)
