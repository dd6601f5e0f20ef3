"""Conversion of a caller's arrays to arrays of real numbers in double precision, in C order.

Lists, arrays of any order or stride, and tensors of any device give the same digits. InputError for complex
numbers, text, truth values, objects, and masked arrays, whose masked entries have no value.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.errors import InputError

EPS = float(np.finfo(np.float64).eps)
ROUNDINGS = 4  # eps of their own precision by which lengths, and sums of weights, may differ from 1


def real_array(values: object, field: str) -> Float[np.ndarray, "..."]:
    """Real numbers as an array in double precision; InputError, which names the field, for anything else."""
    return array_and_eps(values, field)[0]


def fast_array(values: Any, field: str) -> Float[np.ndarray, "..."]:
    """`real_array(values, field)`; an array in double precision and C order is returned unchanged."""
    plain = type(values) is np.ndarray and values.dtype == np.float64 and values.flags.c_contiguous
    return values if plain else real_array(values, field)


def token_array(values: object, field: str) -> Float[np.ndarray, "n d"]:
    """Tokens [n d] in double precision; those given in a lower precision are normalised.

    They are normalised only if every length is 1 to within the rounding of that precision. InputError for
    another number of axes, for no token at all, and for d < 2.
    """
    tokens, eps = array_and_eps(values, field)
    if tokens.ndim != 2:
        raise InputError(
            f"`{field}` has shape {tokens.shape}: an array [n d], a token a row, is needed", field=field
        )
    n, d = tokens.shape
    if n == 0:
        raise InputError(f"`{field}` holds no token: its shape is (0, {d})", field=field)
    if d < 2:
        raise InputError(f"`{field}` has d = {d}: tokens live on spheres of R^2 and above", field=field)
    if eps > EPS and bool((abs(sphere.lengths(tokens) - 1) <= ROUNDINGS * eps).all()):
        return sphere.normalise(tokens)
    return tokens


def points_array(values: object, field: str) -> Float[np.ndarray, "n d"]:
    """Points [n d] of R^d, of any length, in double precision; InputError for other axes and what is not finite."""
    points = real_array(values, field)
    if points.ndim != 2 or points.size == 0:
        raise InputError(
            f"`{field}` has shape {points.shape}: points [n d], one at least, are needed", field=field
        )
    if not np.isfinite(points).all():
        i = int(np.argmin(np.isfinite(points).all(1)))
        raise InputError(f"`{field}`: point {i} is {points[i]}: finite numbers are needed", field=field)
    return points


def weight_array(values: object, field: str = "weights") -> Float[np.ndarray, "..."]:
    """Weights in double precision; those given in a lower precision are divided by their sum.

    They are divided only if the sum is 1 to within the rounding of that precision.
    """
    weights, eps = array_and_eps(values, field)
    total = weights.sum()
    return weights / total if eps > EPS and abs(total - 1) <= ROUNDINGS * eps else weights


def array_and_eps(values: object, field: str) -> tuple[Float[np.ndarray, "..."], float]:
    """Real numbers in double precision, and the eps of the precision in which they were given."""
    values, eps = array_of_tensor(values, field) if hasattr(values, "detach") else (values, EPS)
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(
            f"`{field}` is a masked array, whose masked entries have no value: an array of real numbers is needed",
            field=field,
        )
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, lists of such tensors
        raise InputError(f"`{field}`: {error}: an array of real numbers is needed", field=field) from None
    if array.dtype.kind not in "fiu":
        told = f"of type {array.dtype} and shape {array.shape}" if array.ndim else repr(values)
        raise InputError(f"`{field}` {told}: an array of real numbers is needed", field=field)
    if array.dtype.kind == "f":
        eps = max(eps, float(np.finfo(array.dtype).eps))
    return np.asarray(array, np.float64, order="C"), eps


def array_of_tensor(tensor: Any, field: str) -> tuple[np.ndarray, float]:
    """(array in double precision, eps of the tensor's own precision, such as bfloat16, which NumPy lacks).

    InputError for a tensor that requires a gradient, and for one that holds no real numbers.
    """
    import torch

    if tensor.requires_grad:
        raise InputError(
            f"`{field}` requires a gradient, and there is no gradient here: give tensor.detach(), or use torch",
            field=field,
        )
    if tensor.dtype.is_complex or tensor.dtype == torch.bool or tensor.is_meta:
        raise InputError(
            f"`{field}` of type {tensor.dtype} on {tensor.device}: a tensor of real numbers is needed",
            field=field,
        )
    eps = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else EPS
    return tensor.to_dense().cpu().to(torch.float64).numpy(), eps


def read_array(file: str | Path, *, option: str = "start") -> Float[np.ndarray, "..."]:
    """The array of a .npy file, in double precision; InputError where it holds no real numbers."""
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"`{option}` {file}: holds no array of numbers ({error})", field=option) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(
            f"`{option}` {file}: holds no array of numbers; real ones are needed, as np.save writes them",
            field=option,
        )
    return np.array(array, np.float64, order="C")
