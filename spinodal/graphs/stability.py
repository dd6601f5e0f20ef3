r"""Is an equilibrium stable, and in which sense; how large is the equilibrium set around it?

With H = L_{a f'(y)} on the complement of the translations (1-perp, in every component):

    linearly stable         all eigenvalues > 0
    asymptotically stable   what starts near comes back: E has a strict minimum there
    Lyapunov stable         what starts near stays near: E has a minimum there

each following from the one before and none from the one after. The index is the number of negative
eigenvalues, the nullity that of zero ones. With nullity the Hessian does not decide, and the energy does,
minimised over all but the kernel: e(v) = min_w E(x + r v + w) - E(x), w orthogonal to the kernel.
That minimum is sampled over v, which is exact for nullity one, and evidence and no proof above it.

Above 500 vertices no matrix is dense: index and nullity are found by inertia, the lowest eigenvalue by
Lanczos' method, and what is solved is sparse (`graphs.sparse`).

Nullity is not dimension: where sheets of equilibria cross it is larger. The dimension is measured at a
generic neighbour, as the rank of the directions in which the set goes on.

    symbol  meaning                                         shape
    H       Hessian of the energy                           n n
    w       a_e f'(y_e), the weights of H as a Laplacian    e
    v       a direction of the kernel, |v| = 1              n
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from spinodal.errors import InputError
from spinodal.graphs import sparse
from spinodal.graphs.blocks import blocks, effective_resistance, subgraph
from spinodal.graphs.energy import System
from spinodal.graphs.graph import DENSE, Graph
from spinodal.graphs.newton import Sphere, refine_states
from spinodal.graphs.states import real_states

TOLERANCE = (
    1e-6  # of an eigenvalue of zero, relative to the scale: Newton ends 1e-6 away from degenerate points
)
RADIUS = 0.1  # of the sphere on which the energy decides
ENERGY = 1e-11  # relative; rounding is 1e-14, and r^8 is 1e-8
NEIGHBOUR = 1e-10  # the largest residual, relative, of an equilibrium on the sphere: y^7 leaves 1e-7
STRIDE = 0.02  # of a move within the set: long enough for r^7 to be seen, short enough to be straight
TRIES = (8, 16)  # states on the sphere, in rounds; above 500 vertices the first round alone
EXHAUSTIVE = 14  # vertices up to which every cut is tried


class Stability(NamedTuple):
    """Linear, Lyapunov and asymptotic stability of an equilibrium, with its index and nullity.

    `name` is "linear", "lyapunov" or "unstable", the strongest of these three that holds; `asymptotic` is separate.
    `index` and `nullity` count the negative and the zero eigenvalues of the Hessian, translations left out.
    """

    index: int
    nullity: int
    linear: bool
    asymptotic: bool
    lyapunov: bool
    dimension: int

    @property
    def name(self) -> Literal["linear", "lyapunov", "unstable"]:
        return "linear" if self.linear else "lyapunov" if self.lyapunov else "unstable"


def spectrum(system: System, x: Float[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b k"]:
    """Eigenvalues of Q^T H(x) Q, ascending, Q a basis of the states without their translations.

    The eigenvalues of the energy's Hessian that decide stability, for one state [n] or many [b n], all of them, by full
    matrices: n^3 operations each.
    """
    Q = system.basis
    return np.linalg.eigvalsh(Q.T @ system.hessian(x) @ Q)


def zero_tolerance(system: System) -> float:
    """|eigenvalue| up to which it counts as zero.

    TOLERANCE times the scale, above 500 vertices times (500 / n)^2: the lowest eigenvalues of long graphs
    fall like n^-2.
    """
    return TOLERANCE * system.scale * min(1.0, DENSE / system.graph.n) ** 2


def lowest_eigenvalue(system: System, x: Float[np.ndarray, " n"]) -> float | None:
    """The least eigenvalue of the Hessian on 1-perp, below 0 where x is unstable; None if 1-perp is {0}."""
    if len(system.floating) == system.graph.n:
        return None
    if sparse.is_large(system):
        return sparse.sparse_hessian(system, x, zero_tolerance(system)).lowest_pair()[0]
    return float(spectrum(system, x)[0])


def index_and_nullity(system: System, x: Float[np.ndarray, " n"]) -> tuple[int, int]:
    """(#{eigenvalue < 0}, #{eigenvalue = 0}) of the Hessian, translations left out.

    How many directions lead downhill from an equilibrium and how many are flat. An eigenvalue counts as zero up to
    `zero_tolerance`.
    """
    zero = zero_tolerance(system)
    if sparse.is_large(system):
        low = lowest_eigenvalue(system, x)
        if low is None or low > zero:
            return 0, 0
        return sparse.sparse_hessian(system, x, zero).index_and_nullity()
    eigenvalues = spectrum(system, x)
    return int((eigenvalues < -zero).sum()), int((np.abs(eigenvalues) <= zero).sum())


def kernel(system: System, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """An orthonormal basis of the kernel of H on 1-perp."""
    if sparse.is_large(system):
        H = sparse.sparse_hessian(system, x, zero_tolerance(system))
        return H.kernel(H.index_and_nullity()[1])
    Q = system.basis
    eigenvalues, vectors = np.linalg.eigh(Q.T @ system.hessian(x) @ Q)
    return Q @ vectors[:, np.abs(eigenvalues) <= TOLERANCE * system.scale]


def stability(system: System, x: Num[np.ndarray, " _"], *, seed: int = 0) -> Stability:
    """The stability of the equilibrium x of x' = -grad E, with its index, nullity and local dimension.

    The Hessian decides where it has no zero eigenvalue; otherwise the energy is sampled along its kernel. InputError
    where x is no equilibrium.
    """
    x = real_states(x, system.graph.n)
    require_equilibrium(system, x)
    index, nullity = index_and_nullity(system, x)
    if nullity == 0:
        return Stability(index, 0, index == 0, index == 0, index == 0, 0)
    if sparse.is_large(system) and system.free and len(parts := blocks(system.graph)) > 1:
        return stability_of_blocks(system, x, parts, Stability(index, nullity, False, True, True, 0), seed)
    dimension = local_dimension(system, x, seed=seed)
    if index or dimension == nullity:  # with index 0, a minimum across a smooth manifold of equilibria
        return Stability(index, nullity, False, False, index == 0, dimension)
    lowest = lowest_neighbour(system, x, seed)
    zero = ENERGY * system.scale
    return Stability(index, nullity, False, lowest > zero and dimension == 0, lowest > -zero, dimension)


def stability_of_blocks(
    system: System,
    x: Float[np.ndarray, " n"],
    parts: list[Int[np.ndarray, " _"]],
    known: Stability,
    seed: int,
) -> Stability:
    """The stability of the whole from its blocks': dimensions add, and a notion holds if it does on each."""
    slopes, zero = system.edgewise(x, 1), zero_tolerance(system)
    asymptotic, lyapunov, dimension = known.asymptotic, known.lyapunov, 0
    for edges in parts:
        if len(edges) == 1 and abs(slope := slopes[edges[0]]) > zero:
            asymptotic, lyapunov = asymptotic and slope > 0, lyapunov and slope > 0
            continue
        graph, vertices = subgraph(system.graph, edges)
        one = stability(System(graph, system.coupling), x[vertices], seed=seed)
        asymptotic, lyapunov = asymptotic and one.asymptotic, lyapunov and one.lyapunov
        dimension += one.dimension
    return known._replace(asymptotic=bool(asymptotic), lyapunov=bool(lyapunov), dimension=dimension)


def require_equilibrium(system: System, x: Float[np.ndarray, " _"]) -> None:
    """InputError where |grad E| at x is not zero to rounding."""
    if x.shape != (system.graph.n,) or not np.isfinite(x).all():
        raise InputError(
            f"a state is {system.graph.n} finite numbers, one a vertex; this one has shape {x.shape}"
        )
    residual = float(np.abs(system.gradient(x)).max())
    if residual > TOLERANCE * system.scale:
        raise InputError(
            f"the state is no equilibrium: |grad E| = {residual:.3g}; `refine` moves it to one by Newton's method",
            field="refine",
        )


def lowest_neighbour(system: System, x: Float[np.ndarray, " n"], seed: int) -> float:
    """The least e(v) over sampled directions v of the kernel, refined around the best of them."""
    K = kernel(system, x)
    k = K.shape[1]
    rng = np.random.default_rng(seed)
    directions = np.concatenate([np.eye(k), -np.eye(k), rng.standard_normal((32 * (k > 1) * k, k))])
    values = [reduced_energy(system, x, K @ d / np.linalg.norm(d), K) for d in directions]
    best, low = directions[int(np.argmin(values))], min(values)
    for width in np.geomspace(0.3, 0.01, 24 if k > 1 else 0):
        tried = best / np.linalg.norm(best) + width * rng.standard_normal(k)
        if (value := reduced_energy(system, x, K @ tried / np.linalg.norm(tried), K)) < low:
            best, low = tried, value
    return low


def reduced_energy(
    system: System, x: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"], K: Float[np.ndarray, "n k"]
) -> float:
    """e(v) = min_w E(x + r v + w) - E(x) over w orthogonal to K and translations, by Newton's method."""
    z = x + RADIUS * v
    held = np.concatenate([K, system.translations], 1)
    for _ in range(12 if held.shape[1] < len(x) else 0):
        step = sparse.constrained_step(system, z, held)
        z = z - step
        if np.abs(step).max() < 1e-12:
            break
    return float(system.energy(z) - system.energy(x))


def local_dimension(system: System, x: Float[np.ndarray, " n"], *, seed: int = 0) -> int:
    """The dimension of the set {grad E = 0} near x, up to translation.

    Newton's method looks for equilibria at a fixed distance from x, and where it finds some the directions in which
    they go on are counted. An isolated equilibrium has dimension 0, however degenerate it is.
    """
    rng = np.random.default_rng(seed)
    K = kernel(system, x)
    most, dimension = K.shape[1], 0
    for tries in TRIES[: 1 if sparse.is_large(system) else 2]:
        if dimension == most:
            break
        steps = rng.standard_normal((tries, most)) @ K.T
        steps *= RADIUS / np.linalg.norm(steps, axis=1, keepdims=True)
        neighbours, residual = refine_states(system, x + steps, sphere=Sphere(x, RADIUS))
        for z in neighbours[residual < NEIGHBOUR * system.scale]:
            V = kernel(system, z)
            if dimension < V.shape[1] and dimension < most:
                moved, _ = refine_states(system, z + STRIDE * V.T)
                moves = (moved - z) @ V / STRIDE
                dimension = max(dimension, int((np.linalg.svd(moves, compute_uv=False) > 0.3).sum()))
    return dimension


def positive_test(system: System, x: Float[np.ndarray, " n"]) -> bool:
    """f'(y_e) > 0 on every edge e.

    A sufficient condition for linear stability on a connected graph; it is not necessary.
    """
    return bool((system.edgewise(x, 1) > 0).all())


def negative_cut(graph: Graph, w: Float[np.ndarray, " e"]) -> Bool[np.ndarray, " n"] | None:
    """A set S of vertices with sum_{e leaves S} w_e < 0, for then 1_S^T L_w 1_S < 0.

    Such a cut proves that an equilibrium with the slopes w = a f'(y) is unstable. None if none is found: every cut is
    tried up to EXHAUSTIVE vertices; in larger graphs single vertices and the level sets of the lowest eigenvector, so
    that None is then no proof of stability.
    """
    n = graph.n
    if n <= EXHAUSTIVE:
        codes = np.arange(2 ** (n - 1), dtype=np.int64)
        sets = (codes[:, None] >> np.arange(n)) & 1 == 1
        cuts = (sets[:, graph.tails] != sets[:, graph.heads]) @ w
        best = int(cuts.argmin())
        chosen, weight = sets[best], cuts[best]
    else:
        chosen, weight = lowest_level_set(graph, w)
    return chosen if weight < -1e-12 * np.abs(w).max(initial=0.0) else None


def lowest_level_set(graph: Graph, w: Float[np.ndarray, " e"]) -> tuple[Bool[np.ndarray, " n"], float]:
    """The least cut among single vertices and the sets {v > s}, v the lowest eigenvector of L_w, and its weight."""
    n = graph.n
    v = sparse.lowest_vector(graph, w) if n > DENSE else np.linalg.eigh(graph.laplacian(w))[1][:, 0]
    levels = np.sort(v)
    single = np.bincount(np.concatenate([graph.tails, graph.heads]), np.tile(w, 2), minlength=n)
    ends = np.sort(np.stack([v[graph.tails], v[graph.heads]]), axis=0)
    first, last = np.searchsorted(levels, ends[0]), np.searchsorted(levels, ends[1])
    jumps = np.bincount(first, w, minlength=n + 1) - np.bincount(last, w, minlength=n + 1)
    level = np.cumsum(jumps)[:n]
    if single.min() <= level.min():
        return np.arange(n) == single.argmin(), float(single.min())
    return v > levels[level.argmin()], float(level.min())


def single_negative_edge(graph: Graph, w: Float[np.ndarray, " e"]) -> float:
    """|w_e| R_eff(u, v) for the one edge e = (u, v) with w_e < 0.

    The equilibrium is linearly stable if and only if the number is below 1. R_eff is the effective resistance of the
    graph without e, with conductances w. InputError unless exactly one w is negative.
    """
    negative = np.flatnonzero(w < 0)
    if len(negative) != 1:
        raise InputError(f"{len(negative)} edges have f' < 0: this test is for exactly one")
    e = int(negative[0])
    rest = np.where(w < 0, 0.0, w)
    return float(-w[e] * effective_resistance(graph, rest, int(graph.tails[e]), int(graph.heads[e])))


def coordinate_curvatures(system: System, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """d^2 E / dx_i^2, whose zero is the article's sign of a bifurcation  [preetham2023].

    The diagonal of the Hessian, for comparison only: at a fold an eigenvalue of the Hessian vanishes, which a zero on
    its diagonal neither implies nor follows from. `singular_point` tests the eigenvalue.
    """
    return np.diagonal(system.hessian(x)).copy()
