r"""Attention as a graph whose tokens descend an energy under an odd coupling.

    E(x) = 1/2 sum_ij a_ij F(x_j - x_i) + 1/2 sum_i d_i rho_i |x_i - v_i|^2,    d_i = sum_j a_ij
    x_i <- x_i + eta / (1 + rho_i) [sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i)],    x(0) = v,  P = D^-1 A

A step is x - eta M^-1 grad E with M = D (1 + rho), so E never rises for eta <= 1 / max(1, sup|f'|). With f the
identity, one step and no anchor this is softmax attention with symmetrised scores. Anchors rho draw a token to
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

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import ConvergenceError, InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.graph.coupling import SineCoupling
from spinodal.mixers.graph.form import FlowForm, require_descent
from spinodal.mixers.graph.implicit import implicit_equilibrium
from spinodal.mixers.graph.links import GraphInputs, LinkForm, Links, all_valid
from spinodal.mixers.graph.pairs import AllPairs
from spinodal.mixers.graph.scores import Averages, scores
from spinodal.mixers.graph.statistics import GraphStatistics
from spinodal.mixers.ops.kv_cache import append, append_tokens
from spinodal.mixers.ops.padding import token_places
from spinodal.mixers.ops.tracing import recomputed
from spinodal.mixers.token.attention import rotate
from spinodal.types import Mixed

TINY = 1e-30
SIN, ALL_PAIRS = FlowForm(), AllPairs()


class GraphFlowAttention(Mixer):
    """y = W_o x(T), x <- x + eta / (1 + rho_i) [sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i)], x(0) = v  [derived].

    Every head descends the energy of tokens that are linked by P, the softmax of their scores, and reads the state
    after T steps; `form` holds f, rho, eta and T. `links` says which tokens are linked: all of them (`AllPairs()`), or
    those of blocks that a router selects (`Blocks(size=64, top=4)`), at a lower cost in long texts.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> from spinodal.mixers import GraphFlowAttention
    >>> mixer = GraphFlowAttention(8, heads=2)
    >>> energies = mixer.energies(torch.randn(1, 6, 8))
    >>> energies.shape  # states of the flow, samples, heads
    torch.Size([5, 1, 2])
    >>> bool((energies.diff(dim=0) < 0).all())
    True
    """

    calls: Tensor
    croppable = True

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        form: FlowForm = SIN,
        causal: bool = False,
        links: LinkForm = ALL_PAIRS,
    ):
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
        self.links = links.build(width, heads=heads, causal=causal, threshold=form.threshold)
        self.coarse = self.links.router  # the name of its parameters in saved models
        if self.links.counts_calls:
            self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        require_descent(form, self.coupling, largest=self.largest, causal=causal, guarantee=self.guarantee)

    @property
    def guarantee(self) -> str:
        """What every step descends: "energy", one for all tokens; or "per-token", each its own, the others held."""
        return self.links.guarantee

    @property
    def call(self) -> int:
        """How many training calls there were before this one, where the links count them."""
        return int(self.calls) - recomputed() if self.links.counts_calls else 0

    def current_links(self) -> Links:
        """The links of this call: in training they may depend on how many calls there were."""
        return self.links.at(self.call) if self.training else self.links

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        inputs, links = self.inputs(x, valid), self.current_links()
        if self.form.descent.implicit:
            state = self.equilibrium(inputs, links, valid)
        else:
            state = self.states(inputs, links.averages(inputs, valid))[-1]
        near, found = {}, {}
        if residuals:
            found = self.measures(inputs, state, links.statistics(inputs, valid))
            found |= self.links.measures(inputs, valid, call=self.call)
            near["flow"] = found.pop("flow")
        if self.training and self.links.counts_calls and not recomputed():
            self.calls += 1
        return Mixed(self.merge_heads(state), near, found)

    def inputs(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        start: Int[Tensor, "b *n"] | None = None,
    ) -> GraphInputs:
        """q', k', values v and anchors rho of the tokens; padding has v = 0, and if causal no position."""
        if start is None and self.causal and valid is not None:
            start = token_places(valid)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, start), rotate(k, start)
        if self.form.amplitude is not None:
            v = self.form.amplitude * (v / self.form.amplitude).tanh()
        if valid is not None:
            v = v.masked_fill(~valid[:, None, :, None], 0.0)
        rho = x.new_zeros(x.shape[0], self.heads, x.shape[1])
        if (
            self.anchor is not None
        ):  # contiguous: torch.compile takes a gradient of other strides for one of these
            rho = functional.softplus(self.anchor(x).mT.contiguous())
        return GraphInputs(x, torch.cat([q, k], -1), torch.cat([k, q], -1), v, rho[..., None])

    def merge_heads(self, state: Float[Tensor, "b h n c"]) -> Float[Tensor, "b n d"]:
        """out(x), all heads side by side."""
        return self.out(state.transpose(1, 2).flatten(2))

    def force(
        self,
        inputs: GraphInputs,
        x: Float[Tensor, "b h n c"],
        past: Float[Tensor, "b h m c"],
        averages: Averages,
    ) -> Float[Tensor, "b h n c"]:
        """-D^-1 grad E at x = sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i); x follow the tokens of `past`."""
        own = self.coupling.features(x)
        every = own if past.shape[2] == 0 else torch.cat([self.coupling.features(past), own], 2)
        return self.coupling.force(own, averages(every), x.shape[-1]) + inputs.rho * (inputs.v - x)

    def states(
        self, inputs: GraphInputs, averages: Averages, past: Sequence[Float[Tensor, "b h m c"]] = ()
    ) -> list[Float[Tensor, "b h n c"]]:
        """x(0), x(1), ..., x(T); a sample stops once its relative residual is below the tolerance."""
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
        """eta of a step, learned where the form shares sizes."""
        most = self.form.descent.size or self.largest
        if self.sizes is None:
            return most
        return most * self.sizes[self.form.descent.sharing[step]].sigmoid()

    def equilibrium(
        self, inputs: GraphInputs, links: Links, valid: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b h n c"]:
        """x with grad E(x) = 0 and its derivative; ConvergenceError where the steps did not get there."""
        averages = links.averages(inputs, valid)
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
                inputs.q, inputs.k, links.link_mask(inputs, valid), threshold=self.form.threshold
            ).logsumexp(-1)
        force = lambda x: self.force(inputs, x, x[:, :, :0], averages)
        return implicit_equilibrium(
            force, state, log_degree[..., None], inputs.rho, tolerance=descent.tolerance
        )

    def measures(
        self, inputs: GraphInputs, x: Float[Tensor, "b h n c"], graph: GraphStatistics
    ) -> dict[str, Float[Tensor, ""]]:
        """The relative residual "flow" of a state x, and the statistics of `GraphStatistics`, in float64."""
        inputs, x = GraphInputs(*(part.double() for part in inputs)), x.double()
        force = self.force(inputs, x, x[:, :, :0], graph.averages)
        energy = self.energies_of_tokens(inputs, x, graph).mean(-1)
        found = {
            "flow": relative(force / (1 + inputs.rho), inputs.v)[graph.there.any(-1)].mean(),
            "energy": graph.mean(energy, by_degree=not self.links.directed),
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
        inputs, links = self.inputs(x, valid), self.current_links()
        states = self.states(inputs, links.averages(inputs, valid))
        graph, inputs = links.statistics(inputs, valid), GraphInputs(*(part.double() for part in inputs))
        tokens = torch.stack(
            [self.energies_of_tokens(inputs, state.double(), graph).sum(-1) for state in states]
        )
        return (tokens * graph.degree_shares()).sum(-1)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is k' and x(0) ... x(T - 1) of every token so far, and which of them are valid.

        Earlier tokens move as they did: no force from later ones acts on them. Links that a router selects are
        selected again from the whole text, and the state is the tokens.
        """
        n = x.shape[1]
        if not self.links.cacheable:
            u, there, state = append_tokens(x, state, valid)
            inputs = self.inputs(u, there)
            last = self.states(inputs, self.current_links().averages(inputs, there))[-1]
            return self.merge_heads(last[:, :, -n:]), state
        keys, states, seen = state or (None, None, None)
        seen, there = append(seen, all_valid(x, valid)[:, None, :, None])
        inputs = self.inputs(x, valid, token_places(there[:, 0, :, 0])[:, -n:])
        past = ()
        if states is not None:
            past = states[0][:, :, : int(states[1][0])].chunk(self.form.descent.steps, -1)
        keys, k = append(keys, inputs.k)
        averages = self.links.averages_after(inputs.q, k, there[:, 0, :, 0])
        *moving, last = self.states(inputs, averages, past)
        states, _ = append(states, torch.cat(moving, -1))
        return self.merge_heads(last), (keys, states, seen)


def relative(displacement: Float[Tensor, "b h n c"], value: Float[Tensor, "b h n c"]) -> Float[Tensor, " b"]:
    """|M^-1 grad E| / |v| of each sample."""
    return displacement.flatten(1).norm(dim=1) / value.flatten(1).norm(dim=1).clamp(min=TINY)
