"""Readers of a source: by content or by place; padding on either side is as good as absence; parts are the whole."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, Source, reorder_state, state_size
from spinodal.mixers.channel.gates import PhaseCompetition
from spinodal.mixers.cross.mixers import CrossAttention, CrossMixer, FusedCross, StaticCross
from spinodal.mixers.token.attention import Attention
from spinodal.mixers.token.places import Triangular

D, H, N, M = 12, 2, 7, 9


def fused(token: Mixer, cross: CrossMixer) -> FusedCross:
    return FusedCross(token, cross, PhaseCompetition(D, hidden=4, phases=3))


def static() -> StaticCross:
    return StaticCross(D, heads=H, length=N, source_length=M)


MAKERS: dict[str, Callable[[], CrossMixer]] = {
    "attention": lambda: CrossAttention(D, heads=H),
    "static": static,
    "fused attention": lambda: fused(Attention(D, heads=H, causal=True), CrossAttention(D, heads=H)),
    "the paper's": lambda: fused(Triangular(D, heads=H, length=N, causal=True), static()),
}
every_mixer = pytest.mark.parametrize("name", MAKERS)


def built(name: str) -> CrossMixer:
    torch.manual_seed(0)
    return MAKERS[name]().double()


def drawn(n: int, *, seed: int) -> Tensor:
    return torch.randn(3, n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole(
    mixer: CrossMixer, x: Tensor, memory: Tensor, valid: Tensor | None = None, there: Tensor | None = None
):
    return mixer(x, valid, Source(memory, there))


@pytest.mark.parametrize("name", ["attention", "static"])
def test_values_and_gradients_are_those_of_the_definition(name: str):
    mixer, x, memory = built(name), drawn(N, seed=1).requires_grad_(), drawn(M, seed=2).requires_grad_()
    if isinstance(mixer, CrossAttention):
        maps = mixer.query(x), *mixer.key_value(memory).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (H, -1)).transpose(1, 2) for t in maps)
        weights = (q @ k.mT / (D // H) ** 0.5).softmax(-1)
    else:
        assert isinstance(mixer, StaticCross)
        v = mixer.value(memory).unflatten(-1, (H, -1)).transpose(1, 2)
        weights = mixer.weight
    expected = mixer.out((weights @ v).transpose(1, 2).flatten(2))
    y, g = whole(mixer, x, memory).tokens, drawn(N, seed=3)
    torch.testing.assert_close(y, expected)
    wanted = [memory, *mixer.parameters()]
    grads = (torch.autograd.grad((t * g).sum(), wanted) for t in (y, expected))
    for found, naive in zip(*grads, strict=True):
        torch.testing.assert_close(found, naive)


@every_mixer
def test_padding_on_either_side_is_as_good_as_absence(name: str):
    mixer, x, memory = built(name), drawn(N, seed=1), drawn(M, seed=2)
    valid, there = torch.ones(3, N, dtype=torch.bool), torch.ones(3, M, dtype=torch.bool)
    valid[0, :2] = valid[1, 5:] = there[0, 6:] = there[1, :3] = False
    y = whole(mixer, x, memory, valid, there).tokens
    noise = drawn(N, seed=4), drawn(M, seed=5)
    y_other, source = (
        torch.where(k[..., None], t, 9 * z)
        for k, t, z in zip((valid, there), (x, memory), noise, strict=True)
    )
    torch.testing.assert_close(whole(mixer, y_other, source, valid, there).tokens[valid], y[valid])
    for i in range(3):
        alone = whole(mixer, x[i, valid[i]][None], memory[i, there[i]][None]).tokens[0]
        torch.testing.assert_close(y[i, valid[i]], alone)


@every_mixer
def test_parts_and_steps_are_the_whole_and_beams_can_be_reordered(name: str):
    mixer, x, memory = built(name), drawn(N, seed=1), drawn(M, seed=2)
    valid = torch.arange(N) >= torch.tensor([0, 1, 3])[:, None]
    order = torch.tensor([2, 0, 0])
    with torch.no_grad():
        expected = whole(mixer, x, memory, valid).tokens
        for parts in [[1] * N, *([cut, N - cut] for cut in range(1, N))]:
            state, found, start = mixer.begin(Source(memory)), [], 0
            for n in parts:
                y, state = mixer.extend(x[:, start : start + n], state, valid[:, start : start + n])
                found.append(y)
                start += n
            torch.testing.assert_close(torch.cat(found, 1)[valid], expected[valid], rtol=1e-10, atol=1e-10)
        _, state = mixer.extend(x[:, :4], mixer.begin(Source(memory)), valid[:, :4])
        y, _ = mixer.extend(x[order, 4:], reorder_state(state, order))
        torch.testing.assert_close(y, expected[order, 4:])


@every_mixer
def test_nothing_leaks_from_tokens_not_yet_written(name: str):
    mixer, x, memory = built(name), drawn(N, seed=1), drawn(M, seed=2)
    y = whole(mixer, x, memory).tokens
    for cut in range(1, N):
        other = torch.cat([x[:, :cut], 5 * drawn(N - cut, seed=6)], 1)
        assert torch.equal(whole(mixer, other, memory).tokens[:, :cut], y[:, :cut])


@every_mixer
def test_every_token_reads_every_source_token_and_every_parameter_learns(name: str):
    mixer, memory = built(name), drawn(M, seed=2).requires_grad_()
    y = whole(mixer, drawn(N, seed=1), memory).tokens
    for i in range(N):
        (grad,) = torch.autograd.grad(y[:, i].square().sum(), memory, retain_graph=True)
        assert (grad != 0).any(-1).all()
    (y * drawn(N, seed=3)).sum().backward()
    for parameter_name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.count_nonzero() > 0, parameter_name


def test_attention_follows_contents_and_a_static_reader_places():
    """A permuted source is the same source to attention; nothing in the query moves a static reader."""
    x, other, memory = drawn(N, seed=1), drawn(N, seed=7), drawn(M, seed=2)
    order = torch.randperm(M, generator=torch.Generator().manual_seed(8))
    attention, fixed = built("attention"), built("static")
    torch.testing.assert_close(
        whole(attention, x, memory[:, order]).tokens, whole(attention, x, memory).tokens
    )
    assert not torch.allclose(whole(attention, other, memory).tokens, whole(attention, x, memory).tokens)
    assert not torch.allclose(whole(fixed, x, memory[:, order]).tokens, whole(fixed, x, memory).tokens)
    torch.testing.assert_close(whole(fixed, other, memory).tokens, whole(fixed, x, memory).tokens)


def test_states_keep_the_source_and_do_not_grow():
    for name, held in (("attention", 2 * M * D), ("static", M * D + 1)):
        mixer = built(name)
        state = mixer.begin(Source(drawn(M, seed=2)))
        _, after = mixer.extend(drawn(N, seed=1), state)
        assert state_size(state) == state_size(after) == held


def test_places_run_out_on_both_sides():
    mixer = static().double()
    with pytest.raises(InputError, match="source_length=9 tokens, got 10"):
        mixer.begin(Source(drawn(M + 1, seed=2)))
    _, state = mixer.extend(drawn(N, seed=1), mixer.begin(Source(drawn(M, seed=2))))
    with pytest.raises(InputError, match="length=7 tokens, got 8"):
        mixer.extend(drawn(1, seed=1), state)
    for make in (
        lambda: CrossAttention(10, heads=4),
        lambda: StaticCross(10, heads=4, length=2, source_length=2),
    ):
        with pytest.raises(InputError, match="width=10 does not divide into heads=4"):
            make()


@every_mixer
def test_a_reader_without_a_source_is_refused(name: str):
    for call in (lambda m: m(drawn(N, seed=1)), lambda m: m.extend(drawn(N, seed=1)), lambda m: m.begin()):
        with pytest.raises(InputError, match="reads a source"):
            call(built(name))
