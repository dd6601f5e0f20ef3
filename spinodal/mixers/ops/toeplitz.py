r"""Products with Toeplitz matrices, y_i = sum_j t_{i-j} v_j, by FFT  [qin2023].

A product over all lags takes O(n log n), a causal one O(n log^2 n): each number of an FFT depends on all of
its input, if only by rounding, so for causal outputs only earlier tokens are transformed.

    symbol  meaning                                                               shape
    t       a filter a head: lags 0..n-1, and unless causal -(n-1)..-1 at the end h k
    v       values                                                                b h n c
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.mixers.ops.precision import exact_dtype

DIRECT = 128  # tokens up to which a product with the matrix is faster than FFTs


def naive_toeplitz_product(
    t: Float[Tensor, "h k"], v: Float[Tensor, "b h n c"], *, causal: bool
) -> Float[Tensor, "b h n c"]:
    """y_i = sum_j t_{i-j} v_j, entry by entry; a lag below 0 stands at that index, from the end."""
    n = v.shape[2]
    zero = t.new_zeros(len(t))
    rows = [[zero if causal and i < j else t[:, i - j] for j in range(n)] for i in range(n)]
    return torch.stack([torch.stack(row, -1) for row in rows], 1) @ v


def toeplitz_product(
    t: Float[Tensor, "h k"], v: Float[Tensor, "b h n c"], *, causal: bool
) -> Float[Tensor, "b h n c"]:
    """y_i = sum_j t_{i-j} v_j; t holds the lags 0..n-1 at its head, and -(n-1)..-1 at its tail unless causal."""
    n = v.shape[2]
    if isinstance(n, torch.SymInt):  # a graph for any length has no branch by length
        i = torch.arange(n, device=v.device)
        T = t[:, i[:, None] - i]  # negative lags count from the tail
        return (T.tril() if causal else T) @ v
    if n <= DIRECT:
        return toeplitz_matrix(t, n, causal=causal) @ v
    if not causal:
        lags = torch.cat([t[:, :n], t.new_zeros(len(t), 1), t[:, 1 - n :]], dim=1)
        return circular_product(lags, v)[:, :, :n]
    past, future = v[:, :, : n // 2], v[:, :, n // 2 :]
    carried = circular_product(t[:, :n], past)[:, :, n // 2 :]
    return torch.cat(
        [toeplitz_product(t, past, causal=True), carried + toeplitz_product(t, future, causal=True)], dim=2
    )


def toeplitz_matrix(t: Float[Tensor, "h k"], n: int, *, causal: bool) -> Float[Tensor, "h n n"]:
    """T_ij = t_{i-j}, lags laid out as in `toeplitz_product`."""
    future = t.new_zeros(t.shape[0], n - 1) if causal else t[:, t.shape[1] - n + 1 :]
    return torch.cat([future, t[:, :n]], dim=1).unfold(1, n, 1).flip(-1)


def circular_product(t: Float[Tensor, "h m"], v: Float[Tensor, "b h n c"]) -> Float[Tensor, "b h m c"]:
    """y_i = sum_j t_{(i-j) mod m} v_j by FFT, in float32 at least, since FFTs lack half precision."""
    m, exact = t.shape[1], exact_dtype(v)
    spectrum = torch.fft.rfft(t.to(exact))[None, :, :, None] * torch.fft.rfft(v.to(exact), m, dim=2)
    return torch.fft.irfft(spectrum, m, dim=2).to(v)
