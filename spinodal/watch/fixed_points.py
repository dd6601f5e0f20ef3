r"""Fixed points of a layer, f(x) = x, by Newton's method in Krylov spaces, and their stability.

    J dx = -F(x),   F = f - I,   J = Df - I,   x <- x + s dx with the largest s = 1, 1/2, ... that lowers |F|

J is known by its products with vectors alone, so that GMRES solves for dx, by differences of F [knoll2004], and ARPACK
finds the leading eigenvalues, by forward differentiation [lehoucq1998]. A fixed point is stable

    under steps h         where every eigenvalue of I + h J lies inside the unit circle: multiplier < 1
    under x' = f(x) - x   where every eigenvalue of J has a negative real part: rate < 0

Unknown are the tokens of one text that are there; padding, which they do not read, stays as it is. All is computed in
double precision.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, gmres
from torch import Tensor

from spinodal.watch.layer_map import LayerMap

TOLERANCE = 1e-9  # of |F| / |x|
NEWTON, PATIENCE = 30, 4  # steps at most, and those after which |F| has halved
DIFFERENCE = 1e-7  # of |u|: a step of differences
KRYLOV = 60  # the size of a Krylov space
FORCING = 0.1  # of |F|: what GMRES may leave of a Newton step
HALVINGS = 6
EIGENVALUES = 4
SPECTRAL: Any = 1e-6  # relative error of eigenvalues; scipy's types want a whole number

Map = Callable[[Float[np.ndarray, " k"]], Float[np.ndarray, " k"]]


@dataclass(frozen=True)
class FixedPoint:
    """What Newton's method came to from the end of a text's iteration: a fixed point where it `converged`.

    `residual` is |f(x) - x| / |x| and `moved` the distance from where it began, of |x|. `groups` are clusters at the
    cosine of the iteration, `multiplier` the largest |eigenvalue| of I + h J and `rate` the largest real part of one of
    J; the latter three are None where it did not converge, or ARPACK did not.
    """

    text: int
    converged: bool
    residual: float
    iterations: int
    moved: float
    groups: int | None = None
    multiplier: float | None = None
    rate: float | None = None


class TextMap:
    """f on the valid tokens of one text as a function of a vector, with the products Df v."""

    def __init__(self, layer: LayerMap, x: Float[Tensor, "1 n d"], valid: Bool[Tensor, " n"]):
        self.layer, self.x, self.valid = layer.double(), x.double(), valid

    @property
    def start(self) -> Float[np.ndarray, " k"]:
        return self.x[0, self.valid].flatten().numpy()

    def tokens(self, u: Float[np.ndarray, " k"]) -> Float[Tensor, "1 n d"]:
        return self._filled(u, self.x)

    def __call__(self, u: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        with torch.no_grad():
            return self.layer(self.tokens(u))[0, self.valid].flatten().numpy()

    def product(self, u: Float[np.ndarray, " k"], v: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Df(u) v."""
        with torch.no_grad():
            tangent = self._filled(v, torch.zeros_like(self.x))
            return self.layer.tangent_step(self.tokens(u), tangent, 1.0)[1][0, self.valid].flatten().numpy()

    def _filled(self, u: Float[np.ndarray, " k"], other: Tensor) -> Tensor:
        full = other.clone()
        full[0, self.valid] = torch.from_numpy(np.ascontiguousarray(u, float)).view(-1, full.shape[-1])
        return full


def newton_krylov(f: Map, u: Float[np.ndarray, " k"]) -> tuple[Float[np.ndarray, " k"], float, int]:
    """(u, |f(u) - u| / |u|, steps): Newton's method with backtracking for f(u) = u; see this file's head.

    It stops at TOLERANCE, after NEWTON steps, where no step of a direction lowers |F|, and where PATIENCE steps do not
    halve it.
    """
    F, sizes = f(u) - u, list[float]()
    for done in range(NEWTON):
        size = float(np.linalg.norm(F))
        sizes.append(size)
        stalls = done >= PATIENCE and size > sizes[done - PATIENCE] / 2
        if stalls or size <= TOLERANCE * np.linalg.norm(u):
            return u, float(size / np.linalg.norm(u)), done
        J = _operator(_jacobian(f, u, F), len(u))
        du, _ = gmres(J, -F, rtol=FORCING, restart=KRYLOV, maxiter=1)
        for s in 0.5 ** np.arange(HALVINGS):
            nearer = f(u + s * du) - (u + s * du)
            if np.linalg.norm(nearer) < (1 - 1e-4 * s) * size:
                u, F = u + s * du, nearer
                break
        else:
            return u, float(size / np.linalg.norm(u)), done
    return u, float(np.linalg.norm(F) / np.linalg.norm(u)), NEWTON


def _operator(product: Map, size: int) -> LinearOperator:
    """The [size size] matrix of this product."""
    make: Any = LinearOperator  # scipy's constructor chooses the subclass, which its types do not tell
    return make((size, size), matvec=product, dtype=float)


def _jacobian(f: Map, u: Float[np.ndarray, " k"], F: Float[np.ndarray, " k"]) -> Map:
    """v -> J v by a difference of F along v."""

    def product(v: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        v = v.ravel()
        s = DIFFERENCE * (1 + np.linalg.norm(u)) / max(np.linalg.norm(v), np.finfo(float).tiny)
        return (f(u + s * v) - (u + s * v) - F) / s

    return product


def leading_eigenvalues(product: Map, size: int, which: str, *, seed: int = 0) -> np.ndarray | None:
    """The EIGENVALUES of an operator that are largest in modulus ("LM") or in real part ("LR"); None if ARPACK fails.

    Small operators are written out.
    """
    if size <= 4 * EIGENVALUES:
        values = np.linalg.eigvals(np.stack([product(e) for e in np.eye(size)], 1))
        return values[np.argsort(-(np.abs(values) if which == "LM" else values.real))][:EIGENVALUES]
    operator = _operator(lambda v: product(v.ravel()), size)
    start = np.random.default_rng(seed).standard_normal(size)
    with contextlib.suppress(ArpackError):
        return eigs(operator, EIGENVALUES, which=which, v0=start, tol=SPECTRAL, maxiter=50 * EIGENVALUES)[0]
    return None


def fixed_point(
    layer: LayerMap,
    x: Float[Tensor, "1 n d"],
    valid: Bool[Tensor, " n"],
    h: float,
    *,
    text: int = 0,
    groups: Callable[[Float[Tensor, "n d"]], int] = len,
) -> FixedPoint:
    """The fixed point that Newton's method reaches from the tokens x of one text, with its stability under steps h.

    `layer` is the map of this text alone; `groups` counts the clusters of tokens [n d].
    """
    f = TextMap(layer, x, valid)
    begin = f.start
    u, residual, iterations = newton_krylov(f, begin)
    moved = float(np.linalg.norm(u - begin) / np.linalg.norm(begin))
    if residual > TOLERANCE:
        return FixedPoint(text, False, residual, iterations, moved)
    steps = leading_eigenvalues(lambda v: v + h * (f.product(u, v) - v), len(u), "LM")
    rates = leading_eigenvalues(lambda v: f.product(u, v) - v, len(u), "LR")
    return FixedPoint(
        text, True, residual, iterations, moved, groups(f.tokens(u)[0, valid]),
        None if steps is None else float(np.abs(steps).max()),
        None if rates is None else float(np.real(rates).max()),
    )  # fmt: skip
