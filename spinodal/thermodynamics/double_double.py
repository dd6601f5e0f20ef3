r"""Numbers as the sum of two doubles, high + low with |low| <= ulp(high) / 2: about 32 digits  [dekker1971].

Each operation is a few of float64 and errs by a few 1e-32, relative to its result where nothing overflows 1e300 or
falls below 1e-290. Elementwise in torch, so a batch costs what some twenty tensor operations cost, on any device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

HALF = 2.0**27 + 1  # times a double, cuts it into two halves of 26 bits


def _rounding_of_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a + b as rounded, and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _halves(a: Tensor) -> tuple[Tensor, Tensor]:
    """a as the sum of two doubles of 26 bits."""
    scaled = HALF * a
    high = scaled - (scaled - a)
    return high, a - high


def _rounding_of_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a b as rounded, and its rounding error."""
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _renormalised(high: Tensor, low: Tensor) -> "DoubleDouble":
    """high + low, |low| <= |high|, with the high part rounded from the sum."""
    total = high + low
    return DoubleDouble(total, low - (total - high))


@dataclass(frozen=True)
class DoubleDouble:
    """The numbers high + low, as two tensors of equal shape."""

    high: Tensor
    low: Tensor

    @classmethod
    def of(cls, value: Tensor) -> "DoubleDouble":
        return cls(value, torch.zeros_like(value))

    @classmethod
    def cat(cls, parts: "list[DoubleDouble]") -> "DoubleDouble":
        return cls(torch.cat([part.high for part in parts]), torch.cat([part.low for part in parts]))

    def __getitem__(self, key: int | slice | tuple[slice | None, ...] | None) -> "DoubleDouble":
        return DoubleDouble(self.high[key], self.low[key])

    def __neg__(self) -> "DoubleDouble":
        return DoubleDouble(-self.high, -self.low)

    def __add__(self, other: "DoubleDouble") -> "DoubleDouble":
        high, error = _rounding_of_sum(self.high, other.high)
        low, rest = _rounding_of_sum(self.low, other.low)
        first = _renormalised(high, error + low)
        return _renormalised(first.high, first.low + rest)

    def __sub__(self, other: "DoubleDouble") -> "DoubleDouble":
        return self + -other

    def __mul__(self, other: "DoubleDouble") -> "DoubleDouble":
        high, error = _rounding_of_product(self.high, other.high)
        return _renormalised(high, error + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: "DoubleDouble") -> "DoubleDouble":
        first = self.high / other.high
        rest = self - other * DoubleDouble.of(first)
        second = rest.high / other.high
        rest = rest - other * DoubleDouble.of(second)
        return _renormalised(first, second) + DoubleDouble.of(rest.high / other.high)

    def sum(self, axis: int) -> "DoubleDouble":
        """The sum over one axis, by pairwise summation."""
        terms = DoubleDouble(self.high.movedim(axis, 0), self.low.movedim(axis, 0))
        while len(terms.high) > 1:
            half, odd = divmod(len(terms.high), 2)
            folded = terms[:half] + terms[half : 2 * half]
            terms = DoubleDouble.cat([folded, terms[-1:]]) if odd else folded
        return terms[0]

    def where(self, keep: Tensor) -> "DoubleDouble":
        """The numbers where `keep` is True; 0 where it is False, even for NaN."""
        return DoubleDouble(torch.where(keep, self.high, 0.0), torch.where(keep, self.low, 0.0))

    def take(self, index: Tensor) -> "DoubleDouble":
        """x[index[b], ..., b] for every place b of the last axis."""
        at = index.expand(1, *self.high.shape[1:])
        return DoubleDouble(self.high.gather(0, at)[0], self.low.gather(0, at)[0])

    def round(self) -> Tensor:
        return self.high + self.low
