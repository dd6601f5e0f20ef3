r"""A head of attention: its matrices Q, K, V, where a number stands for that multiple of the identity.

Only Q^T K enters, and where Q^T K = a I and V = v I the head is that of Q = K = V = I at
inverse temperature a b, times v: the engines that are exact in clusters and linear in n serve it.

    symbol  meaning                          shape
    Q, K    queries, keys                    k d
    V       values                           d d
    M       coupling Q^T K, <Q x, K y> = x^T M y      d d
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Kernel, Matrix, norm, scalar_or_matrix
from spinodal.flows.fields.matrices import matrices_of


@dataclass(frozen=True, eq=False)
class Head:
    """e^{b <Q x, K y>} V y, one attention head.

    Q and K have one shape (k, d), V has (d, d); a number stands for a multiple of the identity, and V = -1 repels.
    InputError names the matrix whose shape does not fit or whose entries are not finite.
    """

    queries: Matrix = 1.0  # Q
    keys: Matrix = 1.0  # K
    values: Matrix = 1.0  # V

    def __post_init__(self) -> None:
        for name in ("queries", "keys", "values"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
        Q, K, V = (np.shape(matrix) for matrix in (self.queries, self.keys, self.values))
        if Q and K and Q != K:
            raise InputError(
                f"`queries` have shape {Q}, `keys` have {K}: <Q x, K y> needs the same (k, d)",
                field=("queries", "keys"),
            )
        for name, shape in (("queries", Q), ("keys", K)):
            if shape and not (Q and K) and shape[0] != shape[1]:
                other = "keys" if name == "queries" else "queries"
                raise InputError(
                    f"`{name}` have shape {shape}: beside `{other}` that are a number they are square",
                    field=(name, other),
                )
        if V and V[0] != V[1]:
            raise InputError(f"`values` have shape {V}: they map R^d to itself, (d, d)", field="values")
        widths = {shape[1] for shape in (Q, K, V) if shape}
        if len(widths) > 1:
            raise InputError(
                f"`queries` {Q}, `keys` {K} and `values` {V} differ in d, their last axis",
                field=("queries", "keys", "values"),
            )

    @cached_property
    def d(self) -> int | None:
        """The dimension of the tokens, or None where numbers leave it open."""
        return next((np.shape(m)[1] for m in (self.queries, self.keys, self.values) if np.ndim(m)), None)

    @cached_property
    def coupling(self) -> Matrix:
        """M = Q^T K, as a number where it is a multiple of the identity."""
        return self.kernel(1.0).coupling

    def kernel(self, beta: float, causal: bool = False) -> Kernel:
        """e^{b <Q x, K y>}."""
        return Kernel(beta, self.queries, self.keys, causal)

    @cached_property
    def strength(self) -> float:
        """|Q^T K|, the largest <Q x, K y> of unit vectors: spectral norm."""
        return norm(self.coupling)

    @cached_property
    def value_norm(self) -> float:
        """|V|: spectral norm."""
        return norm(self.value_matrix)

    @cached_property
    def value_matrix(self) -> Matrix:
        """V, as a number where it is a multiple of the identity."""
        return scalar_or_matrix(self.values)

    @property
    def is_identity(self) -> bool:
        """Q = K = V = I, given as numbers."""
        return all(np.ndim(m) == 0 and m == 1 for m in (self.queries, self.keys, self.values))

    @property
    def isotropic(self) -> bool:
        """Q^T K = a I and V = v I: the head of Q = K = V = I at another beta, times v."""
        return np.ndim(self.coupling) == 0 and np.ndim(self.value_matrix) == 0


def finite(name: str, matrix: Matrix) -> Matrix:
    """A number, or a matrix in double precision; InputError for anything else and for NaN."""
    if isinstance(matrix, str):
        raise InputError(
            f"`{name}` {matrix!r}: a number or a matrix, such as flows.named_matrix makes of a text, is needed",
            field=name,
        )
    array = real_array(matrix, name)
    if array.ndim not in (0, 2) or array.size == 0:
        raise InputError(
            f"`{name}` have shape {array.shape}: a matrix, or a number times the identity", field=name
        )
    if not np.isfinite(array).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise InputError(f"`{name}` hold {array[where]} at {where}: all entries must be finite", field=name)
    return array if array.ndim else float(array)


IDENTITY = Head()


def stack_heads(
    queries: Matrix | str = 1.0, keys: Matrix | str = 1.0, values: Matrix | str = 1.0, d: int | None = None
) -> tuple[Head, ...]:
    """One head for each matrix along the first of three axes; numbers and matrices with two axes are shared by all.

    A text is that of `named_matrix`, with the d of the other matrices, or else `d`. InputError where they are of
    different numbers of heads.
    """
    queries, keys, values = matrices_of((queries, keys, values), d)
    matrices = [
        real_array(m, name)
        for name, m in zip(("queries", "keys", "values"), (queries, keys, values), strict=True)
    ]
    counts = {len(m) for m in matrices if m.ndim == 3}
    if len(counts) > 1:
        raise InputError(
            f"`queries`, `keys` and `values` are of different numbers of heads: {sorted(counts)}",
            field=("queries", "keys", "values"),
        )
    each = counts.pop() if counts else 1
    stacks = [m if m.ndim == 3 else np.broadcast_to(m, (each, *m.shape)) for m in matrices]
    return tuple(Head(*(m[h] if m.ndim > 1 else float(m[h]) for m in stacks)) for h in range(each))
