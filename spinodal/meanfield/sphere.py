r"""A density on S^2, carried by Gauss's nodes: weights mu_0 w stay, nodes move with the sphere engine.

The density follows its own path, d/dt log rho(x(t), t) = -div X, and with Z = i_0 + beta Y

    SA:  X = grad Y / Z,      div X = Laplacian Y / Z - beta |X|^2,
    USA: X = clock grad Y,    div X = clock Laplacian Y,

the Laplacian being -l (l+1) on degree l. Integrals over the density are exact to rounding as long as
positions are smooth functions of the labels on the grid (`map_tail`); later on they are those of a cloud of n
tokens, of error 1/n or so. Nodes that have met become atoms, and there is no density any more.
"""

import ducc0
import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from spinodal.errors import InputError
from spinodal.flows import probe_array, unchecked_drift
from spinodal.flows.engines import sphere as engine
from spinodal.meanfield.kernel import DriftLaw
from spinodal.meanfield.modes import SphereModes
from spinodal.meanfield.panels import panel_rule
from spinodal.meanfield.solver import core_width
from spinodal.meanfield.steps import step

ACCURACY = 1e-13  # asked of ducc0


class Sphere:
    """dx/dt = X[mu](x) on S^2, for Gauss nodes of degree L that carry their masses.

    Solves for a density on the sphere, d = 3, without noise. Nodes of degree L = `degree` integrate harmonics up to
    degree 2 L + 1 exactly; `tolerance` is the error of a step in W2, transported mass times distance. `probes` [m 3]
    are unit vectors without mass, which X carries along. InputError for another d and where the start has harmonics
    above L.
    """

    geometry = "sphere"

    def __init__(
        self,
        flow: DriftLaw,
        start: SphereModes,
        *,
        degree: int = 32,
        tolerance: float = 1e-8,
        probes: Float[np.ndarray, "m 3"] | None = None,
    ):
        if flow.d != 3:
            raise InputError(f"d = {flow.d}: the sphere has d = 3; use Circle for 2 and Zonal for more")
        if start.highest > degree:
            raise InputError(
                f"the start has degree {start.highest}, beyond the nodes' {degree}: raise `degree`"
            )
        self.flow, self.time, self.tolerance, self.degree = flow, 0.0, tolerance, degree
        self.probes = None if probes is None else probe_array(probes, 3)
        self.rule = panel_rule(tolerance, flow.beta)
        self.x, w = gauss_nodes(degree)
        rho = start.density(self.x)
        self.weights = w * rho / (w @ rho)
        self.labelled = True  # until nodes merge, positions are functions of the start's
        followed = flow.field is None  # else div X is not known
        self.log_density: Float[np.ndarray, " n"] | None = (
            np.log(np.maximum(rho, 1e-300)) if followed else None
        )
        self._try = 1e-3

    def tokens(self) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        """Unit vectors and weights: what `spinodal.flows` takes."""
        return self.x, self.weights

    def masses(self) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        return self.x, self.weights

    def width(self, m: np.ndarray) -> float:
        mean = self.weights @ self.x
        chord = np.sqrt(np.sum((self.x - mean / max(float(np.linalg.norm(mean)), 1e-300)) ** 2, 1))
        return core_width(chord, self.weights)

    def inversion(self) -> float:
        return 0.0

    def total_mass(self) -> float:
        return float(self.weights.sum())

    def least_density(self) -> float:
        return float(np.exp(self.log_density.min())) if self.log_density is not None else np.nan

    @property
    def diracs(self) -> bool:
        """True when atoms of a hundredth of the mass or more hold all but a thousandth of it."""
        return float(self.weights[self.weights >= 0.01].sum()) >= 0.999

    @property
    def consensus(self) -> bool:
        return len(self.weights) == 1

    def rates(self, y: Float[np.ndarray, " k"], dense: bool) -> Float[np.ndarray, " k"]:
        """dx/dt of all nodes and probes and, while there is one, d log rho / dt."""
        n, flow = len(self.weights), self.flow
        m = 0 if self.probes is None else len(self.probes)
        weights = np.append(self.weights, np.zeros(m))
        x = y[: 3 * (n + m)].reshape(n + m, 3)
        x = x / np.sqrt(np.sum(x * x, 1))[:, None]
        if not dense:
            return flow.drift(x, weights).ravel()
        v, Z, _ = unchecked_drift(x, weights, flow.law)
        clock = flow.law.clock
        laplacian = curvature(x[:n], self.weights, flow.beta)
        divergence = (
            clock * laplacian
            if clock is not None
            else laplacian / Z[:n] - flow.beta * np.sum(v[:n] * v[:n], 1)
        )
        return flow.value * np.append(v.ravel(), -divergence)

    def advance(self, until: float) -> None:
        """One step, not beyond `until`; nodes return to the sphere, and those that have met merge."""
        n = len(self.weights)
        dense = self.log_density is not None
        x = self.x if self.probes is None else np.concatenate([self.x, self.probes])
        y = x.ravel() if self.log_density is None else np.append(x.ravel(), self.log_density)
        spread = np.repeat(self.weights, 3)

        def size(e: Float[np.ndarray, " k"]) -> float:
            at = e[: 3 * n]
            probes = np.abs(e[3 * n : x.size]).max(initial=0) / self.tolerance
            far = max(np.abs(at).max() / np.sqrt(self.tolerance), probes)
            return float(max(np.sqrt(spread @ (at * at)) / self.tolerance, far))

        rest = until - self.time
        done = step(lambda y: self.rates(y, dense), y, self.rates(y, dense), min(self._try, rest), size)
        self.time = until if done.taken >= rest else self.time + done.taken
        self._try = max(done.following, self._try) if done.taken >= rest else done.following
        ends = done.y[: x.size].reshape(-1, 3)
        ends = ends / np.sqrt(np.sum(ends * ends, 1))[:, None]
        self.x = ends[:n]
        self.probes = None if self.probes is None else ends[n:]
        self.log_density = done.y[x.size :] if dense else None
        self.merge()

    def merge(self) -> None:
        """Nodes nearer than the rule's distance become one, at their common centre."""
        radius = 0.1 * self.rule.width
        pairs = (
            KDTree(self.x).query_pairs(radius, output_type="ndarray") if len(self.x) > 1 else np.empty((0, 2))
        )
        if not len(pairs):
            return
        i, j = np.asarray(pairs).T
        gap = np.sqrt(np.sum((self.x[i] - self.x[j]) ** 2, 1))
        met = self.rule.is_negligible(gap, np.minimum(self.weights[i], self.weights[j]))
        if not met.any():
            return
        n = len(self.x)
        near = np.asarray(pairs)[met].T
        links = coo_array((np.ones(near.shape[1]), (near[0], near[1])), shape=(n, n))
        count, found = connected_components(links, directed=False)
        group = np.asarray(found)
        mass = np.bincount(group, self.weights, count)
        first = np.unique(group, return_index=True)[1]
        away = self.weights[:, None] * (self.x - self.x[first][group])
        centre = self.x[first] + np.stack([np.bincount(group, a, count) for a in away.T], 1) / mass[:, None]
        self.x, self.weights = centre / np.sqrt(np.sum(centre**2, 1))[:, None], mass
        self.log_density, self.labelled = None, False

    def moments(self, top: int) -> Float[np.ndarray, " k"]:
        return sphere_moments(self.x, self.weights, top)

    def map_tail(self) -> float:
        """The largest coefficient of positions, as functions of the labels, in the last eighth of their degrees.

        One after the first merger, when there are no labels any more.
        """
        return sphere_map_tail(self.x, self.degree) if self.labelled else 1.0


def sphere_moments(
    x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], top: int
) -> Float[np.ndarray, " k"]:
    """sqrt(4 pi / (2l+1) sum_m |a_lm|^2), l = 0..top: rotation-invariant, one for a Dirac, like |m_k|."""
    loc = engine.located(x)
    alm = ducc0.sht.adjoint_synthesis_general(
        map=weights[None], spin=0, lmax=top, loc=loc, epsilon=ACCURACY, nthreads=1
    )[0]
    l = np.concatenate([np.arange(m, top + 1) for m in range(top + 1)])
    twice = np.where(np.arange(len(l)) > top, 2.0, 1.0)
    power = np.bincount(l, twice * np.abs(alm) ** 2)
    return np.sqrt(4 * np.pi / (2 * np.arange(top + 1) + 1) * power)


def sphere_map_tail(x: Float[np.ndarray, "n 3"], L: int) -> float:
    """The largest coefficient of positions, as functions of Gauss nodes of degree L, in the last eighth of degrees."""
    maps = np.ascontiguousarray(x.T).reshape(3, 1, L + 1, 2 * L + 2)
    alm = np.array([ducc0.sht.analysis_2d(map=x, spin=0, lmax=L, geometry="GL", nthreads=1)[0] for x in maps])
    l = np.concatenate([np.arange(m, L + 1) for m in range(L + 1)])
    return float(np.abs(alm[:, l > 7 * L // 8]).max())


def gauss_nodes(L: int) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """(x, w): L + 1 Gauss latitudes from the north, 2 L + 2 longitudes each, and weights that sum to one."""
    u, q = np.polynomial.legendre.leggauss(L + 1)
    u, q = u[::-1], q[::-1]
    phi = 2 * np.pi * np.arange(2 * L + 2) / (2 * L + 2)
    s = np.sqrt((1 - u) * (1 + u))
    x = np.stack([s[:, None] * np.cos(phi), s[:, None] * np.sin(phi), np.repeat(u[:, None], len(phi), 1)], -1)
    return x.reshape(-1, 3), np.repeat(q / (2 * len(phi)), len(phi))


def curvature(
    x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], beta: float
) -> Float[np.ndarray, " n"]:
    """Laplacian of Y(x) = sum_{l>0} 4 pi (i_l / beta) sum_m a_lm Y_lm(x), at the nodes themselves."""
    i = 4 * np.pi * engine.degrees(beta)
    L = len(i) - 1
    there = {"loc": engine.located(x), "lmax": L, "epsilon": ACCURACY, "nthreads": 1}
    alm = ducc0.sht.adjoint_synthesis_general(map=weights[None], spin=0, **there)
    l = np.concatenate([np.arange(m, L + 1) for m in range(L + 1)])
    alm = alm * np.where(l > 0, -l * (l + 1) * i[l], 0)
    return ducc0.sht.synthesis_general(alm=alm, spin=0, **there)[0]


def potential(
    at: Float[np.ndarray, "c 3"], x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], beta: float
) -> Float[np.ndarray, " c"]:
    """Z_beta(x) = sum_j w_j e^{beta (<x, x_j> - 1)} at any points."""
    i = engine.degrees(beta)
    i = 4 * np.pi * np.append(i[0], beta * i[1:])
    L = len(i) - 1
    there = {"lmax": L, "epsilon": ACCURACY, "nthreads": 1, "spin": 0}
    alm = ducc0.sht.adjoint_synthesis_general(map=weights[None], loc=engine.located(x), **there)
    l = np.concatenate([np.arange(m, L + 1) for m in range(L + 1)])
    return ducc0.sht.synthesis_general(alm=alm * i[l], loc=engine.located(at), **there)[0]
