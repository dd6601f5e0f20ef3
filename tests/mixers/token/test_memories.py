"""Each mixer with a memory against its definition, one token at a time; what it starts as; what it leaks: nothing."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from fitting import fitting_config
from torch import Tensor

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, state_size
from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries
from spinodal.mixers.token import phase_memory
from spinodal.mixers.token.attention import rotate
from spinodal.mixers.token.gated import GatedLinear, MinGRU
from spinodal.mixers.token.phase_memory import PhaseMemory
from spinodal.mixers.token.places import Triangular
from spinodal.mixers.token.retention import Retention, log_decays
from spinodal.models.blocks import sublayers

D, H = 12, 2
MAKERS: dict[str, Callable[..., Mixer]] = {
    "retention": partial(Retention, D, heads=H),
    "gated-linear": partial(GatedLinear, D, heads=H),
    "phase-memory": partial(PhaseMemory, D, heads=H, phases=3),
    "min-gru": partial(MinGRU, D),
    "triangular": partial(Triangular, D, heads=H, length=11),
}


def heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (H, -1)).transpose(1, 2)


def joined(y: Tensor) -> Tensor:
    return y.transpose(1, 2).flatten(2)


def lags(n: int, *, causal: bool) -> Tensor:
    """|i - j| of the tokens that i sees, and infinity elsewhere."""
    lag = (torch.arange(n)[:, None] - torch.arange(n)).double()
    return lag.abs().masked_fill(causal & (lag < 0), torch.inf)


def between(log_a: Tensor, *, causal: bool) -> Tensor:
    """The product of the decays that lie between two tokens, [b h n c] to [b h n n c]."""
    n = log_a.shape[2]
    zero = torch.full_like(log_a[:, :, 0], -torch.inf)
    rows = []
    for i in range(n):
        past = [log_a[:, :, j + 1 : i + 1].sum(2) for j in range(i + 1)]
        future = [zero if causal else log_a[:, :, i:j].sum(2) for j in range(i + 1, n)]
        rows.append(torch.stack(past + future, 2).exp())
    return torch.stack(rows, 2)


def retention(mixer: Retention, x: Tensor) -> Tensor:
    q, k, v = (heads(t) for t in mixer.qkv(x).chunk(3, -1))
    half_lives = torch.tensor([2.0, 128.0], dtype=torch.float64)[:, None, None]
    w = torch.exp2(-lags(x.shape[1], causal=mixer.causal) / half_lives)
    lag = torch.arange(-9000 * (not mixer.causal), 9001, dtype=torch.float64).abs()
    mass = torch.exp2(-lag / half_lives).sum(-1, keepdim=True)
    return joined((w / mass * (rotate(q) @ rotate(k).mT) / (D // H) ** 0.5) @ v)


def gated_linear(mixer: GatedLinear, x: Tensor) -> Tensor:
    q, k, v = (heads(t) for t in mixer.qkv(x).chunk(3, -1))
    log_a = heads(-torch.sigmoid(mixer.decay(mixer.gate(x)) + mixer.bias))  # from 0 to -1 a token
    w = between(log_a, causal=mixer.causal)
    scores = torch.einsum("bhic,bhijc,bhjc->bhij", q, w, (1 - log_a.exp()) * k) / (D // H) ** 0.5
    return joined(scores @ v)


def phases(mixer: PhaseMemory, x: Tensor) -> Tensor:
    q, r = (t.unflatten(-1, (H, -1)).transpose(1, 2).softmax(-1) for t in mixer.shares(x).chunk(2, -1))
    r = (1 - phase_memory.LEAST) * r + phase_memory.LEAST / 3
    v = heads(mixer.value(x))
    decay = torch.exp2(-lags(x.shape[1], causal=mixer.causal) / torch.tensor([2.0, 128.0])[:, None, None])
    held = torch.einsum("hij,bhjp->bhijp", decay, r)  # what i finds of j in each phase
    composition = torch.einsum("bhijp,bhjc->bhipc", held, v) / held.sum(3)[..., None]
    return joined(torch.einsum("bhip,bhipc->bhic", q, composition))


def min_gru(mixer: MinGRU, x: Tensor) -> Tensor:
    u, gate = mixer.maps(x).chunk(2, -1)
    least = torch.exp(torch.tensor(-4.0, dtype=torch.float64))
    a = least + (1 - least) * torch.sigmoid(gate + mixer.bias)
    w = between(a.log()[:, None], causal=mixer.causal)[:, 0]
    return torch.einsum("bijd,bjd->bid", w, (1 - a) * u)


def triangular(mixer: Triangular, x: Tensor) -> Tensor:
    n, W = x.shape[1], []
    entries = list(mixer.weight.unbind(1))  # row by row; of the causal matrix its lower half
    for i in range(mixer.length):
        there = i + 1 if mixer.causal else mixer.length
        row, entries = entries[:there], entries[there:]
        W.append(torch.stack(row + [torch.zeros_like(row[0])] * (mixer.length - there), -1))
    assert not entries
    return joined(torch.stack(W, 1)[:, :n, :n] @ heads(mixer.value(x)))


DEFINITIONS = {
    "retention": retention,
    "gated-linear": gated_linear,
    "phase-memory": phases,
    "min-gru": min_gru,
    "triangular": triangular,
}


def shaken(mixer: Mixer) -> Mixer:
    """The mixer in double precision away from its regular start, so that every weight is seen."""
    with torch.no_grad():
        for parameter in mixer.double().parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return mixer


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_values_and_gradients_are_those_of_the_definition(name: str, causal: bool):
    torch.manual_seed(0)
    mixer = shaken(MAKERS[name](causal=causal))
    x = torch.randn(2, 9, D, dtype=torch.float64, requires_grad=True)
    y, expected = mixer(x).tokens, mixer.get_submodule("out")(DEFINITIONS[name](mixer, x))
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    weight, wanted = torch.randn_like(x), [x, *mixer.parameters()]
    found, naive = (torch.autograd.grad((t * weight).sum(), wanted) for t in (y, expected))
    for grad, other in zip(found, naive, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-11)


LONG = 200  # several chunks of every scan
KINDS = [name for name in entries(Kind.TOKEN) if name not in ("attention", "convolution")]


def long_mixer(name: str, *, causal: bool) -> Mixer:
    torch.manual_seed(0)
    config = fitting_config(width=D, heads=H, phases=3, hidden=4, kernel=0, length=LONG, mixer=name)
    mixer = sublayers(config, causal=causal)[0]
    assert isinstance(mixer, Mixer)
    return mixer


@pytest.mark.parametrize("name", KINDS)
def test_nothing_leaks_through_chunks(name: str):
    mixer = long_mixer(name, causal=True)
    x = torch.randn(1, LONG, D, requires_grad=True)
    y = mixer(x).tokens
    for cut in (1, 15, 16, 33, 63, 64, 100, 130, 192, 199):
        other = torch.cat([x[:, :cut], 30 * torch.randn(1, LONG - cut, D)], 1)
        assert torch.equal(y[:, :cut], mixer(other).tokens[:, :cut])
        (grad,) = torch.autograd.grad(y[:, :cut].square().sum(), x, retain_graph=True)
        assert grad[:, cut:].count_nonzero() == 0
        assert grad[:, :cut].abs().amin(-1).min() > 0


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_padding_across_chunks_is_as_good_as_absence(name: str, causal: bool):
    mixer = long_mixer(name, causal=causal).double()
    x = torch.randn(1, LONG, D, dtype=torch.float64)
    there = slice(30, 170)
    valid = torch.zeros(1, LONG, dtype=torch.bool)
    valid[:, there] = True
    torch.testing.assert_close(mixer(x, valid).tokens[:, there], mixer(x[:, there]).tokens)


@pytest.mark.parametrize("name", [*KINDS, "attention", "convolution"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_parts_and_steps_are_the_whole_across_chunks(name: str, dtype: torch.dtype, tolerance: float):
    mixer = long_mixer(name, causal=True).to(dtype)
    x = torch.randn(2, LONG, D, dtype=dtype)
    with torch.no_grad():
        state, found, start = None, [], 0
        for n in (130, *[1] * 20, 2, LONG - 152):
            y, state = mixer.extend(x[:, start : start + n], state)
            found.append(y)
            start += n
        torch.testing.assert_close(torch.cat(found, 1), mixer(x).tokens, rtol=tolerance, atol=tolerance)


def test_a_memory_of_averages_answers_a_constant_with_itself():
    """Where every token says the same, so does any average of them, in whatever phase."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, D, dtype=torch.float64)
    mixer = PhaseMemory(D, heads=H, phases=3, causal=True).double()
    torch.testing.assert_close(
        mixer(x.expand(-1, 300, -1)).tokens, mixer.out(mixer.value(x)).expand(-1, 300, -1)
    )
    gru = MinGRU(D, causal=True).double()
    (u,), (log_a,) = gru.inputs(x, None)
    share = 1 - torch.exp(300 * log_a)  # of an average over all time, after 300 tokens
    settled = u / (1 - log_a.exp())
    torch.testing.assert_close(gru(x.expand(-1, 300, -1)).tokens[:, -1:], gru.out(share * settled))


def test_decays_start_at_half_lives_from_two_to_128_tokens():
    two_to_128 = torch.tensor([2.0, 8, 32, 128], dtype=torch.float64)
    torch.testing.assert_close(log_decays(4).exp() ** two_to_128, torch.full_like(two_to_128, 0.5))
    nothing = torch.zeros(1, 1, 8, dtype=torch.float64)
    _, _, _, log_a = GatedLinear(8, heads=2).double().maps(nothing, None)
    torch.testing.assert_close(
        (log_a.exp()[0, :, 0] ** two_to_128), torch.full((2, 4), 0.5).double(), rtol=1e-5, atol=0
    )
    _, log_a = MinGRU(4).double().inputs(nothing[..., :4], None)
    torch.testing.assert_close(
        (log_a.exp()[0, 0, 0] ** two_to_128), torch.full((4,), 0.5).double(), rtol=1e-4, atol=0
    )


def test_the_matrix_of_places_starts_as_averages_over_the_past():
    W = Triangular(8, heads=2, length=6, causal=True).double().matrix(6)
    torch.testing.assert_close(W.sum(-1), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(W[0, 5, 5] / W[0, 5, 3], torch.tensor(2.0, dtype=torch.float64))


def test_places_are_counted_in_tokens_and_are_not_exceeded():
    mixer = Triangular(D, heads=H, length=4, causal=True)
    x, valid = torch.randn(1, 6, D), torch.tensor([[False, True, True, False, True, True]])
    torch.testing.assert_close(mixer(x, valid).tokens[valid], mixer(x[valid][None]).tokens[0])
    with pytest.raises(InputError, match="length=4 tokens, got 6"):
        mixer(x)
    _, state = mixer.extend(x[:, :4])
    with pytest.raises(InputError, match="length=4 tokens, got 5"):
        mixer.extend(x[:, 4:5], state)


def test_states_do_not_grow_but_those_that_must():
    for name in entries(Kind.TOKEN):
        mixer = long_mixer(name, causal=True)
        x = torch.randn(1, LONG, D)
        held = [state_size(mixer.extend(x[:, :n])[1]) for n in (1, 64, LONG)]
        if name in ("attention", "toeplitz", "graph"):
            assert held[0] < held[1] < held[2]
        else:
            assert held[0] == held[1] == held[2]
