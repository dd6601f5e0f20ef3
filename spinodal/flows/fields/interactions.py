r"""The attention output of one head, A_i = zeta_i sum_j p_ij V x_j, from differences x_j - x_i.

    m_i = sum_j p_ij (x_j - x_i),    p_ij = w_j e^{b <Q x_i, K x_j> + B_ij} / Z_i,
    A_i = zeta_i V (x_i + m_i),      zeta = 1 for SA, Z_i for USA, e^{-b} Z_i for "gkpr".

Differences come first and V after, so that a cluster loses no digits: with V = v I, P V x_i = 0 and only
V m_i is left, as small as the distances. In `AttentionOutput` Z is scaled by e^{-|b| |Q^T K|} and lies in (0, 1].
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines import direct, hardmax
from spinodal.flows.engines.choose import choose_engines, compute_average, mean_and_engine, unchecked_drift
from spinodal.flows.engines.engine import Problem
from spinodal.flows.engines.kernel import Kernel, times
from spinodal.flows.engines.law import BETA_MAX, EPS, Attention, Law, law
from spinodal.flows.fields.heads import Head
from spinodal.flows.fields.positions import Positions
from spinodal.flows.fields.schemes import AttentionOutput
from spinodal.flows.fields.source import Source
from spinodal.flows.names import require_known
from spinodal.loops import product

KINDS = ("sa", "usa", "gkpr")
EXPONENT_MAX = math.log(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Interaction:
    """A_i = zeta_i sum_j p_ij V x_j of one head, at its temperature and with its mask.

    beta = inf is the hardmax limit of SA, and -inf that of negative beta. InputError at construction for unknown
    names, beta out of range, and an engine that does not serve matrices or masks.
    """

    head: Head
    beta: float
    kind: str
    causal: bool
    engine: str
    positions: Positions | None = None
    euclidean: bool = False  # tokens have any length

    def __post_init__(self) -> None:
        require_known("kind", self.kind, KINDS)
        if self.hard:
            if self.kind != "sa":
                raise InputError(
                    f"beta = {self.beta} is the hardmax limit of kind 'sa'; `kind` {self.kind!r} has none",
                    field="kind",
                )
        else:
            law("sa", self.beta)
            if self.top > BETA_MAX:
                placed = "" if self.positions is None else ", or the `strength` of `positions`"
                raise InputError(
                    f"beta |Q^T K|{' + B' if placed else ''} = {self.top:g} must not exceed {BETA_MAX:g}: lower "
                    f"`beta`{placed}",
                    field=("beta", "positions") if placed else "beta",
                )
            if self.exponent > EXPONENT_MAX:
                slower = " or 'gkpr', e^beta slower" if self.kind == "usa" else ""
                raise InputError(
                    f"beta |Q^T K| = {self.top:g}: the clock of {self.kind!r}, e^{self.exponent:g}, "
                    f"overflows above 709.78; use kind 'sa'{slower}, or a smaller `beta`",
                    field="beta",
                )
        isotropic = self.kernel.isotropic
        problem = Problem(1, self.head.d, self.kernel.inverse_temperature, isotropic, self.causal, self.hard)
        placed = self.positions is not None
        problem = problem._replace(biased=self.kernel.biased, placed=placed, euclidean=self.euclidean)
        choose_engines(problem, self.engine)

    @cached_property
    def kernel(self) -> Kernel:
        kernel = self.head.sa_kernel if self.kind == "sa" else self.head.kernel
        found = kernel(self.beta, self.causal, self.positions)
        return replace(found, euclidean=True) if self.euclidean else found

    @property
    def isotropic(self) -> bool:
        """Whether the drift is that of Q = K = V = I at some beta, times a number."""
        return self.head.isotropic and self.positions is None and not (self.causal or self.hard)

    @property
    def hard(self) -> bool:
        return self.kernel.hard

    @property
    def top(self) -> float:
        """|b| |Q^T K|, the largest exponent."""
        return self.kernel.top

    @property
    def exponent(self) -> float:
        """The clock of the kind at Z = 1 is e^exponent."""
        return {"sa": 0.0, "usa": self.top, "gkpr": self.top - self.beta}[self.kind]

    @cached_property
    def law(self) -> Law:
        """The law with Q = K = V = I that an isotropic head has, up to the factor v."""
        return Law(self.kernel.inverse_temperature, None if self.kind == "sa" else math.exp(self.exponent))

    def attention_output(
        self,
        x: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"],
        radial: bool,
        prompt: Source | None = None,
    ) -> AttentionOutput:
        """A_i as its tangent and its radial part, with Z_i and the bound on the error; read with a `prompt`.

        Without `radial` an engine may give the drift alone, and <x, A> is NaN.
        """
        head = self.head
        if self.isotropic and not radial and prompt is None:
            v, answer = float(head.value_matrix), unchecked_drift(x, weights, self.law, self.engine)
            drift, Z, bound = answer
            unasked = np.broadcast_to(np.nan, len(x))
            if v != 1:
                drift, bound = v * drift, abs(v) * bound
            return AttentionOutput(drift, unasked, Z, bound, answer.engine)
        prefix = prompt and prompt.average(self.kernel, x)

        def split(mean: Attention) -> AttentionOutput:
            return self.split(x, prompt.join(mean, prefix) if prompt and prefix else mean)

        pull, name = compute_average(self.kernel, x, weights, split, engine=self.engine)
        return AttentionOutput(*pull[:4], name)

    def source_output(self, x: Float[np.ndarray, "n d"], source: Source) -> AttentionOutput:
        """What tokens read from a source: A_i, with Z_i and the bound on the error."""
        return AttentionOutput(*self.split(x, source.average(self.kernel, x))[:4], direct.ENGINE.name)

    def attention_weights(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], prompt: Source | None = None
    ) -> Float[np.ndarray, "n k"]:
        """p_ij = w_j e^{b <Q x_i, K x_j> + B_ij} / Z_i [n n], and those of a prompt as further columns.

        A row is 0 for a token that reads none with weight.
        """
        targets, sources = self.kernel.logits(x)
        if self.hard:
            return hardmax.interaction(targets, sources, np.eye(len(x)), weights, None, self.causal).shift
        logits = logits_of(targets, sources, weights)
        if self.positions is not None:
            logits = logits + self.positions.scores(len(x)).values
        if self.causal:
            logits[np.triu_indices(len(x), 1)] = -np.inf
        if prompt is not None and prompt.share is not None:
            further = logits_of(targets, self.kernel.sources(prompt.tokens), prompt.share * prompt.masses)
            logits = np.concatenate([logits + np.log1p(-prompt.share), further], 1)
        return softmax(logits)

    def source_weights(self, x: Float[np.ndarray, "n d"], source: Source) -> Float[np.ndarray, "n m"]:
        """p_ik = v_k e^{b <Q x_i, K y_k>} / Z_i of the tokens of a source in a softmax of their own."""
        targets, sources = self.kernel.targets(x), self.kernel.sources(source.tokens)
        if self.hard:
            return hardmax.interaction(targets, sources, np.eye(len(sources)), source.masses).shift
        return softmax(logits_of(targets, sources, source.masses))

    def log_partition(
        self, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """log sum_j w_j e^{b <Q x_i, K x_j> + B_ij}."""
        if self.isotropic:
            with np.errstate(divide="ignore"):  # of a token far from all mass Z may underflow
                return np.log(unchecked_drift(x, weights, self.law, self.engine).Z) + self.top
        return mean_and_engine(self.kernel, x, weights, self.engine)[0].log_partition

    def split(self, x: Float[np.ndarray, "n d"], mean: Attention) -> AttentionOutput:
        """T, <x, A>, the scaled Z and the bound from m_i; A = 0 for a token that reads none with weight."""
        V, m, log_Z = self.head.value_matrix, mean.shift, mean.log_partition
        size = self.head.value_norm
        pull, bound = times(V, m), size * mean.error_bound
        if (v := self.head.value_bias) is not None:
            pull, bound = pull + v, bound + EPS * (8 + np.sqrt(x.shape[1])) * float(np.linalg.norm(v))
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
        return AttentionOutput(zeta[:, None] * pull, zeta * radial, np.exp(scaled), zeta * bound)


def logits_of(
    targets: Float[np.ndarray, "n k"], sources: Float[np.ndarray, "m k"], weights: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n m"]:
    """<t_i, s_j> + log w_j."""
    with np.errstate(divide="ignore"):
        return product(targets, sources.T) + np.log(weights)


def softmax(logits: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """e^{l_ij} / sum_j e^{l_ij}; a row of 0 where all are -inf."""
    top = logits.max(1, keepdims=True)
    e = np.exp(logits - np.where(top > -np.inf, top, 0.0))
    return e / np.maximum(e.sum(1, keepdims=True), np.finfo(float).tiny)
