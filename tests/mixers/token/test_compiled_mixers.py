"""Retention and the short convolution by compiled loops against their definitions by tensor operations."""

import copy

import pytest
import torch
from marks import slow_but
from torch import Tensor

from spinodal.mixers import Convolution, Retention
from spinodal.mixers.base import Mixer
from spinodal.mixers.token import convolution, retention

MIXERS = {
    "retention of odd vectors": lambda: Retention(48, heads=2),
    "retention of narrow heads": lambda: Retention(24, heads=4),
    "retention of wide heads": lambda: Retention(128, heads=2),
    "convolution": lambda: Convolution(20),
    "convolution of an odd kernel": lambda: Convolution(20, kernel=3),
}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch):
    """Few numbers go to the loops too."""
    for module in (retention, convolution):
        monkeypatch.setattr(module, "LEAST", 0)


def compiled(y: Tensor) -> bool:
    """Whether a loop made y, or what its last linear map read."""
    nodes, names = [y.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None:
            names.add(type(node).__name__)
            nodes += [parent for parent, _ in node.next_functions]
    return any(name.startswith("Compiled") for name in names)


def width(mixer: Mixer) -> int:
    return next(mixer.parameters()).shape[1 if isinstance(mixer, Retention) else 0]


def answers(mixer: Mixer, x: Tensor, valid: Tensor | None) -> list[Tensor]:
    """Tokens, and the gradients of an uneven sum of those that are there."""
    x = x.clone().requires_grad_()
    y = mixer(x, valid).tokens
    if valid is not None:
        y = y * valid[..., None]
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y).roll(1, -1).cos()
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), [x, *mixer.parameters()])]


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * float(other.abs().max()))


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("n", slow_but([1, 3, 32, 77, 300], 3, 77))
@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_the_definition_in_double_precision(
    name: str, n: int, padded: bool
):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    x, valid = torch.randn(2, n, width(mixer)), None
    if padded:
        valid = torch.rand(2, n) > 0.3
        valid[:, 0] = True
    assert compiled(mixer(x, valid).tokens)
    exact = copy.deepcopy(mixer).double()
    assert not compiled(exact(x.double(), valid).tokens)
    close(answers(mixer, x, valid), answers(exact, x.double(), valid))


@pytest.mark.parametrize("name", MIXERS)
def test_padding_is_not_read_and_gets_no_gradient(name: str):
    torch.manual_seed(0)
    mixer, valid = MIXERS[name](), torch.rand(2, 40) > 0.3
    x = torch.randn(2, 40, width(mixer))
    other = torch.where(valid[..., None], x, torch.full_like(x, float("nan")))
    if isinstance(mixer, Convolution):
        assert torch.equal(mixer(x, valid).tokens, mixer(other, valid).tokens)
        assert (answers(mixer, x, valid)[1][~valid] == 0).all()
    else:
        other = torch.where(valid[..., None], x, 100 * x)
        y, z = (mixer(t, valid).tokens[valid] for t in (x, other))
        torch.testing.assert_close(y, z, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MIXERS)
def test_any_number_of_threads_and_inference_give_the_same(name: str):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    x = torch.randn(3, 400, width(mixer))
    first, before = answers(mixer, x, None), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = answers(mixer, x, None)
    finally:
        torch.set_num_threads(before)
    # products of matrices may round otherwise on two threads
    close(again, [t.double() for t in first])
    if isinstance(mixer, Convolution):
        assert all(map(torch.equal, first, again))
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x).tokens, first[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MIXERS)
def test_gradients_come_in_batches(name: str):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    x = torch.randn(1, 20, width(mixer), requires_grad=True)
    y, G = mixer(x).tokens, torch.randn(3, 1, 20, x.shape[2])
    (batch,) = torch.autograd.grad(y, x, G, is_grads_batched=True, retain_graph=True)
    one = torch.stack([torch.autograd.grad(y, x, g, retain_graph=True)[0] for g in G])
    torch.testing.assert_close(batch, one, rtol=0, atol=3e-6 * float(one.abs().max()))


def test_second_derivatives_of_the_convolution_are_those_of_the_definition():
    torch.manual_seed(0)
    mixer, x = Convolution(6), torch.randn(2, 9, 6)

    def second(mixer: Mixer, x: Tensor) -> tuple[Tensor, ...]:
        x = x.clone().requires_grad_()
        loss = mixer(x).tokens.tanh().square().sum()
        first = torch.autograd.grad(loss, [x, *mixer.parameters()], create_graph=True)
        return torch.autograd.grad(
            torch.cat([g.sin().flatten() for g in first]).sum(), [x, *mixer.parameters()]
        )

    close(list(second(mixer, x)), list(second(copy.deepcopy(mixer).double(), x.double())))


@pytest.mark.parametrize("name", ["retention of odd vectors", "convolution"])
def test_a_traced_or_transformed_call_runs_the_definition(name: str):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    x = torch.randn(2, 40, width(mixer))
    y = mixer(x).tokens.detach()
    graph = torch.export.export(Tokens(mixer), (x,)).module()
    torch.testing.assert_close(graph(x), y, rtol=0, atol=3e-6)
    if isinstance(mixer, Convolution):
        each = torch.func.vmap(lambda t: mixer(t[None]).tokens[0])(x)
        torch.testing.assert_close(each, y, rtol=0, atol=3e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert not compiled(mixer(x).tokens)


class Tokens(torch.nn.Module):
    def __init__(self, mixer: Mixer):
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        return self.mixer(x).tokens
