"""What a causal mixer says token by token, or in parts, is what it says at once."""

import pytest
import torch
from marks import slow_but
from test_contract import CASES, Case, N, parameters, tokens
from torch import Tensor

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, reorder_state, state_size

CAUSAL = [case for case in CASES if case.causal]
every_causal_case = parameters(lambda case: case.causal)

pytestmark = pytest.mark.filterwarnings("ignore:the literal parameterisation")


def in_parts(mixer: Mixer, x: Tensor, parts: list[int], valid: Tensor | None = None) -> Tensor:
    state, found, start = None, [], 0
    for n in parts:
        there = None if valid is None else valid[:, start : start + n]
        y, state = mixer.extend(x[:, start : start + n], state, there)
        found.append(y)
        start += n
    return torch.cat(found, 1)


@every_causal_case
@pytest.mark.parametrize("dtype", slow_but([torch.float64, torch.float32], torch.float64))
def test_any_split_is_the_whole(case: Case, dtype: torch.dtype):
    """Up to rounding: in single precision as far as the whole is off what double precision says, where that is more."""
    exact, mixer, x = case.build(), case.build().to(dtype), tokens(3).to(dtype)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    cuts = (5,) if case.fused or dtype == torch.float32 else range(1, N)
    left = torch.arange(N) >= torch.tensor([0, 2, 7])[:, None]
    with torch.no_grad():
        for valid in (None, left):
            whole = mixer(x, valid).tokens
            read = torch.ones(3, N, dtype=torch.bool) if valid is None else valid
            rounding = float((whole - exact(x.double(), valid).tokens)[read].abs().max())
            for parts in [[1] * N, *([cut, N - cut] for cut in cuts)]:
                y = in_parts(mixer, x, parts, valid)
                atol = max(tolerance, 2 * rounding)
                torch.testing.assert_close(y[read], whole[read], rtol=tolerance, atol=atol)


@every_causal_case
def test_gradients_flow_through_a_state(case: Case):
    mixer, x = case.build(), tokens(2).requires_grad_()
    weight = tokens(2, seed=3)
    (whole,) = torch.autograd.grad((mixer(x).tokens * weight).sum(), x)
    (found,) = torch.autograd.grad((in_parts(mixer, x, [5, 1, 1, N - 7]) * weight).sum(), x)
    torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-12)


@every_causal_case
def test_a_state_can_be_continued_twice_and_reordered(case: Case):
    mixer, x, index = case.build(), tokens(3), torch.tensor([2, 0, 0])
    other = tokens(3, seed=2)
    with torch.no_grad():
        whole, fork = mixer(x).tokens, mixer(torch.cat([x[:, :6], other[:, 6:]], 1)).tokens
        mixed = mixer(torch.cat([x[index, :6], other[:, 6:]], 1)).tokens
        _, state = mixer.extend(x[:, :5])
        _, state = mixer.extend(x[:, 5:6], state)
        beams = reorder_state(state, index)
        y, after = mixer.extend(x[:, 6:7], state)
        for tail, kept, expected in ((other, state, fork), (other, beams, mixed), (x, state, whole)):
            for i in range(6, N):
                z, kept = mixer.extend(tail[:, i : i + 1], kept)
                torch.testing.assert_close(z[:, 0], expected[:, i])
        torch.testing.assert_close(y[:, 0], whole[:, 6])
        torch.testing.assert_close(mixer.extend(x[:, 7:], after)[0], whole[:, 7:])


def test_the_size_of_a_state_is_what_the_mixer_must_hold():
    sizes = {}
    for case in CAUSAL:
        if case.kernel == 0 and not case.fused:
            mixer = case.build()
            sizes[case.mixer] = [state_size(mixer.extend(tokens(3)[:, :n])[1]) for n in (1, N)]
    assert sizes["none"] == [0, 0]
    assert sizes["attention"][1] - sizes["attention"][0] == (N - 1) * (2 * 20 + 1)
    assert all(a == b for name, (a, b) in sizes.items() if name not in ("attention", "toeplitz", "graph"))


@pytest.mark.slow
def test_what_sees_the_future_refuses_to_continue():
    mixers = [case.build() for case in CASES if not case.causal]
    seers = [mixer for mixer in mixers if not mixer.causal]  # gates see their own token alone
    assert len(seers) > len(mixers) / 2
    for mixer in seers:
        with pytest.raises(InputError, match="only a causal mixer"):
            mixer.extend(tokens(1))


@every_causal_case
def test_padding_before_a_state_is_remembered_where_none_comes_after_it(case: Case):
    mixer, x = case.build(), tokens(3)
    valid = torch.arange(N) >= torch.tensor([0, 2, 4])[:, None]
    with torch.no_grad():
        whole = mixer(x, valid).tokens
        first, state = mixer.extend(x[:, :5], None, valid[:, :5])
        second, _ = mixer.extend(x[:, 5:], state)
    assert torch.allclose(torch.cat([first, second], 1)[valid], whole[valid], rtol=0, atol=1e-10)
