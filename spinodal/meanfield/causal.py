r"""A density of tokens under a causal mask: one at each index s in [0, 1], which reads those of the indices below.

    d_t mu_s + div(mu_s X_s) = 0,    X_s = zeta P_x int_0^s int e^{beta <x,y>} V y dmu_s'(y) ds'       [derived]

With SA the field divides by the mass that was read. Tokens that are drawn alike at all s then stay alike, as each
prefix has the law of the whole: mu_s = mu, the density without a mask, and no slices are needed. USA gives a prefix the
clock s. There mu_s is smooth in s, so that few Gauss nodes s_k integrate it, and the integral up to each of them is
exact for polynomials of s: L_l are those of Lagrange,

    int_0^{s_k} f ds = sum_l A_kl f(s_l),    A_kl = int_0^{s_k} L_l ds.

Each slice is carried by nodes of equal labels: equal steps of the circle, Gauss nodes of S^2. They stand for the
density while the map of labels is smooth (`map_tail`).

    symbol  meaning                                             shape
    s, c    indices of the slices and their weights             S
    A       integrals up to each index                          S S
    x, w    nodes and their masses, the same in every slice     S m d, m
"""

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

from spinodal.meanfield.kernel import DriftLaw
from spinodal.meanfield.modes import CircleModes, SphereModes
from spinodal.meanfield.solver import core_width
from spinodal.meanfield.sphere import gauss_nodes, sphere_map_tail, sphere_moments
from spinodal.meanfield.steps import step


def prefix_rule(
    slices: int,
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"], Float[np.ndarray, "S S"]]:
    """(s, c, A): Gauss nodes of [0, 1], their weights, and the integrals up to each node.

    A polynomial of degree S - 1 is sum_k (k + 1/2) int f P_k P_k, of which int P_k = (P_{k+1} - P_{k-1}) / (2k + 1).
    """
    z, q = legendre.leggauss(slices)
    k = np.arange(slices)
    coefficients = (k + 0.5)[:, None] * legendre.legvander(z, slices - 1).T * q
    integrals = np.stack([legendre.legval(z, legendre.legint(np.eye(slices)[j], lbnd=-1)) for j in k], 1)
    return (z + 1) / 2, q / 2, integrals @ coefficients / 2


class CausalSlices:
    """dx/dt = X_s[mu](x) of nodes at S indices s, on the circle and on S^2  [derived].

    Solves for the densities of tokens under a causal mask. Nodes of degree L = `degree`, on the circle 2 L + 2 of them;
    `tolerance` is the error of a step in W2.
    """

    probes = None
    diracs = consensus = False

    def __init__(
        self,
        flow: DriftLaw,
        start: CircleModes | SphereModes,
        *,
        degree: int = 32,
        slices: int = 8,
        tolerance: float = 1e-8,
    ):
        self.flow, self.geometry, self.time, self.tolerance = flow, start.geometry, 0.0, tolerance
        self.s, self.c, self.A = prefix_rule(slices)
        self.degree = degree
        if isinstance(start, CircleModes):
            self.labels = 2 * np.pi * np.arange(2 * degree + 2) / (2 * degree + 2)
            x, area = np.stack([np.cos(self.labels), np.sin(self.labels)], 1), np.ones(len(self.labels))
            mass = start.density(self.labels)
        else:
            x, area = gauss_nodes(degree)
            mass = area * start.density(x)
        self.mass = mass / mass.sum()
        self.x = np.repeat(x[None], slices, 0)
        self.weights = (self.c[:, None] * self.mass).ravel()
        self._try = 1e-3

    def velocity(self, y: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """dx/dt of all nodes: those of slice k in the field of the mass up to s_k."""
        x = unit(y.reshape(-1, self.flow.d))
        m = len(self.mass)
        drifts = [
            self.flow.drift(x, (A[:, None] * self.mass).ravel())[k * m : (k + 1) * m]
            for k, A in enumerate(self.A)
        ]
        return np.concatenate(drifts).ravel()

    def advance(self, until: float) -> None:
        """One step, not beyond `until`; nodes return to the sphere."""
        spread = np.repeat(self.weights, self.flow.d)

        def size(e: Float[np.ndarray, " k"]) -> float:
            far = np.abs(e).max() / np.sqrt(self.tolerance)
            return float(max(np.sqrt(spread @ (e * e)) / self.tolerance, far))

        y, rest = self.x.ravel(), until - self.time
        done = step(self.velocity, y, self.velocity(y), min(self._try, rest), size)
        self.time = until if done.taken >= rest else self.time + done.taken
        self._try = max(done.following, self._try) if done.taken >= rest else done.following
        self.x = unit(done.y.reshape(self.x.shape))

    def tokens(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
        return self.x.reshape(-1, self.flow.d), self.weights

    @property
    def index(self) -> Float[np.ndarray, " n"]:
        """s of every node."""
        return np.repeat(self.s, len(self.mass))

    def masses(self) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
        x = self.x.reshape(-1, self.flow.d)
        return (np.arctan2(x[:, 1], x[:, 0]) if self.geometry == "circle" else x), self.weights

    def moments(self, top: int) -> np.ndarray:
        """m_0, ..., m_top of all slices together."""
        x, w = self.tokens()
        if self.geometry == "sphere":
            return sphere_moments(x, w, top)
        return (x[:, 0] + 1j * x[:, 1]) ** np.arange(top + 1)[:, None] @ w

    def width(self, m: np.ndarray) -> float:
        mean = self.weights @ self.tokens()[0]
        away = self.tokens()[0] - mean / max(float(np.linalg.norm(mean)), 1e-300)
        return core_width(np.sqrt(np.sum(away**2, 1)), self.weights)

    def map_tail(self) -> float:
        """The largest coefficient of positions, as functions of the labels, in the last eighth of their degrees."""
        if self.geometry == "sphere":
            return max(sphere_map_tail(x, self.degree) for x in self.x)
        top = self.degree + 1
        return float(np.abs(np.fft.rfft(self.x, axis=1)[:, 7 * top // 8 + 1 :]).max() / top)

    def total_mass(self) -> float:
        return float(self.weights.sum())

    def least_density(self) -> float:
        return np.nan

    def inversion(self) -> float:
        return 0.0


def unit(x: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
    return x / np.sqrt(np.sum(x * x, -1, keepdims=True))
