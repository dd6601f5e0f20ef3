r"""Large graphs: index, nullity and lowest eigenvalue of the Hessian, without dense matrices.

    #{eigenvalue < s} = #{U_ii < 0},    H - s = L U with pivots on the diagonal         Sylvester's law of inertia
    lowest eigenvalue on 1-perp         Lanczos' method (ARPACK), translations moved away; where it does not converge,
                                        inverted at a shift below, which inertia finds by bisection

Factors are sparse (SuperLU, minimum degree). On cycles, trees and grids they cost O(n) to O(n^1.5); where the graph has
no small cuts they fill, up to n^3. Factors that differ from the matrix by more than the tolerance of a zero
eigenvalue are computed again at a shift nearby.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import block_array, csc_array, diags_array, eye_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, SuperLU, eigsh, splu

from spinodal.errors import ConvergenceError
from spinodal.graphs.energy import System
from spinodal.graphs.graph import DENSE, Graph

RESTARTS = 25  # of Lanczos' method, before the shift is looked for
VECTORS = 40
NUDGES = (0.0, 1e-2, -1e-2, 5e-2, -5e-2, 0.2)  # of a shift, relative, where factors are not accurate
BRACKETS = 16  # bisections that find the shift
KERNEL = 32  # the largest nullity whose vectors are computed


def is_large(system: System) -> bool:
    """Whether there are more than DENSE vertices, so that matrices are sparse."""
    return system.graph.n > DENSE


@dataclass(frozen=True, eq=False)
class SparseHessian:
    """H as a sparse matrix, and the components of the graph, of which some float: their translations are left out.

    `tolerance` is the size up to which an eigenvalue is zero.
    """

    matrix: csc_array
    components: Int[np.ndarray, " n"]
    floating: list[int]
    tolerance: float

    @property
    def n(self) -> int:
        return len(self.components)

    def project(self, v: Float[np.ndarray, "..."]) -> Float[np.ndarray, " n"]:
        """v without the translations of floating components."""
        sizes = np.bincount(self.components)
        means = np.bincount(self.components, v.ravel()) / sizes
        means[~np.isin(np.arange(len(sizes)), self.floating)] = 0.0
        return v.ravel() - means[self.components]

    def factors(self, shift: float) -> SuperLU:
        """H - s = L U, pivots on the diagonal, s the shift or near it; ConvergenceError where none is accurate."""
        v = np.random.default_rng(0).standard_normal(self.n)
        for nudge in NUDGES:
            A = csc_array(self.matrix - shift * (1 + nudge) * eye_array(self.n))
            try:
                lu = splu(
                    A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
                )
            except RuntimeError:  # a pivot is exactly 0
                continue
            if (lu.perm_r == lu.perm_c).all():
                place = lu.perm_c.argsort()
                error = lu.L @ (lu.U @ v[place]) - (A @ v)[place]
                if np.linalg.norm(error) <= 0.1 * self.tolerance * np.linalg.norm(v):
                    return lu
        raise ConvergenceError(f"the Hessian of {self.n} vertices has no accurate factors near {shift:.3g}")

    def count_below(self, shift: float) -> int:
        """#{eigenvalue < shift}, translations included."""
        return int((self.factors(shift).U.diagonal() < 0).sum())

    def index_and_nullity(self) -> tuple[int, int]:
        """The numbers of negative and of zero eigenvalues on 1-perp, by inertia."""
        negative = self.count_below(-self.tolerance)
        return negative, self.count_below(self.tolerance) - negative - len(self.floating)

    def lowest_pair(self) -> tuple[float, Float[np.ndarray, " n"]]:
        """The least eigenvalue on 1-perp and its vector, by Lanczos' method; inverted where that does not converge.

        Two starts must agree, for one may be orthogonal to the vector that is sought.
        """
        bound = float(abs(self.matrix).sum(0).max())  # Gershgorin: no eigenvalue is larger
        size = min(self.n, VECTORS)

        def raised(v: np.ndarray) -> np.ndarray:
            kept = self.project(v)
            return self.matrix @ kept + bound * kept + 2 * bound * (v.ravel() - kept)

        operator = LinearOperator((self.n, self.n), matvec=raised, dtype=float)  # pyright: ignore[reportCallIssue]
        found = []
        try:
            for seed in (0, 1):
                start = self.project(np.random.default_rng(seed).standard_normal(self.n))
                options = {"ncv": size, "maxiter": RESTARTS, "tol": 1e-12}
                values, vectors = eigsh(operator, k=1, which="SA", v0=start, **options)
                found.append((float(values[0]) - bound, vectors[:, 0]))
            if abs(found[0][0] - found[1][0]) <= 1e-3 * self.tolerance:
                return min(found, key=lambda pair: pair[0])
        except ArpackNoConvergence:
            pass
        values, vectors = self.pairs_near(self.shift_below(bound), 1)
        return float(values[0]), vectors[:, 0]

    def shift_below(self, bound: float) -> float:
        """A shift below the lowest eigenvalue and near it; without negative eigenvalues one just below 0."""
        high, low = -self.tolerance, -bound
        if self.count_below(high) == 0:
            return high
        for _ in range(BRACKETS):
            middle = (low + high) / 2
            if self.count_below(middle) == 0:
                low = middle
            else:
                high = middle
        return low

    def pairs_near(self, shift: float, k: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "n k"]]:
        """The k eigenvalues on 1-perp nearest to a shift, with their vectors."""
        lu, shape = self.factors(shift), (self.n, self.n)
        start = self.project(np.random.default_rng(1).standard_normal(self.n))
        inverse = LinearOperator(shape, matvec=lambda v: self.project(lu.solve(self.project(v))), dtype=float)  # pyright: ignore[reportCallIssue]
        options = {"ncv": min(self.n, max(VECTORS, 3 * k)), "tol": 1e-10}
        try:
            values, vectors = eigsh(self.matrix, k=k, sigma=shift, OPinv=inverse, v0=start, **options)
        except ArpackNoConvergence as error:
            raise ConvergenceError(f"eigenvalues near {shift:.3g} do not converge: {error}") from None
        return values, vectors

    def kernel(self, nullity: int) -> Float[np.ndarray, "n k"]:
        """Orthonormal vectors of the kernel on 1-perp; ConvergenceError where it has more than 32 dimensions."""
        if nullity > KERNEL:
            raise ConvergenceError(
                f"{nullity} zero eigenvalues at {self.n} vertices: what they mean is examined up to {KERNEL} of them, "
                f"or up to {DENSE} vertices"
            )
        if not nullity:
            return np.zeros((self.n, 0))
        return np.linalg.qr(self.pairs_near(0.3 * self.tolerance, nullity)[1])[0]


def sparse_matrix(system: System, x: Float[np.ndarray, " n"]) -> csc_array:
    """H = B diag(a f'(y)) B^T + diag(Phi'')."""
    H = laplacian(system.graph, system.edgewise(x, 1))
    if (s := system.onsite) is not None:
        H = H + diags_array(np.asarray(s.stiffness * s.pull(x - s.centre, 1), dtype=float))
    return csc_array(H)


def laplacian(graph: Graph, w: Float[np.ndarray, " e"]) -> csc_array:
    """L_w = B diag(w) B^T."""
    return csc_array((graph.incidence * w[None]) @ graph.incidence.T)


def sparse_hessian(system: System, x: Float[np.ndarray, " n"], tolerance: float) -> SparseHessian:
    return SparseHessian(sparse_matrix(system, x), system.graph.components, system.floating, tolerance)


def lowest_vector(graph: Graph, w: Float[np.ndarray, " e"]) -> Float[np.ndarray, " n"]:
    """The eigenvector of the lowest eigenvalue of L_w, translations left out."""
    tolerance = 1e-9 * float(np.abs(w).max(initial=1e-300))
    floating = list(range(int(graph.components.max()) + 1))
    return SparseHessian(laplacian(graph, w), graph.components, floating, tolerance).lowest_pair()[1]


def constrained_step(
    system: System, z: Float[np.ndarray, " n"], held: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """H^-1 grad E orthogonal to columns C: [[H, C], [C^T, 0]] [s; m] = [grad E; 0]."""
    n, k = held.shape
    right = np.concatenate([system.gradient(z), np.zeros(k)])
    if not is_large(system):
        return np.linalg.solve(np.block([[system.hessian(z), held], [held.T, np.zeros((k, k))]]), right)[:n]
    C = csc_array(held)
    return splu(csc_array(block_array([[sparse_matrix(system, z), C], [C.T, None]]))).solve(right)[:n]
