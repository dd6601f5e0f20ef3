r"""One head at work: which engine gives A_i = zeta_i sum_j p_ij V x_j, split at the token it pulls.

    m_i = sum_j p_ij (x_j - x_i),    p_ij = w_j e^{b <Q x_i, K x_j>} / Z_i,
    A_i = zeta_i V (x_i + m_i),      zeta = 1 for SA, Z_i for USA, e^{-b} Z_i for "gkpr".

Differences come first and V after, so that a cluster loses no digits: with V = v I, P V x_i = 0 and only
V m_i is left, as small as the distances. In `Pull` Z is scaled by e^{-b |Q^T K|} and lies in (0, 1].
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines import attention, circle, pairs, sphere
from spinodal.flows.engines.automatic import DIMENSION, ENGINES, WORK, evaluated
from spinodal.flows.engines.law import BETA_MAX, EPS, Attention, Law, law
from spinodal.flows.fields import hardmax
from spinodal.flows.fields.heads import Head, known, norm, times
from spinodal.flows.fields.schemes import Pull

KINDS = ("sa", "usa", "gkpr")
TOLERANCE = 1e-8  # of the largest drift: tokens with a larger error bound are redone by differences
EXPONENT_MAX = math.log(np.finfo(np.float64).max)
ALL_PAIRS = {"direct": pairs.interaction, "attention": attention.interaction}


@dataclass(frozen=True, eq=False)
class Interaction:
    """A head, its temperature and mask. beta = inf is the hardmax limit of SA.

    Refuses what no token could make right: unknown names, beta out of range, an engine that
    does not know matrices or masks.
    """

    head: Head
    beta: float
    kind: str
    causal: bool
    engine: str

    def __post_init__(self) -> None:
        known("kind", self.kind, KINDS)
        known("engine", self.engine, ["auto", *ENGINES])
        if self.hard:
            if self.kind != "sa":
                raise InputError(f"beta = inf is the hardmax limit of kind 'sa'; kind {self.kind!r} has none")
            if self.engine not in ("auto", "direct"):
                raise InputError(f"engine {self.engine!r} does not know beta = inf; use 'auto'")
        else:
            law("sa", self.beta)
            if self.top > BETA_MAX:
                raise InputError(f"beta |Q^T K| = {self.top:g} must not exceed {BETA_MAX:g}")
            if self.exponent > EXPONENT_MAX:
                slower = " or 'gkpr', e^beta slower" if self.kind == "usa" else ""
                raise InputError(
                    f"beta |Q^T K| = {self.top:g}: the clock of {self.kind!r}, e^{self.exponent:g}, "
                    f"overflows above 709.78; use kind 'sa'{slower}"
                )
        limited = "a causal mask" if self.causal else "" if self.head.isotropic else "general Q, K, V"
        if limited and self.engine not in ("auto", "circle", *ALL_PAIRS):
            raise InputError(f"engine {self.engine!r} does not know {limited}; use 'auto'")
        if self.causal and self.engine == "circle":
            raise InputError("engine 'circle' does not know a causal mask; use 'auto'")

    @property
    def hard(self) -> bool:
        return self.beta == math.inf

    @property
    def top(self) -> float:
        """b |Q^T K|, the largest exponent."""
        return self.beta * self.head.strength

    @property
    def exponent(self) -> float:
        """The clock of the kind at Z = 1 is e^exponent."""
        return {"sa": 0.0, "usa": self.top, "gkpr": self.top - self.beta}[self.kind]

    @cached_property
    def law(self) -> Law:
        """Of Q = K = V = I at the temperature that an isotropic head amounts to."""
        return Law(self.top, None if self.kind == "sa" else math.exp(self.exponent))

    def pull(self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], radial: bool) -> Pull:
        """A_i in its two parts; without `radial` the fastest engines serve, which do not know <x, A>."""
        head = self.head
        if head.isotropic and not (radial or self.causal or self.hard):
            v = float(head.pull)
            drift, Z, bound = evaluated(x, weights, self.law, self.engine, TOLERANCE)
            unasked = np.broadcast_to(np.nan, len(x))
            return Pull(drift, unasked, Z, bound) if v == 1 else Pull(v * drift, unasked, Z, abs(v) * bound)
        name = self.chosen(*x.shape)
        mean = self.mean(x, weights, name)
        answer = self.split(x, mean)
        if name == "direct" or self.hard:
            return answer
        poor = np.flatnonzero(answer.error_bound > TOLERANCE * np.abs(answer.tangent).max())
        if len(poor) == 0 or len(poor) * x.size > WORK:
            return answer
        return self.split(x, self.redone(x, weights, mean, poor))

    def log_partition(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """log sum_j w_j e^{b <Q x_i, K x_j>}."""
        if self.head.isotropic and not self.causal:
            return np.log(evaluated(x, weights, self.law, self.engine, TOLERANCE).Z) + self.top
        return self.mean(x, weights, self.chosen(*x.shape)).log_partition

    def chosen(self, n: int, d: int) -> str:
        """The engine for m_i."""
        name = self.fastest(n, d) if self.engine == "auto" else self.engine
        if DIMENSION.get(name, d) != d:
            raise InputError(
                f"engine {name!r} needs d = {DIMENSION[name]}, the tokens have d = {d}; use 'auto'"
            )
        if name in ("lowrank", "span"):
            raise InputError(
                f"engine {name!r} does not give <x, A>, which this normalisation needs; use 'auto'"
            )
        return name

    def fastest(self, n: int, d: int) -> str:
        """Of the engines that are exact to rounding; where each overtakes was measured with two threads."""
        if not (self.causal or self.hard):
            if d == 2 and n >= 400 + 30 * self.top and self.top <= circle.COUPLING_MAX:
                return "circle"
            if d == 3 and n >= 1500 + 30 * self.top and self.top <= sphere.BETA_MAX and self.head.isotropic:
                return "sphere"
        return "direct" if d <= 16 or n * d < 30_000 else "attention"

    def mean(self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], name: str) -> Attention:
        """m_i and log Z_i by an engine of this name."""
        if name == "circle":
            M = self.head.coupling
            M = M * np.eye(2) if np.ndim(M) == 0 else np.asarray(M)
            mean = circle.coupled(x, weights, self.beta * M)
            return Attention(mean.shift - x, mean.log_partition, mean.error_bound + EPS)
        if name == "sphere":
            return mean_on_sphere(x, weights, self.top)
        interaction = hardmax.interaction if self.hard else ALL_PAIRS[name]
        targets, sources = self.logits(x)
        return interaction(targets, sources, x, weights, x, self.causal)

    def logits(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Targets b Q x and sources K x."""
        factor = 1.0 if self.hard else self.beta
        return factor * times(self.head.queries, x), times(self.head.keys, x)

    def redone(
        self,
        x: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"],
        mean: Attention,
        poor: np.ndarray,
    ) -> Attention:
        """The mean with some tokens done again by differences; under a causal mask all are."""
        if self.causal:
            return self.mean(x, weights, "direct")
        targets, sources = self.logits(x)
        better = pairs.interaction(targets[poor], sources, x, weights, x[poor])
        for old, new in zip(mean, better, strict=True):
            old[poor] = new
        return mean

    def split(self, x: Float[np.ndarray, "n d"], mean: Attention) -> Pull:
        """T, <x, A>, the scaled Z and the bound from m_i; A = 0 for a token that sees no mass."""
        V, m, log_Z = self.head.pull, mean.shift, mean.log_partition
        size = norm(V)
        pull, bound = times(V, m), size * mean.error_bound
        if np.ndim(V) == 0:
            radial = float(V) + np.sum(pull * x, 1)
        else:
            pull = pull + times(V, x)
            radial = np.sum(pull * x, 1)
            bound = bound + EPS * (8 + np.sqrt(x.shape[1])) * size * (1 + np.linalg.norm(m, axis=1))
        for _ in range(2):  # a second projection removes what rounding left of the first
            pull = pull - np.sum(pull * x, 1, keepdims=True) * x
        scaled = log_Z if self.hard else log_Z - self.top
        seen = 1.0 * (log_Z > -np.inf)
        zeta = seen if self.kind == "sa" else np.exp(scaled + self.exponent)
        return Pull(zeta[:, None] * pull, zeta * radial, np.exp(scaled), zeta * bound)


def mean_on_sphere(x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], beta: float) -> Attention:
    """Z is linear in the weights, so sum_j w_j e^{b (<x_i, x_j> - 1)} x_jk is the Z of the weights w_j x_jk."""
    unclocked = Law(beta, 1.0)
    Z, *sums = (sphere.drift(x, w, unclocked).Z for w in (weights, *(weights[:, None] * x).T))
    noise = 2 * sphere.rounding(len(x))
    Z = np.maximum(Z, noise)  # below, no digit is known and the bound says so
    return Attention(np.stack(sums, 1) / Z[:, None] - x, np.log(Z) + beta, 2 * noise / Z)
