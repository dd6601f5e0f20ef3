r"""Geometry of the unit sphere S^{d-1}, on which tokens live, for NumPy arrays and tensors alike.

P_x y = y - <x, y> x                 the tangent part of y at x
R_x v = (x + v) / |x + v|            a step along v, back on the sphere
"""

from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError

Array = TypeVar("Array", bound=Float[Any, "*b d"])  # of NumPy or of torch, which this file does not import
SHORTEST = 1e-150  # below, squares of a vector's entries leave the range of doubles


def normalise(x: Array) -> Array:
    """x / |x| along the last axis.

    InputError for a zero vector, for NaN or infinity, and for d = 1.
    """
    length = lengths(x)
    first_invalid(x, (length > SHORTEST) & (length < 1 / SHORTEST), "and so no direction")
    return x / length[..., None]


def require_unit(x: Array, within: float = 1e-13) -> Array:
    """x itself where ||x_i| - 1| <= `within` for every vector; InputError that names the first other one."""
    first_invalid(x, abs(lengths(x) - 1) <= within, "and not 1: see sphere.normalise")
    return x


def lengths(x: Any) -> Any:
    """|x_i| along the last axis; InputError for d = 1."""
    if x.shape[-1] < 2:
        raise InputError(f"d = {x.shape[-1]}: tokens live on spheres of R^2 and above")
    with np.errstate(over="ignore"):
        return (x * x).sum(-1) ** 0.5


def first_invalid(x: Any, fair: Any, what: str) -> None:
    """InputError unless every entry of `fair` is True: it names the first vector whose entry is False.

    The message has the length of that vector, then `what`, then the number of such vectors.
    """
    if bool(fair.all()):
        return
    faults = np.argwhere(~np.asarray(fair))
    where = tuple(map(int, faults[0]))
    length = float(lengths(x)[where])
    raise InputError(
        f"vector {', '.join(map(str, where))} has length {length:.16g} {what} (one of {len(faults)} such)"
    )


def tangent(x: Array, y: Array) -> Array:
    """P_x y = y - <x, y> x, for unit x.

    Where y is nearly x this subtracts two nearly equal vectors; (y - x) + |y - x|^2 x / 2 does not.
    """
    radial: Any = (x * y).sum(-1)[..., None]
    return y - x * radial


def retract(x: Array, v: Array) -> Array:
    """R_x v = (x + v) / |x + v|.

    Moves a point x of the sphere along a tangent vector v and back to the sphere; it agrees with the geodesic to second
    order.
    """
    return normalise(x + v)


def uniform(n: int, d: int, seed: int | np.random.Generator = 0) -> Float[np.ndarray, "n d"]:
    """n independent points, uniform on S^{d-1}: normalised Gaussian vectors.

    >>> import numpy as np
    >>> from spinodal import sphere
    >>> x = sphere.uniform(4, 3, np.random.default_rng(0))
    >>> x.shape, np.linalg.norm(x, axis=1).round(12).tolist()
    ((4, 3), [1.0, 1.0, 1.0, 1.0])
    """
    if n < 1 or d < 2:
        raise InputError(
            f"n = {n} tokens in d = {d}: `n` is at least one, `d` at least two", field=("n", "d")
        )
    return normalise(np.random.default_rng(seed).standard_normal((n, d)))
