"""Flows on chosen blocks: one function however it is carried out, nothing of the future in a choice, masses learned."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from marks import slow_but
from torch import Tensor
from typed import of_kind, present

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer
from spinodal.mixers.graph.block_links import BlockLinks
from spinodal.mixers.graph.blocks import BlockRouter, Blocks
from spinodal.mixers.graph.flex import block_mask, flex_averages
from spinodal.mixers.graph.flow import SIN, GraphFlowAttention
from spinodal.mixers.graph.form import Descent, FlowForm
from spinodal.mixers.graph.levels import GraphLevels
from spinodal.mixers.graph.pairs import PairLinks
from spinodal.mixers.graph.scores import Averages, scores
from spinodal.models.blocks import sublayers
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.parts import read_part

D, H, N = 12, 2, 30
BLOCKS = Blocks(size=4, top=2, window=1, features=16)


def mixer(blocks: Blocks = BLOCKS, form: FlowForm = SIN, *, causal: bool = False) -> GraphFlowAttention:
    torch.manual_seed(0)
    made = GraphFlowAttention(D, heads=H, form=form, causal=causal, links=blocks).double()
    with torch.no_grad():
        made.qkv.weight *= 3
        sketches = present(router(made).sketches).weight
        sketches += torch.randn_like(sketches) / 4
    return made.eval()  # in training every call takes other rows to learn the choice from


def links(made: GraphFlowAttention) -> BlockLinks:
    return of_kind(made.links, BlockLinks)


def router(made: GraphFlowAttention) -> BlockRouter:
    return of_kind(made.coarse, BlockRouter)


def masked(made: GraphFlowAttention, x: Tensor, valid: Tensor | None = None) -> Averages:
    """Averages under the links as a mask of all pairs."""
    inputs = made.inputs(x, valid)
    return links(made).pairs.masked_averages(inputs.q, inputs.k, made.links.link_mask(inputs, valid))


def tokens(batch: int = 2, *, seed: int = 1, n: int = N) -> Tensor:
    return torch.randn(batch, n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding() -> Tensor:
    valid = torch.ones(2, N, dtype=torch.bool)
    valid[0, 25:] = valid[1, :6] = valid[1, 13:18] = False
    return valid


CHOICES = {
    "plain": BLOCKS, "window": replace(BLOCKS, window=0), "threshold": replace(BLOCKS, threshold=0.8),
    "all": replace(BLOCKS, top=99), "mutual": replace(BLOCKS, mutual=True),
}  # fmt: skip
CASES = [(name, causal) for name in CHOICES for causal in (False, True) if not (causal and name == "mutual")]
every_choice = pytest.mark.parametrize(
    ("name", "causal"),
    slow_but(CASES, ("plain", False), ("window", True), ("threshold", True), ("mutual", False)),
)


@every_choice
@pytest.mark.parametrize("form", [SIN, FlowForm("identity", threshold=0.3)], ids=["sin", "identity"])
def test_gathered_blocks_are_attention_under_their_mask(name: str, causal: bool, form: FlowForm):
    made, x, weight = mixer(CHOICES[name], form, causal=causal), tokens().requires_grad_(), tokens(seed=3)
    for valid in (None, padding()):
        inputs = made.inputs(x, valid)
        expected = made.merge_heads(made.states(inputs, masked(made, x, valid))[-1])
        found = made(x, valid).tokens
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)
        wanted = [x, *made.qkv.parameters(), *present(made.anchor).parameters()]
        grads = [torch.autograd.grad((y * weight).sum(), wanted) for y in (found, expected)]
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_all_blocks_are_the_whole_graph(causal: bool):
    made = mixer(replace(BLOCKS, top=99), causal=causal)
    whole = GraphFlowAttention(D, heads=H, causal=causal).double()
    whole.load_state_dict(made.state_dict(), strict=False)
    for valid in (None, padding()):
        torch.testing.assert_close(made(tokens(), valid).tokens, whole(tokens(), valid).tokens)


@every_choice
def test_a_block_keeps_itself_its_neighbours_and_at_most_top_others(name: str, causal: bool):
    blocks = CHOICES[name]
    made = mixer(blocks, causal=causal)
    selected = links(made).route(made.inputs(tokens()), None).selected
    I = selected.shape[-1]
    apart = torch.arange(I)[:, None] - torch.arange(I)
    near = (apart.abs() <= blocks.window) & ((apart >= 0) | (not causal))
    assert selected[..., near].all()
    others = (selected & ~near).sum(-1)
    assert others.max() <= blocks.top
    if name in ("plain", "window"):  # exactly top, where there are so many
        assert torch.equal(
            others, (~near & ((apart > 0) | (not causal))).sum(-1).clamp(max=2).expand_as(others)
        )
    if name == "threshold":
        assert others.min() < others.max()
    if causal:
        assert not selected.triu(1).any()
    if name == "mutual":
        assert torch.equal(selected, selected.mT)
        assert 0 < others.sum() < 2 * others.numel()


def products(made: GraphFlowAttention, x: Tensor) -> Tensor:
    want, have = present(router(made).sketches).weight.unflatten(0, (2, H, -1))
    return torch.einsum("bid,hrd,hre,bje->bhij", x, want, have, x)


def test_the_choice_is_that_of_the_largest_predicted_share():
    made, x = mixer(), tokens(n=32)
    share = products(made, x).exp().unflatten(-1, (8, 4)).amax(-1)
    found = links(made).route(made.inputs(x), None).selected
    for I in range(8):
        others = [J for J in range(8) if abs(I - J) > 1]
        shares = share[:, :, 4 * I : 4 * I + 4, others]
        best = (shares / shares.sum(-1, keepdim=True)).amax(2).topk(2).indices
        assert torch.equal(
            found[:, :, I][..., others], torch.zeros(2, H, len(others)).scatter(-1, best, 1).bool()
        )


@every_choice
def test_nothing_of_the_future_and_nothing_on_padding_is_in_a_choice(name: str, causal: bool):
    made, valid, x = mixer(CHOICES[name], causal=causal), padding(), tokens().requires_grad_()
    other = torch.where(valid[..., None], x, 5 * tokens(seed=2))
    mixed, again = made(x, valid, residuals=True), made(other, valid, residuals=True)
    torch.testing.assert_close(again.tokens[valid], mixed.tokens[valid], rtol=0, atol=1e-13)
    assert mixed.reported.keys() == {"flow", "energy", "density", "l1", "selection"}
    for key, value in mixed.reported.items():
        assert value >= 0
        torch.testing.assert_close(again.reported[key], value, rtol=1e-12, atol=1e-15)
    loss = mixed.tokens[valid].square().sum() + sum(mixed.reported.values())
    (grad,) = torch.autograd.grad(loss, x)
    assert grad[~valid].count_nonzero() == 0
    if not causal:
        return
    x = tokens(1).expand(N, -1, -1).clone().requires_grad_()
    changed = torch.where(torch.ones(N, N).triu(1).bool()[..., None], 3 * tokens(N, seed=2), x)
    assert not (made(changed).tokens != made(x).tokens).any(-1).tril().any()
    (grad,) = torch.autograd.grad((made(x).tokens * tokens(N, seed=3))[range(N), range(N)].sum(), x)
    assert grad.abs().sum(-1).triu(1).count_nonzero() == 0


@pytest.mark.parametrize("causal", [False, True])
def test_where_nothing_is_to_be_chosen_neighbours_alone_are_looked_at(causal: bool):
    made = GraphFlowAttention(D, heads=H, causal=causal, links=replace(BLOCKS, top=0)).double().eval()
    assert all("coarse" not in name for name in made.state_dict())
    apart = torch.arange(8)[:, None] - torch.arange(8)
    near = (apart <= 1) & (apart >= (0 if causal else -1))
    assert torch.equal(links(made).route(made.inputs(tokens()), None).selected, near.expand(2, H, 8, 8))
    expected = made.merge_heads(made.states(made.inputs(tokens()), masked(made, tokens()))[-1])
    torch.testing.assert_close(made(tokens()).tokens, expected, rtol=1e-11, atol=1e-13)
    assert "selection" not in made(tokens(), residuals=True).reported


def in_parts(mixer: Mixer, x: Tensor, valid: Tensor | None) -> Tensor:
    state, found, start = None, [], 0
    for n in (7, 1, 1, 12, N - 21):
        there = None if valid is None else valid[:, start : start + n]
        y, state = mixer.extend(x[:, start : start + n], state, there)
        found.append(y)
        start += n
    return torch.cat(found, 1)


def test_a_causal_choice_can_be_continued():
    made, x = mixer(causal=True), tokens()
    for valid in (None, padding()):
        torch.testing.assert_close(in_parts(made, x, valid), made(x, valid).tokens, rtol=1e-11, atol=1e-13)


def test_only_mutual_links_have_an_energy_of_all():
    made = mixer(replace(BLOCKS, mutual=True), FlowForm(amplitude=None))
    E = made.energies(tokens())
    assert (E.diff(dim=0) < 0).all()
    assert [made.guarantee, mixer().guarantee, mixer(causal=True).guarantee] == [
        "energy",
        "per-token",
        "per-token",
    ]
    with pytest.raises(InputError, match="per-token"):
        mixer().energies(tokens())
    implicit = FlowForm(descent=Descent(200, tolerance=1e-11, implicit=True))
    with pytest.raises(InputError, match="must be symmetric"):
        mixer(form=implicit)
    unrolled = FlowForm(descent=Descent(200, tolerance=1e-12))
    found = []
    for form in (implicit, unrolled):
        made, x = mixer(replace(BLOCKS, mutual=True), form), tokens().requires_grad_()
        found.append(torch.autograd.grad((made(x).tokens * tokens(seed=3)).sum(), [x, made.qkv.weight]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9 * float(other.abs().max()))


def test_the_selection_residual_is_a_divergence_that_teaches_the_choice_alone():
    made, x = mixer(replace(BLOCKS, window=0)), tokens(n=32)
    rows = (32 * (torch.arange(32).double() * 0.6180339887498949 % 1)).long()
    inputs = made.inputs(x)
    s = (inputs.q @ inputs.k.mT / 2 / (D // H) ** 0.5).masked_fill(torch.eye(32).bool(), -torch.inf)
    true, guess = s.softmax(-1)[:, :, rows], products(made, x).exp()[:, :, rows]
    lost = weight = 0.0
    for k, row in enumerate(rows.tolist()):
        others = [j for j in range(32) if row // 4 != j // 4]
        p, g = true[:, :, k, others], guess[:, :, k, others]
        share, q = p.sum(-1), g / g.sum(-1, keepdim=True)
        lost = lost + (share * (p / share[..., None] * (p / share[..., None] / q).log()).sum(-1)).sum()
        weight = weight + share.sum()
    found = made(x, residuals=True).reported["selection"]
    torch.testing.assert_close(found, lost / weight)
    found.backward()
    assert present(present(router(made).sketches).weight.grad).abs().amin(1).min() > 0
    assert all(p.grad is None for name, p in made.named_parameters() if not name.startswith("coarse"))


@pytest.mark.slow
def test_the_choice_learns_where_the_mass_is():
    """What is sought is unlike what seeks it, until turned; in planes that positions hardly rotate."""
    torch.manual_seed(0)
    made = GraphFlowAttention(32, heads=1, links=Blocks(8, top=2, window=0))
    slow = torch.arange(32) % 16 >= 8
    with torch.no_grad():
        made.qkv.weight[:64] = 0
        made.qkv.weight[:32][slow[:, None] & slow] = 6 * torch.eye(16).flatten()
        made.qkv.weight[32:64][slow[:, None] & slow] = torch.linalg.qr(torch.randn(16, 16)).Q.flatten()
    x = torch.randn(16, 128, 32)
    inputs, apart = made.inputs(x), ~torch.eye(16, dtype=torch.bool)
    P = scores(inputs.q, inputs.k, ~torch.eye(128, dtype=torch.bool)[None, None]).softmax(-1)
    mass = (P.unflatten(-1, (16, 8)).sum(-1).unflatten(2, (16, 8)).amax(3) * apart).detach()
    share = lambda: float((mass * links(made).route(inputs, None).selected).sum() / mass.topk(2).values.sum())
    before = share()
    optimizer = torch.optim.Adam(router(made).parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        links(made).measures(made.inputs(torch.randn(8, 128, 32)), None, call=0)["selection"].backward()
        optimizer.step()
    assert before < 0.5 < 0.85 < share()


def test_warm_up_is_dense_and_counts_training_calls_alone():
    made = mixer(replace(BLOCKS, warmup=2))
    whole = GraphFlowAttention(D, heads=H).double()
    whole.load_state_dict(made.state_dict(), strict=False)
    x = tokens()
    dense, sparse = whole(x).tokens, made.eval()(x).tokens
    assert not torch.allclose(dense, sparse)
    made.train()
    for expected in (dense, dense, sparse, sparse):
        torch.testing.assert_close(made(x).tokens, expected)
    assert made.state_dict()["calls"] == 4


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("causal", slow_but([False, True], True))
def test_flex_attention_has_the_same_links(causal: bool):
    """Its mask, on a CPU, where it forms all scores: the blocks it would skip are those that were not chosen."""
    made = mixer(replace(BLOCKS, top=1), causal=causal)
    valid = torch.cat([padding(), torch.ones(2, 2, dtype=torch.bool)], 1)
    x = tokens(n=32)
    inputs = made.inputs(x, valid)
    routed = links(made).route(inputs, valid)
    values = torch.randn(2, H, 32, 8, dtype=torch.float64)
    expected = masked(made, x, valid)(values)
    with torch.no_grad():
        torch.testing.assert_close(
            links(made).flex_averages(inputs, routed, valid)(values), expected, rtol=1e-10, atol=1e-12
        )
    lonely = torch.zeros(2, H, 32, dtype=torch.bool)
    mask = block_mask(routed, valid, lonely, size=4, causal=causal)
    assert torch.equal(mask.to_dense().bool(), routed.selected)
    assert callable(flex_averages(inputs.q, inputs.k, mask))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 1}, "size=1"),
        ({"top": -1}, "top=-1"),
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"features": 0}, "features=0"),
    ],
)
def test_wrong_blocks_are_named(values: dict, said: str):
    with pytest.raises(InputError, match=said):
        Blocks(**values)


def test_more_blocks_than_a_text_has_are_refused():
    with pytest.raises(InputError, match="top=9: 30 tokens are 8 blocks of 4; take top=8 or less"):
        Blocks(4, top=9).require_fit(30)
    with pytest.raises(InputError, match="no link has two ends"):
        mixer(replace(BLOCKS, mutual=True), causal=True)


def test_a_configuration_reaches_dense_and_sparse_flows():
    graph: dict[str, Any] = {"name": "graph", "coupling": "identity", "threshold": 0.1}
    config = SpinodalConfig(width=D, heads=H, mixer=graph, kernel=0, length=32)
    dense = sublayers(config)[0]
    assert isinstance(dense, GraphFlowAttention)
    assert isinstance(dense.links, PairLinks)
    assert (dense.form.coupling, dense.form.threshold, dense.form.descent.steps) == ("identity", 0.1, 4)
    config.mixer = graph | {"block_size": 8, "top_blocks": 3, "dense_steps": 7}
    sparse = sublayers(config, causal=True)[0]
    assert router(of_kind(sparse, GraphFlowAttention)).blocks == Blocks(8, 3, warmup=7)
    graph = read_part("mixer", config.mixer)
    config.mixer = graph | {"levels": 3}
    levelled = sublayers(config)[0]
    assert isinstance(levelled, GraphLevels)
    assert levelled.sharing == (0, 0, 0)
    config.mixer = graph | {"top_blocks": 5}
    with pytest.raises(InputError, match="32 tokens are 4 blocks of 8"):
        sublayers(config)
