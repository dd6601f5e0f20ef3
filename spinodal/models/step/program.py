r"""A program of `kernels` as it is put together: rows of operations, the memory they index, the weights they read."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spinodal.models.step.kernels import Operation

ARGUMENTS = 9  # of an operation at most


class NoProgramError(Exception):
    """A part of a model that has no compiled form, or weights that are not float32 numbers in one piece on the CPU."""


class Program:
    """Rows of operations on one memory.

    `state` says where the numbers lie that the mixers keep from token to token, in the order of their states: the
    first and how many, or None for a count of tokens.
    """

    def __init__(self):
        self.state: list[tuple[int, int] | None] = []
        self.weights: list[Tensor] = []  # held, so that their addresses stay theirs
        self._rows: list[list[int]] = []
        self._parts: list[np.ndarray] = []
        self._named: dict[Any, int] = {}
        self._size = 0

    def add(self, operation: Operation, *arguments: int) -> None:
        """Appends an operation with its arguments."""
        self._rows.append([int(operation), *arguments, *[0] * (ARGUMENTS - len(arguments))])

    def keep(self, values: Float[np.ndarray, " n"]) -> int:
        """The index of the first of these numbers, which are appended to the memory."""
        self._parts.append(values.astype(np.float32))
        self._size += len(values)
        return self._size - len(values)

    def constants(self, *values: float) -> int:
        """The index of the first of these numbers, which are in memory once for all equal calls."""
        if values not in self._named:
            self._named[values] = self.keep(np.array(values))
        return self._named[values]

    def room(self, name: str, n: int) -> int:
        """The index of n numbers of work space, the same for every call with this name.

        Operations write over what another use of the name left there, which must have been read by then.
        """
        if (name, n) not in self._named:
            self._named[name, n] = self.keep(np.zeros(n))
        return self._named[name, n]

    def once(self, name: str, *arguments: int) -> bool:
        """Whether this is the first call with these arguments: a shared operation is added only then."""
        first = (name, *arguments) not in self._named
        self._named.setdefault((name, *arguments), 0)
        return first

    def hold(self, n: int) -> int:
        """The index of n numbers in memory that are the next part of the state, zero at the start."""
        self.state.append((self.keep(np.zeros(n)), n))
        return self._size - n

    def count(self) -> None:
        """Makes a count of tokens the next part of the state; it takes no memory."""
        self.state.append(None)

    def address(self, weight: Tensor | None) -> int:
        """Where a weight lies, 0 for none. NoProgramError where the kernels cannot read it."""
        if weight is None:
            return 0
        plain = type(weight) in (Tensor, torch.nn.Parameter) and weight.layout == torch.strided
        if not (
            plain and weight.dtype == torch.float32 and weight.device.type == "cpu" and weight.is_contiguous()
        ):
            raise NoProgramError
        self.weights.append(weight.detach())
        return weight.data_ptr()

    def rows(self) -> Int[np.ndarray, "o 10"]:
        """The operations in their order, as `kernels.run` takes them."""
        return np.array(self._rows, np.int64)

    def memory(self) -> Float[np.ndarray, " m"]:
        """The numbers in memory before the first token."""
        return np.concatenate(self._parts)
