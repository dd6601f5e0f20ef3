"""The compiled gate of competing phases against its definition, and what the definition alone does."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from spinodal.mixers.channel import competition_kernels, gates
from spinodal.mixers.channel.gates import PhaseCompetition, competition, naive_competition


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).requires_grad_()


def gradient(y: Tensor, za: Tensor, g: Tensor, *, create_graph: bool = False) -> Tensor:
    return torch.autograd.grad(y, za, g, create_graph=create_graph)[0]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch):
    """Few numbers go to the loops too."""
    monkeypatch.setattr(gates, "LEAST", 0)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The loops that run during a test, by name."""
    ran, run = [], gates.over_tokens

    def watched(loop: str, *given: Tensor) -> Tensor:
        ran.append(loop)
        return run(loop, *given)

    monkeypatch.setattr(gates, "over_tokens", watched)
    return ran


@pytest.mark.parametrize("phases", [2, 3, 5, 16])
@pytest.mark.parametrize("features", [3, 7, 16, 26])
def test_the_loops_are_the_definition(phases: int, features: int, loops: list[str]):
    za, g = draw(2, 5, phases, features), torch.randn(2, 5, phases * features)
    y, exact = competition(za), za.detach().double().requires_grad_()
    z = naive_competition(exact)
    torch.testing.assert_close(y.double(), z, rtol=2e-6, atol=4e-6)
    expected = gradient(z, exact, g.double())
    torch.testing.assert_close(
        gradient(y, za, g).double(), expected, rtol=1e-5, atol=1e-5 * float(expected.detach().abs().max())
    )
    assert loops == ["forward", "backward"]


@pytest.mark.parametrize("size", [1e-20, 30.0, 400.0])
def test_the_loops_are_the_definition_at_extremes(size: float):
    za = (size * draw(1, 9, 4, 26).detach()).requires_grad_()
    y, z = competition(za), naive_competition(za)
    torch.testing.assert_close(y, z, rtol=1e-4, atol=2e-5 * float(z.detach().abs().max()))
    g = torch.randn(y.shape)
    found, expected = gradient(y, za, g), gradient(z, za, g)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5 * float(expected.detach().abs().max()))


def test_powers_of_two_are_good_to_rounding():
    y = torch.linspace(-125, 0, 100_001).numpy()
    power = competition_kernels.power_of_two
    found = torch.tensor([power(x) for x in y[::101]]).double()
    torch.testing.assert_close(found, torch.tensor(y[::101]).double().exp2(), rtol=3e-7, atol=0)
    assert power(y.dtype.type(-1e4)) == 2.0**-126


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_nan_stays_with_its_token(place: int):
    za = draw(1, 3, 4, 5).detach()
    za[0, 1, place, 2] = torch.nan
    za.requires_grad_()
    y = competition(za)
    assert torch.equal(y.isnan().any(-1), torch.tensor([[False, True, False]]))
    grad = gradient(y, za, torch.ones_like(y))
    assert torch.equal(grad.isnan().flatten(2).any(-1), torch.tensor([[False, True, False]]))


def test_one_thread_and_two_give_the_same_bits():
    za, g, found = draw(3, 300, 3, 5), torch.randn(3, 300, 15), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = competition(za)
            found.append((y, gradient(y, za, g)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_no_tokens_and_tensors_that_are_not_contiguous():
    empty = draw(2, 0, 3, 4)
    assert gradient(competition(empty).sum(), empty, torch.tensor(1.0)).shape == empty.shape
    za = draw(5, 4, 3, 2)
    turned = za.permute(3, 2, 1, 0)
    g = torch.randn(1, 1, 20).expand(2, 3, 20)
    y, z = competition(turned), competition(turned.contiguous())
    assert torch.equal(y, z)
    assert torch.equal(gradient(y, za, g), gradient(z, za, g.contiguous()))


def test_without_gradients_the_forward_loop_alone_runs(loops: list[str]):
    mixer = PhaseCompetition(8, hidden=6, phases=3)
    x = draw(2, 5, 8)
    expected = mixer(x).tokens
    with torch.no_grad():
        assert torch.equal(mixer(x).tokens, expected)
    with torch.inference_mode():
        assert torch.equal(mixer(x).tokens, expected)
    assert loops == ["forward"] * 3


def test_checkpoints_give_the_same_bits(loops: list[str]):
    mixer, x = PhaseCompetition(8, hidden=6, phases=3), draw(2, 5, 8)
    expected = gradient(mixer(x).tokens.sum(), x, torch.tensor(1.0))
    for reentrant in (False, True):
        y = checkpoint(lambda x: mixer(x).tokens, x, use_reentrant=reentrant)
        assert isinstance(y, Tensor)
        y.sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad, expected)
        x.grad = None
    assert loops == ["forward", "backward"] + 2 * ["forward", "forward", "backward"]


def test_second_derivatives_are_those_of_the_definition(loops: list[str]):
    za, g = draw(1, 4, 3, 5), torch.randn(1, 4, 15, requires_grad=True)
    second = []
    for form in (competition, naive_competition):
        first = gradient(form(za), za, g, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), (za, g)))
    for found, expected in zip(*second, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert loops == ["forward"]


def test_batches_of_gradients_are_those_of_the_definition(loops: list[str]):
    za, G = draw(1, 4, 3, 5), torch.randn(6, 1, 4, 15)
    (found,) = torch.autograd.grad(competition(za), za, G, is_grads_batched=True)
    expected = torch.stack([gradient(naive_competition(za), za, g) for g in G])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert loops == ["forward"]


def test_elsewhere_the_tensor_operations_run(loops: list[str]):
    mixer, x = PhaseCompetition(8, hidden=6, phases=3), draw(2, 5, 8).detach()
    expected = mixer(x).tokens
    assert loops == ["forward"]
    near = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)
    graph = torch.export.export(mixer, (x,), strict=False).module()
    near(graph(x).tokens, expected)
    each = torch.func.vmap(lambda x: mixer(x[None]).tokens[0])(x)
    near(each, expected)
    slope = torch.func.grad(lambda x: mixer(x).tokens.sum())(x)
    y, tangent, *_ = torch.func.jvp(lambda x: mixer(x).tokens.sum(), (x,), (x,))
    near(y, expected.sum())
    torch.testing.assert_close(tangent, (slope * x).sum(), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(mixer(x).tokens.float(), expected, rtol=0.05, atol=0.01)
    near(mixer.double()(x.double()).tokens.float(), expected)
    assert loops == ["forward"]


def test_few_numbers_are_not_worth_a_compiler(loops: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gates, "LEAST", 24)
    for tokens in (1, 2):
        competition(draw(1, tokens, 3, 4))
    assert loops == ["forward"]


def test_a_compiler_that_is_turned_off_leaves_the_tensor_operations(
    loops: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    competition(draw(1, 2, 3, 4))
    assert loops == []


def test_deterministic_operations_are_those_of_torch(loops: list[str]):
    torch.use_deterministic_algorithms(True)
    try:
        competition(draw(1, 2, 3, 4))
    finally:
        torch.use_deterministic_algorithms(False)
    assert not loops


def test_the_definition_has_its_derivatives():
    za = draw(1, 2, 3, 4).detach().double().requires_grad_()
    assert torch.autograd.gradcheck(naive_competition, za)
    assert torch.autograd.gradcheck(competition, za)
    assert torch.autograd.gradgradcheck(naive_competition, za)
