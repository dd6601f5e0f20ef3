"""Nested levels: averages that are averages, links in proportion to the text, flows shared by an index map."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor
from typed import of_kind, present

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.mixers.graph.levels import GraphLevels, level_average

D, N = 12, 45


def mixer(sharing: tuple[int, ...] = (0, 1, 0), *, causal: bool = False) -> GraphLevels:
    torch.manual_seed(0)
    made = GraphLevels(D, heads=2, sharing=sharing, ratio=3, size=4, causal=causal).double().eval()
    with torch.no_grad():
        for flow in made.flows:
            of_kind(flow, GraphFlowAttention).qkv.weight *= 3
    return made


def tokens(batch: int = 2, *, seed: int = 1, n: int = N) -> Tensor:
    return torch.randn(batch, n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def everyone(n: int, batch: int = 2) -> Tensor:
    return torch.ones(batch, n, dtype=torch.bool)


def test_a_level_is_the_average_of_the_graphs_room():
    x, log_w = tokens(1, n=10), tokens(1, seed=2, n=10)[..., 0]
    there = everyone(10, 1)
    there[0, 3:7] = there[0, 9] = False
    found, some = level_average(x, log_w, there, 3)
    w = np.zeros((4, 10))
    w[np.arange(10) // 3, np.arange(10)] = log_w[0].exp() * there[0]
    np.testing.assert_allclose(found[0], graphs.level_average(x[0].numpy(), csr_array(w)), rtol=1e-13)
    assert some.tolist() == [[True, False, True, False]]


def test_averages_are_a_partition_of_unity_and_one_to_one_the_identity():
    one, log_w = torch.ones(2, 10, D).double(), 20 * tokens(n=10)[..., 0]
    torch.testing.assert_close(level_average(one, log_w, everyone(10), 4)[0], one[:, :3])
    torch.testing.assert_close(level_average(tokens(), log_w.new_zeros(2, N), everyone(N), 1)[0], tokens())


@pytest.mark.parametrize("causal", [False, True])
def test_levels_bring_together_what_lies_apart(causal: bool):
    """The first token is beyond the neighbours of the last; with levels it is heard there, and gradients say so."""
    reached = []
    for sharing in ((0,), (0, 1, 0, 1)):
        x = tokens(1).requires_grad_()
        (grad,) = torch.autograd.grad(mixer(sharing, causal=causal)(x).tokens[0, -1].square().sum(), x)
        reached.append(bool(grad[0, 0].count_nonzero()))
    assert reached == [False, True]


def test_the_future_does_not_leak_and_parts_are_the_whole():
    made, x = mixer(causal=True), tokens(1).expand(N, -1, -1)
    changed = torch.where(torch.ones(N, N).triu(1).bool()[..., None], 3 * tokens(N, seed=2), x)
    assert not (made(changed).tokens != made(x).tokens).any(-1).tril().any()
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad((made(x).tokens * tokens(N, seed=3))[range(N), range(N)].sum(), x)
    assert grad.abs().sum(-1).triu(1).count_nonzero() == 0
    valid = everyone(N)
    valid[0, :6] = False
    state, found, start = None, [], 0
    for n in (7, 1, 1, 20, N - 29):
        y, state = made.extend(tokens()[:, start : start + n], state, valid[:, start : start + n])
        found.append(y)
        start += n
    torch.testing.assert_close(torch.cat(found, 1), made(tokens(), valid).tokens, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_depends_on_padding(causal: bool):
    made, valid, x = mixer(causal=causal), everyone(N), tokens()
    valid[0, 30:] = valid[1, 7:20] = False
    other = torch.where(valid[..., None], x, 5 * tokens(seed=2))
    mixed, again = made(x, valid, residuals=True), made(other, valid, residuals=True)
    torch.testing.assert_close(again.tokens, mixed.tokens, rtol=0, atol=1e-13)
    assert mixed.tokens[~valid].count_nonzero() == 0
    assert mixed.reported.keys() == {"flow", "energy", "density", "l1"}
    for name, value in mixed.reported.items():
        assert value > 0
        torch.testing.assert_close(again.reported[name], value, rtol=1e-12, atol=0)


def test_an_index_map_shares_flows_between_levels():
    """theta_l = theta_phi(l): parameters by labels, not levels; levels of one label may change places."""
    size = lambda made: sum(p.numel() for p in made.parameters())
    assert (
        size(mixer((0, 0, 0, 0))) == size(mixer((0,))) < size(mixer((0, 1, 1))) == size(mixer((0, 1, 0, 1)))
    )
    torch.testing.assert_close(mixer((0, 0)).state_dict(), mixer((0, 0, 0)).state_dict(), rtol=0, atol=0)
    with pytest.raises(InputError, match="without a gap"):
        mixer((0, 2))
    made = mixer()
    (made(tokens(), residuals=True).tokens * tokens(seed=3)).sum().backward()
    assert all(present(p.grad).count_nonzero() for name, p in made.named_parameters() if "coarse" not in name)
    assert made.guarantee == "none"


def test_links_grow_with_the_text_and_not_with_its_square():
    """Three blocks of four for every vertex, of n (1 + 1/3 + 1/9) vertices."""
    for n in (90, 180, 360):
        made, x, links = mixer(), tokens(1, n=n), 0
        there = everyone(n, 1)
        for l in range(3):
            flow = of_kind(made.flows[made.sharing[l]], GraphFlowAttention)
            links += int(flow.links.link_mask(flow.inputs(x), there).sum()) / 2  # of either head
            x, there = level_average(x, x[..., 0], there, 3)
        assert links / n < 12 * 13 / 9
        assert links / n > 9
