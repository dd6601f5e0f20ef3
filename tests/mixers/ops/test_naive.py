"""Every fast operation against its naive definition: values, and gradients in every argument, in float64."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from marks import slow_but
from torch import Tensor

from spinodal.mixers.channel.gates import Departure, naive_departure
from spinodal.mixers.ops import (
    block_gather,
    decayed_linear_attention,
    decayed_sum,
    fixed_decay,
    kv_cache,
    places,
    toeplitz,
)

Operation = Callable[..., Tensor | tuple[Tensor, ...]]
SIZES = [1, 2, 5, 6, 7, 12, 13, 29, 70]  # a token, one chunk, several; last chunks that are full or not


class Case(NamedTuple):
    """An operation, its definition, the tensors to differentiate in, and what else both take."""

    fast: Operation
    naive: Operation
    wanted: list[Tensor]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    """Chunks of six, four and three tokens, FFTs from 9 tokens, one block gathered at a time."""
    monkeypatch.setattr(decayed_linear_attention, "CHUNK", 6)
    monkeypatch.setattr(decayed_sum, "SHORT", 3)
    monkeypatch.setattr(fixed_decay, "WHOLE", 6)
    monkeypatch.setattr(fixed_decay, "CHUNK", 4)
    monkeypatch.setattr(fixed_decay, "FEW", 4)
    monkeypatch.setattr(toeplitz, "DIRECT", 8)
    monkeypatch.setattr(block_gather, "AT_ONCE", (1, 1))


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64).requires_grad_()


def decays(n: int, *, shared: bool) -> Tensor:
    """log a between none and fast, one for all features or one each."""
    shape = (1, 2, n, 1) if shared else (2, 2, n, 3)
    return (-(torch.rand(shape, dtype=torch.float64) ** 3)).requires_grad_()


def attention(n: int, *, shared: bool) -> Case:
    wanted = [
        draw(2, 2, n, 3),
        draw(2, 2, n, 3),
        draw(2, 2, n, 4),
        decays(n, shared=shared),
        draw(2, 2, 3, 4),
    ]
    room = decayed_linear_attention
    return Case(room.decayed_linear_attention, room.naive_decayed_linear_attention, wanted)


def attention_both_ways(n: int) -> Case:
    wanted = [draw(2, 2, n, 3), draw(2, 2, n, 3), draw(2, 2, n, 4), decays(n, shared=False)]
    room = decayed_linear_attention
    return Case(
        room.decayed_linear_attention_both_ways, room.naive_decayed_linear_attention_both_ways, wanted
    )


def fixed_decays(n: int) -> Case:
    log_g = -torch.rand(2, dtype=torch.float64)
    return Case(
        lambda q, k, v: fixed_decay.fixed_decay_attention(q, k, v, log_g),
        lambda q, k, v: fixed_decay.naive_fixed_decay_attention(q, k, v, log_g),
        [draw(2, 2, n, 3), draw(2, 2, n, 3), draw(2, 2, n, 4)],
    )


def sums(n: int, *, shared: bool) -> Case:
    wanted = [draw(2, 2, n, 3), decays(n, shared=shared), draw(2, 2, 3)]
    return Case(decayed_sum.decayed_sum, decayed_sum.naive_decayed_sum, wanted)


def sums_both_ways(n: int) -> Case:
    wanted = [draw(2, 2, n, 3), decays(n, shared=False)]
    return Case(decayed_sum.decayed_sum_both_ways, decayed_sum.naive_decayed_sum_both_ways, wanted)


def toeplitz_products(n: int, spare: int, *, causal: bool) -> Case:
    length = n + spare
    wanted = [draw(2, length if causal else 2 * length - 1), draw(2, 2, n, 3)]
    return Case(
        lambda t, v: toeplitz.toeplitz_product(t, v, causal=causal),
        lambda t, v: toeplitz.naive_toeplitz_product(t, v, causal=causal),
        wanted,
    )


def place_products(n: int, *, one_by_one: bool) -> Case:
    valid = torch.rand(3, n) < 0.7
    valid[0] = True

    def fast(W: Tensor, v: Tensor) -> Tensor:
        values = v.masked_fill(~valid[..., None], 0.0)
        place, _ = places.places(v, valid, torch.zeros(3, dtype=torch.long))
        table = places.scatter_to_places(values, place, torch.zeros_like(v))
        if one_by_one:
            rows = [places.read_place(W[:, place[:, i]], table) for i in range(n)]
            y = torch.cat(rows, 1)
        else:
            y = places.read_places(W, table, place)
        return y.masked_fill(~valid[..., None], 0.0)

    return Case(fast, lambda W, v: places.naive_place_product(W, v, valid), [draw(2, n, n), draw(3, n, 6)])


def appended_rows(n: int) -> Case:
    def collect(parts: tuple[Tensor, ...], append: Callable) -> Tensor:
        cache, rows = append(None, parts[0])
        for part in parts[1:]:
            cache, rows = append(cache, part)
        return rows

    def naive(held: Tensor | None, new: Tensor) -> tuple[Tensor, Tensor]:
        rows = kv_cache.naive_append(held, new)
        return rows, rows

    wanted = [draw(2, 3, k, 4) for k in (n, 1, 1, 5)]
    return Case(lambda *parts: collect(parts, kv_cache.append), lambda *parts: collect(parts, naive), wanted)


def gathered(*, products: bool) -> Case:
    index = torch.rand(2, 2, 5, 5).argsort(-1)[..., :3]
    if products:
        fast, naive = block_gather.gathered_products, block_gather.naive_gathered_products
    else:
        fast, naive = block_gather.gathered_averages, block_gather.naive_gathered_averages
    wanted = [draw(2, 2, 5, 4, 3 if products else 12), draw(2, 2, 5, 4, 3)]
    return Case(lambda a, x: fast(a, x, index), lambda a, x: naive(a, x, index), wanted)


CASES: dict[str, Callable[[], Case]] = (
    {
        f"decayed linear attention, n={n}, {shared=}": lambda n=n, shared=shared: attention(n, shared=shared)
        for n in SIZES for shared in (False, True)
    }
    | {f"decayed sum, n={n}, {shared=}": lambda n=n, shared=shared: sums(n, shared=shared)
       for n in SIZES for shared in (False, True)}
    | {f"decayed linear attention both ways, n={n}": lambda n=n: attention_both_ways(n) for n in (1, 7, 29)}
    | {f"fixed decay attention, n={n}": lambda n=n: fixed_decays(n) for n in SIZES}
    | {f"decayed sum both ways, n={n}": lambda n=n: sums_both_ways(n) for n in (1, 7, 29)}
    | {
        f"toeplitz, n={n}, {spare=}, {causal=}":
            lambda n=n, spare=spare, causal=causal: toeplitz_products(n, spare, causal=causal)
        for n in (1, 2, 7, 8, 9, 16, 17, 33) for spare in (0, 3) for causal in (False, True)
    }
    | {
        f"places, n={n}, {one=}": lambda n=n, one=one: place_products(n, one_by_one=one)
        for n in (1, 2, 9) for one in (False, True)
    }
    | {f"kv cache, n={n}": lambda n=n: appended_rows(n) for n in (1, 4)}
    | {f"block gather, {products=}": lambda products=products: gathered(products=products)
       for products in (False, True)}
    | {"departure": lambda: Case(Departure.apply, naive_departure, [draw(2, 5, 3, 4)])}
)  # fmt: skip


def outputs(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_definition(name: str):
    torch.manual_seed(0)
    case = CASES[name]()
    fast, naive = outputs(case.fast(*case.wanted)), outputs(case.naive(*case.wanted))
    for found, expected in zip(fast, naive, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    weights = [torch.randn_like(y) for y in naive]
    grads = [
        torch.autograd.grad([(y * w).sum() for y, w in zip(ys, weights, strict=True)], case.wanted)
        for ys in (fast, naive)
    ]
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("decayed") and "n=29" in name])
def test_many_tokens_are_not_left_to_the_definition(name: str, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Tensor) -> None:
        raise AssertionError

    for room in (decayed_linear_attention, decayed_sum):
        for definition in [key for key in vars(room) if key.startswith("naive_")]:
            monkeypatch.setattr(room, definition, refuse)
    case = CASES[name]()
    case.fast(*case.wanted)


@torch.no_grad()
def test_rows_appended_in_place_are_rows_appended_by_copies():
    case = appended_rows(4)
    values = [part.detach() for part in case.wanted]
    assert torch.equal(*outputs(case.fast(*values)), *outputs(case.naive(*values)))


@pytest.mark.parametrize("products", slow_but([False, True], True))
@pytest.mark.parametrize("at_once", slow_but([1, 10**6], 1))
def test_gathered_blocks_have_gradients_of_all_orders(
    at_once: int, products: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(block_gather, "AT_ONCE", (at_once, at_once))
    torch.manual_seed(0)
    index = torch.rand(2, 1, 4, 4).argsort(-1)[..., :3]
    operation = block_gather.gathered_products if products else block_gather.gathered_averages
    wanted = [draw(2, 1, 4, 2, 3 if products else 6), draw(2, 1, 4, 2, 3)]
    assert torch.autograd.gradcheck(lambda a, x: operation(a, x, index), wanted)
    assert torch.autograd.gradgradcheck(lambda a, x: operation(a, x, index), wanted)
