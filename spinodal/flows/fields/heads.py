r"""A head of attention: its matrices Q, K, V, where a number stands for that multiple of the identity.

Only Q^T K enters, and where Q^T K = a I and V = v I the head is that of Q = K = V = I at
inverse temperature a b, times v: the engines that are exact in clusters and linear in n serve it.

    symbol  meaning                          shape
    Q, K    queries, keys                    k d
    V       values                           d d
    M       coupling Q^T K, <Q x, K y> = x^T M y      d d
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Kernel, Matrix, PositionScores, norm, scalar_or_matrix, square
from spinodal.flows.fields.matrices import matrices_of
from spinodal.runs import SAVED_IF_SET


@dataclass(frozen=True, eq=False)
class Head:
    """e^{b <Q x, K y>} V y, one attention head.

    Q and K have one shape (k, d), V has (d, d); a number stands for a multiple of the identity, and V = -1 repels. With
    biases q, k of (k,) and v of (d,) it is e^{b <Q x + q, K y + k>} (V y + v); beside numbers they have d entries.
    InputError names the matrix whose shape does not fit or whose entries are not finite.
    """

    queries: Matrix = 1.0  # Q
    keys: Matrix = 1.0  # K
    values: Matrix = 1.0  # V
    query_bias: Float[np.ndarray, "..."] | None = field(default=None, metadata=SAVED_IF_SET)  # q of Q x + q
    key_bias: Float[np.ndarray, "..."] | None = field(default=None, metadata=SAVED_IF_SET)  # k of K y + k
    value_bias: Float[np.ndarray, "..."] | None = field(default=None, metadata=SAVED_IF_SET)  # v of V y + v

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

        check_biases(self)

    @cached_property
    def d(self) -> int | None:
        """The dimension of the tokens, or None where numbers leave it open."""
        scores = not np.ndim(self.queries) and not np.ndim(self.keys)
        own = [self.value_bias, *([self.query_bias, self.key_bias] if scores else [])]
        widths = [np.shape(m)[1] for m in (self.queries, self.keys, self.values) if np.ndim(m)]
        return next(iter([*widths, *(len(bias) for bias in own if bias is not None)]), None)

    @property
    def biased(self) -> bool:
        """Whether it has a bias."""
        return any(bias is not None for bias in (self.query_bias, self.key_bias, self.value_bias))

    def after_norm(self, gain: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]) -> "Head":
        """The head that reads gain * x + shift in the place of x: an affine layer norm, as matrices and biases."""
        g, s = (real_array(a, name) for name, a in (("gain", gain), ("shift", shift)))
        if g.ndim != 1 or g.shape != s.shape or self.d not in (None, len(g)):
            raise InputError(
                f"`gain` {g.shape} and `shift` {s.shape} are [d] for tokens of one d", field=("gain", "shift")
            )
        roles = (self.queries, self.query_bias), (self.keys, self.key_bias), (self.values, self.value_bias)
        matrices = [square(M, len(g)) * g for M, _ in roles]
        biases = [square(M, len(g)) @ s + (np.zeros(1) if bias is None else bias) for M, bias in roles]
        return Head(*matrices, *biases)

    @cached_property
    def coupling(self) -> Matrix:
        """M = Q^T K, as a number where it is a multiple of the identity."""
        return self.kernel(1.0).coupling

    def kernel(self, beta: float, causal: bool = False, positions: PositionScores | None = None) -> Kernel:
        """e^{b <Q x, K y>}, with the scores of positions added."""
        return Kernel(beta, self.queries, self.keys, causal, self.query_bias, self.key_bias, positions)

    def sa_kernel(self, beta: float, causal: bool, positions: PositionScores | None) -> Kernel:
        """The kernel where Z may have any scale, since it is divided by."""
        return self.kernel(beta, causal, positions)

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
        """Whether Q = K = V = I, given as numbers, without biases."""
        numbers = all(np.ndim(m) == 0 and m == 1 for m in (self.queries, self.keys, self.values))
        return numbers and not self.biased

    @property
    def isotropic(self) -> bool:
        """Whether Q^T K = a I and V = v I, without biases.

        Then the head is that of Q = K = V = I at another beta, times v.
        """
        return np.ndim(self.coupling) == 0 and np.ndim(self.value_matrix) == 0 and not self.biased


def check_biases(head: Head) -> None:
    """Converts the biases of a head to arrays, in place; InputError for those that do not fit."""
    k = next((np.shape(m)[0] for m in (head.queries, head.keys) if np.ndim(m)), None)
    d = next((np.shape(m)[1] for m in (head.queries, head.keys, head.values) if np.ndim(m)), None)
    for name, width in (("query_bias", k), ("key_bias", k), ("value_bias", d)):
        if getattr(head, name) is None:
            continue
        bias = real_array(getattr(head, name), name)
        if bias.ndim != 1 or not np.isfinite(bias).all() or width not in (None, len(bias)):
            wanted = "a row" if width is None else str(width)
            raise InputError(
                f"`{name}` has shape {bias.shape}: {wanted} of finite numbers is needed", field=name
            )
        object.__setattr__(head, name, bias)
        k = len(bias) if k is None and name != "value_bias" else k
        d = (
            len(bias)
            if d is None and (name == "value_bias" or not (np.ndim(head.queries) or np.ndim(head.keys)))
            else d
        )
    lengths = {len(b) for b in (head.query_bias, head.key_bias) if b is not None}
    scores = not np.ndim(head.queries) and not np.ndim(head.keys)
    if len(lengths | ({d} if scores and lengths and d is not None else set())) > 1:
        raise InputError(
            "`query_bias` and `key_bias` differ in length, or from d", field=("query_bias", "key_bias")
        )


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
    rows = ([m[h] if m.ndim > 1 else float(m[h]) for m in stacks] for h in range(each))
    return tuple(Head(Q, K, V) for Q, K, V in rows)
