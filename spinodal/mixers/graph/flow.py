r"""Attention as a graph whose tokens descend an energy under an odd coupling.

    E(x) = 1/2 sum_ij a_ij F(x_j - x_i) + 1/2 sum_i d_i rho_i |x_i - v_i|^2,    d_i = sum_j a_ij
    x_i <- x_i + eta / (1 + rho_i) [sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i)],    x(0) = v,  P = D^-1 A

A step is x - eta M^-1 grad E with M = D (1 + rho), so E never rises for eta <= 1 / max(1, sup|f'|). With f the
identity, one step and no anchor this is softmax attention with symmetrised scores. Anchors rho hold a token at
its value: without them many steps end in consensus. They are relative to the degree, as links alone would
vanish against them when scores shift. With |v| < pi/4 and f = sin no difference reaches pi/2: E is convex
there, its minimum unique, and a step shrinks distances by 1 / (1 + min rho).

Symmetric weights are what an energy needs. A causal graph is not symmetric: there every token descends an
energy of its own, among earlier ones that move as well. `guarantee` says which holds. The formulas of
[preetham2023] are lost; all of these are reconstructions [derived], see docs/graph_attention.md.

    symbol  meaning                                       shape
    x, v    states and values                             b h n c
    q, k    q' = [q, k] and k' = [k, q], rotated          b h n w, w = 2c
    rho     anchors, softplus(w.u) of the tokens u        b h n 1
    a, P    links and their shares of a row               b h n n
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import ConvergenceError, InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.graph.coupling import SineCoupling
from spinodal.mixers.graph.form import FlowForm
from spinodal.mixers.graph.implicit import implicit_equilibrium
from spinodal.mixers.graph.links import (
    Averages,
    allowed_links,
    explicit,
    fused,
    link_bias,
    off_diagonal_bias,
    scores,
)
from spinodal.mixers.graph.statistics import GraphStatistics
from spinodal.mixers.ops.kv_cache import append, position
from spinodal.mixers.token.attention import rotate
from spinodal.types import Mixed

TINY = 1e-30
SIN = FlowForm()


class GraphInputs(NamedTuple):
    """What a flow needs of the tokens u: q', k', values and anchors."""

    u: Float[Tensor, "b n d"]
    q: Float[Tensor, "b h n w"]
    k: Float[Tensor, "b h n w"]
    v: Float[Tensor, "b h n c"]
    rho: Float[Tensor, "b h n 1"]


class GraphFlowAttention(Mixer):
    """out(x(T)), the flow of each head on its own graph."""

    def __init__(self, width: int, *, heads: int, form: FlowForm = SIN, causal: bool = False):
        super().__init__()
        if width % (2 * heads):
            raise InputError(
                f"graph attention needs an even number of features per head: width={width}, heads={heads}"
            )
        self.heads, self.causal, self.form = heads, causal, form
        self.coupling = SineCoupling(form.coupling, learned=form.learned)
        self.largest = 1 / max(1.0, self.coupling.bound)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.anchor = nn.Linear(width, heads, bias=False) if form.anchored else None
        self.sizes = (
            nn.Parameter(torch.zeros(1 + max(form.descent.sharing))) if form.descent.sharing else None
        )
        self.out = OutputProjection(width, width)
        self.refuse()

    def refuse(self):
        """InputError for what this flow cannot promise."""
        amplitude, descent = self.form.amplitude, self.form.descent
        if descent.size is not None and not 0 < descent.size <= self.largest:
            raise InputError(
                f"size={descent.size}: the energy falls for steps up to {self.largest:.4g} = 1 / max(1, sup|f'|)"
            )
        if amplitude is not None and not self.form.learned and not self.coupling.rises_within(2 * amplitude):
            raise InputError(
                f"amplitude={amplitude}: values differ by up to {2 * amplitude:.4g}, where the slope of "
                f"{self.form.coupling} is not positive; for sin take less than pi/4, or None"
            )
        if descent.tolerance and self.causal:
            raise InputError(
                "tolerance in a causal flow: the residual of a text would tell a token of later ones; take 0"
            )
        if not descent.implicit:
            return
        if self.guarantee != "energy":
            raise InputError(
                f"implicit=True: the Hessian must be symmetric, and this flow has the guarantee {self.guarantee!r}"
            )
        if not self.form.anchored or amplitude is None or self.form.learned:
            raise InputError(
                "implicit=True: the equilibrium must be unique, which takes anchors, an amplitude and a fixed coupling"
            )

    @property
    def guarantee(self) -> str:
        """What every step descends: "energy", one for all tokens; or "per-token", each its own, the others held."""
        return "per-token" if self.causal else "energy"

    @property
    def directed(self) -> bool:
        """Whether i may be linked to j and j not to i."""
        return self.guarantee != "energy"

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        inputs = self.inputs(x, valid)
        averages = self.links(inputs, valid)
        if self.form.descent.implicit:
            state = self.equilibrium(inputs, averages, valid)
        else:
            state = self.states(inputs, averages)[-1]
        return Mixed(self.read(state), self.information(inputs, state, valid) if residuals else {})

    def inputs(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        start: Int[Tensor, " b"] | None = None,
    ) -> GraphInputs:
        """Values are zero on padding."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, start), rotate(k, start)
        if self.form.amplitude is not None:
            v = self.form.amplitude * (v / self.form.amplitude).tanh()
        if valid is not None:
            v = v.masked_fill(~valid[:, None, :, None], 0.0)
        rho = x.new_zeros(len(x), x.shape[1], self.heads)
        if self.anchor is not None:
            rho = functional.softplus(self.anchor(x))
        return GraphInputs(x, torch.cat([q, k], -1), torch.cat([k, q], -1), v, rho.mT[..., None])

    def read(self, state: Float[Tensor, "b h n c"]) -> Float[Tensor, "b n d"]:
        return self.out(state.transpose(1, 2).flatten(2))

    def links(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Averages:
        """Averages over the links of whole texts."""
        if valid is None and not self.form.threshold:
            bias = None if self.causal else off_diagonal_bias(inputs.q.shape[2], inputs.q)
            return fused(inputs.q, inputs.k, bias)
        return self.averages(inputs.q, inputs.k, self.allowed(inputs, valid))

    def allowed(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "#b #h n n"]:
        n = inputs.q.shape[2]
        seen = inputs.q.new_ones(1, n, dtype=torch.bool) if valid is None else valid
        return allowed_links(n, seen, causal=self.causal)

    def averages(
        self, q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h m w"], allowed: Bool[Tensor, "#b #h n m"]
    ) -> Averages:
        """One fused call a step, or P formed once where a threshold has to see it."""
        if not self.form.threshold:
            return fused(q, k, link_bias(allowed, q))
        return explicit(scores(q, k, allowed, threshold=self.form.threshold, directed=self.directed))

    def force(
        self,
        inputs: GraphInputs,
        x: Float[Tensor, "b h n c"],
        past: Float[Tensor, "b h m c"],
        averages: Averages,
    ) -> Float[Tensor, "b h n c"]:
        """-D^-1 grad E at x, tokens that follow those of `past`."""
        own = self.coupling.features(x)
        every = own if past.shape[2] == 0 else torch.cat([self.coupling.features(past), own], 2)
        return self.coupling.pull(own, averages(every), x.shape[-1]) + inputs.rho * (inputs.v - x)

    def states(
        self, inputs: GraphInputs, averages: Averages, past: Sequence[Float[Tensor, "b h m c"]] = ()
    ) -> list[Float[Tensor, "b h n c"]]:
        """x(0), x(1), ...; a sample stays where its relative residual is below the tolerance."""
        descent, x = self.form.descent, inputs.v
        states, moving = [x], None
        for step in range(descent.steps):
            before = past[step] if past else x[:, :, :0]
            displacement = self.force(inputs, x, before, averages) / (1 + inputs.rho)
            if descent.tolerance:
                now = relative(displacement, inputs.v) > descent.tolerance
                moving = now if moving is None else moving & now
                if not moving.any():
                    break
                displacement = displacement.where(moving[:, None, None, None], 0.0)
            x = x + self.size(step) * displacement
            states.append(x)
        return states

    def size(self, step: int) -> float | Tensor:
        """eta of a step."""
        most = self.form.descent.size or self.largest
        if self.sizes is None:
            return most
        return most * self.sizes[self.form.descent.sharing[step]].sigmoid()

    def equilibrium(
        self, inputs: GraphInputs, averages: Averages, valid: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b h n c"]:
        """x with grad E = 0 and its derivative; ConvergenceError where the steps did not get there."""
        with torch.no_grad():
            state = self.states(inputs, averages)[-1]
            residual = relative(
                self.force(inputs, state, state[:, :, :0], averages) / (1 + inputs.rho), inputs.v
            )
        descent = self.form.descent
        if not (residual <= descent.tolerance).all():
            raise ConvergenceError(
                f"after steps={descent.steps} the relative residual is {float(residual.max()):.2g}, above "
                f"tolerance={descent.tolerance:g}: its gradient would be wrong; take more steps or a larger tolerance"
            )
        if not torch.is_grad_enabled():
            return state
        with torch.no_grad():
            log_degree = scores(
                inputs.q, inputs.k, self.allowed(inputs, valid), threshold=self.form.threshold
            ).logsumexp(-1)
        force = lambda x: self.force(inputs, x, x[:, :, :0], averages)
        return implicit_equilibrium(
            force, state, log_degree[..., None], inputs.rho, tolerance=descent.tolerance
        )

    def described(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> GraphStatistics:
        """The graph in float64, every link of it, for numbers that nobody needs at every step."""
        allowed, there = self.allowed(inputs, valid), self.there(inputs, valid)
        q, k = inputs.q.double(), inputs.k.double()
        s = scores(q, k, allowed, threshold=self.form.threshold, directed=self.directed)
        return GraphStatistics(s, explicit(s), self.neighbours(there), there)

    def there(self, inputs: GraphInputs, valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b n"]:
        return inputs.u.new_ones(inputs.u.shape[:2], dtype=torch.bool) if valid is None else valid

    def neighbours(self, there: Bool[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """How many links each token might have; one, to itself, where there is no other."""
        before = (
            there.cumsum(-1) - there.long() if self.causal else there.sum(-1, keepdim=True) - there.long()
        )
        return before.clamp(min=1)

    def information(
        self, inputs: GraphInputs, x: Float[Tensor, "b h n c"], valid: Bool[Tensor, "b n"] | None
    ) -> dict[str, Float[Tensor, ""]]:
        """The residuals of `graph_information`, of the state that was read."""
        graph, inputs, x = (
            self.described(inputs, valid),
            GraphInputs(*(part.double() for part in inputs)),
            x.double(),
        )
        force = self.force(inputs, x, x[:, :, :0], graph.averages)
        found = {
            "flow": relative(force / (1 + inputs.rho), inputs.v)[graph.there.any(-1)].mean(),
            "energy": graph.mean(
                self.energies_of_tokens(inputs, x, graph).mean(-1), by_degree=not self.directed
            ),
            "density": graph.density(),
            "l1": graph.mean(x.abs().mean(-1)),
        }
        return {name: value.to(self.qkv.weight.dtype) for name, value in found.items()}

    def energies_of_tokens(
        self, inputs: GraphInputs, x: Float[Tensor, "b h n c"], graph: GraphStatistics
    ) -> Float[Tensor, "b h n c"]:
        """1/2 sum_j P_ij F(x_j - x_i) + 1/2 rho_i |x_i - v_i|^2; times d_i and summed over i they are E."""
        return 0.5 * (self.coupling.potential(x, graph.averages) + inputs.rho * (x - inputs.v).square())

    @torch.no_grad()
    def energies(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "t b h"]:
        """E / sum_i d_i in float64 at every state of the flow. InputError where no step descends an energy of all."""
        if self.guarantee != "energy":
            raise InputError(f"no energy falls along this flow: its guarantee is {self.guarantee!r}")
        inputs = self.inputs(x, valid)
        states = self.states(inputs, self.links(inputs, valid))
        graph, inputs = self.described(inputs, valid), GraphInputs(*(part.double() for part in inputs))
        tokens = torch.stack(
            [self.energies_of_tokens(inputs, state.double(), graph).sum(-1) for state in states]
        )
        return (tokens * graph.degree_shares()).sum(-1)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is k', and x(0) ... x(T - 1), of every token so far, and which of them are valid.

        Earlier tokens move as they did: nothing that comes later pulls them.
        """
        keys, states, seen = state or (None, None, None)
        new = valid if valid is not None else x.new_ones(x.shape[:2], dtype=torch.bool)
        inputs = self.inputs(x, valid, position(keys, x))
        past = (
            [] if states is None else states[0][:, :, : int(states[1][0])].chunk(self.form.descent.steps, -1)
        )
        keys, k = append(keys, inputs.k)
        seen, there = append(seen, new[:, None, :, None])
        averages = self.averages(inputs.q, k, allowed_links(x.shape[1], there[:, 0, :, 0], causal=True))
        *moving, last = self.states(inputs, averages, past)
        states, _ = append(states, torch.cat(moving, -1))
        return self.read(last), (keys, states, seen)


def relative(displacement: Float[Tensor, "b h n c"], value: Float[Tensor, "b h n c"]) -> Float[Tensor, " b"]:
    """|M^-1 grad E| / |v| of each sample."""
    return displacement.flatten(1).norm(dim=1) / value.flatten(1).norm(dim=1).clamp(min=TINY)
