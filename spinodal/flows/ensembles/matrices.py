r"""Random queries, keys and values: every system draws its own, and runs on the layer clock.

    x_i <- normalise(x_i + h sum_j a_ij V x_j),   a_ij = softmax_j beta x_i^T M x_j,   M = Q^T K.

    kind of M  definition                  kind of V   definition
    ginibre    G H / sqrt(d)               wishart     G G^T / d, positive, of mean eigenvalue one
    goe        (G + G^T) / sqrt(2)         query-key   M over its radius: a gradient flow for goe
                                           identity    I

G and H have independent standard normal entries, so that a logit of uniform tokens has variance near one.
The radius is sqrt(d) for ginibre, to which the eigenvalues of M tend in absolute value, and sqrt(d+1) for goe.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows.ensembles.layers import LayerClock

QUERY_KEY = ("ginibre", "goe")
VALUES = ("wishart", "query-key", "identity")


@dataclass(frozen=True)
class Matrices:
    """The distribution that M = Q^T K and V [d d] of every system are drawn from, with G, G' standard normal.

    `query_key` is "ginibre", M = G G' / sqrt(d), or "goe", M = (G + G^T) / sqrt(2). `values` is "wishart",
    V = G G^T / d; "query-key", V = M over its spectral radius; or "identity". InputError for other names.
    """

    query_key: str
    values: str

    def __post_init__(self):
        if self.query_key not in QUERY_KEY or self.values not in VALUES:
            raise InputError(
                f"`query_key` {self.query_key!r}, `values` {self.values!r}: Q^T K is one of {', '.join(QUERY_KEY)}, "
                f"V one of {', '.join(VALUES)}",
                field=("query_key", "values"),
            )

    def draw(
        self, d: int, generator: np.random.Generator
    ) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
        """(M, V) of one system."""
        G = generator.standard_normal((d, d))
        if self.query_key == "ginibre":
            M, radius = G @ generator.standard_normal((d, d)) / sqrt(d), sqrt(d)
        else:
            M, radius = (G + G.T) / sqrt(2), sqrt(d + 1)
        if self.values == "identity":
            return M, np.eye(d)
        if self.values == "query-key":
            return M, M / radius
        G = generator.standard_normal((d, d))
        return M, G @ G.T / d

    def systems(
        self, n: int, d: int, numbers: range, seed: int
    ) -> tuple[Float[np.ndarray, "b n d"], Float[np.ndarray, "b d d"], Float[np.ndarray, "b d d"]]:
        """Uniform tokens, M and V of systems, each from a stream of its own."""
        found = []
        for number in numbers:
            generator = np.random.default_rng([seed, n, d, number])
            found.append((sphere.uniform(n, d, generator), *self.draw(d, generator)))
        x, M, V = (np.stack(parts) for parts in zip(*found, strict=True))
        return x, M, V


def close_shares(
    systems: tuple[Float[np.ndarray, "b n d"], Float[np.ndarray, "b d d"], Float[np.ndarray, "b d d"]],
    beta: float,
    clock: LayerClock,
    times: Float[np.ndarray, " t"],
    threshold: float,
) -> Float[np.ndarray, "b t"]:
    """The share of pairs with <x_i, x_j> >= threshold at the times, by torch's batched products."""
    import torch

    x, M, V = map(torch.from_numpy, systems)
    marks, n = clock.layers(times), x.shape[1]
    shares, m = np.empty((len(x), len(times))), 0
    for layer in range(marks[-1] + 1):
        if layer == marks[m]:
            close = (x @ x.mT >= threshold).double()
            pairs = close.sum((1, 2)) - close.diagonal(dim1=1, dim2=2).sum(1)
            shares[:, m] = (pairs / (n * (n - 1))).numpy()
            m += 1
        if m < len(marks):
            a = torch.softmax(beta * (x @ M @ x.mT), -1)
            x = sphere.normalise(x + clock.step * (a @ x @ V.mT))
    return shares
