"""Compiled steps give the logits, states and tokens of `forward`, and stand aside where it does something else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import peft
import pytest
import torch
from fitting import fitting_config
from marks import slow_but
from torch import Tensor, nn
from transformers.generation.streamers import BaseStreamer
from typed import present

from spinodal.data import character_tokenizer
from spinodal.inference import Sampling, continuation
from spinodal.models import SpinodalForCausalLM, StateCache, step
from spinodal.models.step import compiled
from spinodal.models.step.compiled import Step, compiled_step, leaves

VOCABULARY, PROMPT, TOKENS = 50, 7, 200
LINEAR = ("retention", "gated-linear", "phase-memory", "min-gru", "convolution", "none")
GATES = ("competition", "swiglu", "driving-force", "partition")
FORMS = [
    *({"mixer": mixer, "channel": channel} for mixer in LINEAR for channel in GATES),
    {"mixer": "retention", "channel": "competition", "fused": True},
    {"mixer": "gated-linear", "channel": "partition", "pathway": "I", "kernel": 0},
    {"mixer": "phase-memory", "channel": "swiglu", "kernel": 1, "fused": True},
    {"mixer": "convolution", "channel": "swiglu", "kernel": 2, "tie_word_embeddings": False},
]
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "top_k": 0},
    "temperature": {"do_sample": True, "temperature": 0.7},
    "top-k and top-p": {"do_sample": True, "top_k": 20, "top_p": 0.8, "temperature": 1.3},
    "penalties": {"do_sample": False, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
    "an end": {"do_sample": True, "top_k": 0, "eos_token_id": list(range(10, 14))},
    "a deadline": {"do_sample": False, "max_time": 1000.0},
    "the least length": {"do_sample": False, "eos_token_id": list(range(10, 40)), "min_new_tokens": 12},
}  # fmt: skip


def causal(**values: Any) -> SpinodalForCausalLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "width": 20, "depth": 2, "heads": 2, "hidden": 7, "phases": 3}
    return SpinodalForCausalLM(fitting_config(**(sizes | {"initializer_range": 1.0} | values))).eval()


def ids(n: int = PROMPT, *, batch: int = 1) -> Tensor:
    return torch.randint(VOCABULARY, (batch, n), generator=torch.Generator().manual_seed(1))


def begun(model: SpinodalForCausalLM) -> StateCache:
    return model(ids(), use_cache=True).cache


def generated(model: SpinodalForCausalLM, *args: Tensor, **options: Any) -> Tensor:
    torch.manual_seed(2)
    return cast(Any, model).generate(*args, **({"max_new_tokens": 30, "pad_token_id": 0} | options))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step | None]:
    """What `generate` was given at each call."""
    found: list[Step | None] = []

    def asked(*arguments: Any) -> Step | None:
        found.append(compiled_step(*arguments))
        return found[-1]

    monkeypatch.setattr(step, "compiled_step", asked)
    return found


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    """`generated` by the loop of transformers."""

    def plain(*args: Any, **options: Any) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(step, "compiled_step", lambda *_: None)
            return generated(*args, **options)

    return plain


@torch.no_grad()
@pytest.mark.parametrize(
    "form", slow_but(FORMS, FORMS[-1]), ids=lambda form: "-".join(map(str, form.values()))
)
def test_two_hundred_tokens_are_those_of_forward(form: dict[str, Any]):
    model = causal(**form)
    out = model(ids(), use_cache=True)
    ours, memory, logits = present(compiled_step(model, begun(model))), out.cache, out.logits[0, -1]
    ours.begin(begun(model))
    for _ in range(TOKENS):
        token = int(logits.argmax())
        logits = model(torch.tensor([[token]]), cache=memory).logits[0, -1]
        close = torch.from_numpy(ours(token))
        torch.testing.assert_close(close, logits, rtol=0, atol=1e-5 * float(logits.abs().max()))
        assert close.argmax() == logits.argmax()
    ours.store()
    assert ours.cache.get_seq_length() == memory.get_seq_length() == PROMPT + TOKENS
    for one, other in zip(ours.cache.layers, memory.layers, strict=True):
        for a, b in zip(leaves(present(one.state)), leaves(present(other.state)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("way", slow_but(WAYS, "greedy", "temperature", "an end"))
def test_generate_says_the_same_tokens(way: str, steps: list[Step | None], plainly: Callable[..., Tensor]):
    model = causal()
    said = generated(model, ids(), **WAYS[way])
    assert steps[-1] is not None
    assert torch.equal(said, plainly(model, ids(), **WAYS[way]))
    assert PROMPT < said.shape[1] <= PROMPT + 30


def test_long_texts_grow(steps: list[Step | None], plainly: Callable[..., Tensor]):
    model = causal(mixer="min-gru", depth=1)
    options = {"max_new_tokens": 300, "do_sample": True, "top_k": 0}
    assert torch.equal(generated(model, ids(), **options), plainly(model, ids(), **options))


def test_a_cache_goes_on_after_it(steps: list[Step | None], plainly: Callable[..., Tensor]):
    """And a prompt with padding before it."""
    model, mask, said = causal(), (torch.arange(PROMPT) > 2).long()[None], []
    for by in (generated, plainly):
        memory = model.model.state_cache()
        text = by(model, ids(), attention_mask=mask, cache=memory, do_sample=False)
        assert memory.get_seq_length() == text.shape[1] - 1
        assert present(memory.there).shape == (1, text.shape[1] - 1)
        mask_now = torch.cat([mask, torch.ones(1, text.shape[1] - PROMPT, dtype=torch.long)], 1)
        more = by(model, text, attention_mask=mask_now, cache=memory, do_sample=False)
        said.append(more)
    assert None not in steps
    assert said[0].shape[1] == PROMPT + 60
    assert torch.equal(*said)


def test_embeddings_begin_a_text(plainly: Callable[..., Tensor]):
    model = causal()
    embeds = {"inputs_embeds": model.model.embedding(ids()), "do_sample": False}
    assert torch.equal(generated(model, **embeds), plainly(model, **embeds))


def test_weights_are_read_where_they_lie(steps: list[Step | None], plainly: Callable[..., Tensor]):
    """Changed in place, replaced, or loaded anew: no token comes from earlier weights."""
    model, other = causal(), causal(mixer="retention")
    said = [generated(model, ids(), do_sample=False)]
    with torch.no_grad():
        model.model.norm.weight.copy_(torch.randn(20))
    said.append(generated(model, ids(), do_sample=False))
    assert torch.equal(said[-1], plainly(model, ids(), do_sample=False))
    model.output = nn.Linear(20, VOCABULARY).eval()
    said.append(generated(model, ids(), do_sample=False))
    assert torch.equal(said[-1], plainly(model, ids(), do_sample=False))
    model.load_state_dict(other.state_dict())
    assert torch.equal(generated(model, ids(), do_sample=False), plainly(other, ids(), do_sample=False))
    assert None not in steps
    assert not torch.equal(said[0], said[1])
    assert not torch.equal(said[1], said[2])


class Parts(BaseStreamer):
    """What a streamer was given."""

    def __init__(self, most: int = 1000):
        self.most, self.parts = most, []

    def put(self, value: Tensor):
        if len(self.parts) > self.most:
            raise KeyboardInterrupt
        self.parts.append(value)

    def end(self):
        self.parts.append(None)


def test_tokens_stream_as_they_come(steps: list[Step | None], plainly: Callable[..., Tensor]):
    model, streams = causal(), (Parts(), Parts())
    generated(model, ids(), do_sample=False, streamer=streams[0])
    plainly(model, ids(), do_sample=False, streamer=streams[1])
    assert [part.shape for part in streams[0].parts[:-1]] == [part.shape for part in streams[1].parts[:-1]]
    assert streams[0].parts.pop() is streams[1].parts.pop() is None
    assert all(torch.equal(*pair) for pair in zip(streams[0].parts, streams[1].parts, strict=True))


def test_a_loop_that_is_broken_off_leaves_a_whole_cache():
    model = causal()
    memory = model.model.state_cache()
    with pytest.raises(KeyboardInterrupt):
        generated(model, ids(), cache=memory, do_sample=False, streamer=Parts(most=5))
    expected = generated(model, ids(), do_sample=False)
    n = memory.get_seq_length()
    assert n > PROMPT
    with torch.no_grad():
        logits = model(expected[:, n : n + 1], cache=memory).logits[0, -1]
    assert int(logits.argmax()) == expected[0, n + 1]


def hooked(model: SpinodalForCausalLM) -> SpinodalForCausalLM:
    model.model.norm.register_forward_hook(lambda *_: None)
    return model


def wrapped(model: SpinodalForCausalLM) -> SpinodalForCausalLM:
    inner = model.forward
    cast(Any, model).forward = lambda *args, **options: inner(*args, **options)
    return model


def adapted(model: SpinodalForCausalLM) -> SpinodalForCausalLM:
    return (
        cast(Any, peft)
        .get_peft_model(model, peft.LoraConfig(init_lora_weights=False))
        .base_model.model.eval()
    )


def parametrised(model: SpinodalForCausalLM) -> SpinodalForCausalLM:
    nn.utils.parametrizations.weight_norm(model.output)
    return model


class Own(SpinodalForCausalLM):
    """A subclass, which may do anything."""


OTHERS: dict[str, Callable[[], SpinodalForCausalLM]] = {
    "attention": lambda: causal(mixer="attention"),
    "Toeplitz": lambda: causal(mixer="toeplitz"),
    "a graph": lambda: causal(mixer="graph"),
    "double precision": lambda: causal().double(),
    "bfloat16": lambda: causal().bfloat16(),
    "training": lambda: causal(dropout=0.1).train(),
    "a hook": lambda: hooked(causal()),
    "a wrapper": lambda: wrapped(causal()),
    "an adapter": lambda: adapted(causal()),
    "a parametrisation": lambda: parametrised(causal()),
    "a subclass": lambda: Own(causal().config).eval(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("other", slow_but(OTHERS, "attention", "training", "a hook", "a subclass"))
def test_other_models_take_their_own_steps(
    other: str, steps: list[Step | None], plainly: Callable[..., Tensor]
):
    model = OTHERS[other]()
    said = generated(model, ids(), do_sample=False, max_new_tokens=6)
    assert steps == [None]
    if other != "training":
        assert torch.equal(said, plainly(model, ids(), do_sample=False, max_new_tokens=6))


def test_other_calls_take_the_steps_of_forward(steps: list[Step | None]):
    model = causal()
    with torch.autocast("cpu", torch.bfloat16):
        generated(model, ids(), do_sample=False, max_new_tokens=3)
    generated(model, ids(), do_sample=False, use_cache=False, max_new_tokens=3)
    assert steps == [None, None]
    cast(Any, model).generate(ids(batch=2), max_new_tokens=3, do_sample=False, pad_token_id=0)
    whole = generated(model, ids(), max_new_tokens=3, return_dict_in_generate=True, output_logits=True)
    assert len(cast(Any, whole).logits) == 3
    assert steps == [None, None]
    assert compiled_step(model, begun(model)) is None  # gradients are on


@torch.no_grad()
def test_wide_models_leave_their_products_to_many_threads(monkeypatch: pytest.MonkeyPatch):
    model = causal()
    monkeypatch.setattr(compiled, "MOST", 100)
    assert compiled_step(model, begun(model)) is not None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert compiled_step(model, begun(model)) is None
    monkeypatch.setattr(compiled, "MOST", 10_000)
    assert compiled_step(model, begun(model)) is not None


@torch.no_grad()
def test_a_token_that_the_model_does_not_know_is_refused():
    model = causal()
    ours = present(compiled_step(model, begun(model)))
    ours.begin(begun(model))
    for token in (-1, VOCABULARY):
        with pytest.raises(IndexError, match=f"token {token} "):
            ours(token)


def test_weights_that_diverged_give_no_tokens():
    model = causal()
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(RuntimeError, match="nan"):
        generated(model, ids(), do_sample=True)


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=0), Sampling(top_p=0.9, seed=3)], ids=["greedy", "top-p"]
)
def test_the_command_goes_on_by_compiled_steps(
    sampling: Sampling, tmp_path: Path, steps: list[Step | None], monkeypatch: pytest.MonkeyPatch
):
    """`spinodal generate` is `continuation` with these arguments."""
    tokenizer = character_tokenizer(["to be or not to be"])
    causal(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    said = continuation(tmp_path, "to be", tokens=20, sampling=sampling, stream=True)
    assert steps[-1] is not None
    monkeypatch.setattr(step, "compiled_step", lambda *_: None)
    assert said == continuation(tmp_path, "to be", tokens=20, sampling=sampling)
