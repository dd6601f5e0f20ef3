"""Whisper on merged tokens: the model itself where nothing coincides, and where what coincides does so altogether."""

import copy
import pickle
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import transformers
from marks import slow_but
from small_models import small
from torch import Tensor
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.models.versions import CACHE
from spinodal.shorten import Shortening, shortened
from spinodal.shorten.whisper import _convolve

N, SILENCE = 100, 30  # tokens of a window, and the first of those of silence
KIND = "WhisperForConditionalGeneration"
IDS = torch.tensor([[1, 5, 6], [1, 7, 8]])
GENERATION: dict[str, Any] = {
    "is_multilingual": True,
    "lang_to_id": {"<|en|>": 30, "<|de|>": 31},
    "task_to_id": {"transcribe": 32, "translate": 33},
    "no_timestamps_token_id": 34,
    "prev_sot_token_id": 35,
    "max_initial_timestamp_index": 5,
    "alignment_heads": [[0, 0], [1, 1]],
    "max_length": 20,
}


def whisper(*, places: bool = True, attention: str = "sdpa", **changes: Any) -> Any:
    """A small Whisper; without `places` those of silence are one, and merging it is exact."""
    model: Any = small(KIND, max_source_positions=N, max_target_positions=40, **changes)
    model.set_attn_implementation(attention)
    for name, value in GENERATION.items():
        setattr(model.generation_config, name, value)
    if not places:
        weight = model.model.encoder.embed_positions.weight.data
        weight[SILENCE:] = weight[SILENCE].clone()
    return model


def sounds(*ends: int, frames: int = 2 * N) -> Tensor:
    """Noise up to a frame, and digital silence."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(ends), 8, frames, generator=generator)
    for one, end in zip(x, ends, strict=True):
        one[:, end:] = -1.0
    return x


SHORT = sounds(50, 90)


@torch.no_grad()
def logits(model: Any, features: Tensor, ids: Tensor = IDS) -> Tensor:
    return model(features, decoder_input_ids=ids[: len(features)]).logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_sound_without_silence_passes_bit_for_bit(attention: str):
    model, features = whisper(attention=attention), sounds(2 * N, 2 * N)
    full = logits(model, features)
    with shortened(model) as report:
        assert logits(model, features).equal(full)
    assert (report.kept, report.tokens) == (2 * N, 2 * N)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_groups_of_one_are_the_model_bit_for_bit(attention: str):
    model = whisper(attention=attention)
    full = logits(model, SHORT)
    with shortened(model, size=1, margin=0):
        assert logits(model, SHORT).equal(full)


ROUNDING = [(torch.float32, 1e-5), (torch.float64, 1e-12)]  # of logits of about 10


@pytest.mark.parametrize(("dtype", "error"), ROUNDING)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_tokens_that_coincide_with_their_places_merge_exactly(
    attention: str, dtype: torch.dtype, error: float
):
    model, short = whisper(places=False, attention=attention).to(dtype), SHORT.to(dtype)
    full = logits(model, short)
    with shortened(model, size=8, margin=4) as report:
        merged = logits(model, short)
    assert report.kept < report.tokens / 1.8
    torch.testing.assert_close(merged, full, rtol=0, atol=error)


def test_a_heavy_token_is_what_makes_it_exact(monkeypatch: pytest.MonkeyPatch):
    """Without the masses the same tokens give another answer."""
    model = whisper(places=False)
    full = logits(model, SHORT)
    zeros = lambda masses, dtype: torch.zeros(masses.shape, dtype=dtype)
    monkeypatch.setattr("spinodal.shorten.whisper.log_masses", zeros)
    with shortened(model, size=8, margin=4):
        assert (logits(model, SHORT) - full).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_finds_the_same_tokens_and_stays_finite(dtype: torch.dtype, attention: str):
    model = whisper(places=False, attention=attention).to(dtype)
    full = logits(model, SHORT.to(dtype)).float()
    with shortened(model, size=8, margin=4) as report:
        short = logits(model, SHORT.to(dtype)).float()
    with shortened(whisper(), size=8, margin=4) as single:
        pass
    assert report.kept < report.tokens / 1.8
    assert short.isfinite().all()
    assert (short - full).abs().max() < 0.05 * full.abs().max()
    assert single.kept == 0


@pytest.mark.parametrize(("dtype", "error"), ROUNDING)
def test_a_sound_does_not_depend_on_its_batch(dtype: torch.dtype, error: float):
    model, short = whisper().to(dtype), SHORT.to(dtype)
    with shortened(model, size=4, margin=8) as report:
        both = logits(model, short)
        alone = torch.cat([logits(model, x[None], ids[None]) for x, ids in zip(short, IDS, strict=True)])
    assert report.masses[0] == report.masses[2] != report.masses[1] == report.masses[3]
    torch.testing.assert_close(both, alone, rtol=0, atol=error)


@pytest.mark.parametrize("end", [0, 1, 49, 50, 91, 140, 2 * N])
def test_equal_frames_at_the_end_are_convolved_once(end: int):
    encoder, features = whisper().model.encoder, sounds(end, end // 2)
    own = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(features)))).mT
    for least in (0, 20, N):
        torch.testing.assert_close(_convolve(encoder, features, least), own, rtol=1e-6, atol=1e-6)
    assert _convolve(encoder, features, N).equal(own)


def test_silence_inside_a_sound_counts():
    features = sounds(2 * N)
    features[..., 40:140] = -1.0
    with shortened(whisper(), size=8, margin=4) as report:
        logits(whisper(), features)
        assert report.tokens == 0, "another model is not shortened"
        model = whisper()
        with shortened(model, size=8, margin=4) as inner:
            logits(model, features)
    assert inner.masses[0].count(8) == 5
    assert set(inner.masses[0][:20]) == {1} == set(inner.masses[0][-30:])


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "several": {"num_beams": 4, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 0.7},
    "fallback": {"temperature": (0.0, 0.4), "logprob_threshold": 0.0, "compression_ratio_threshold": 0.1},
    "timestamps": {"return_timestamps": True},
    "language is said": {"language": "<|de|>", "task": "translate"},
    "prompt": {"prompt_ids": torch.tensor([35, 9, 10])},
    "static cache": {"cache_implementation": "static"},
    "no cache": {"use_cache": False},
}


def generated(model: Any, features: Tensor, **options: Any) -> Any:
    torch.manual_seed(3)
    return model.generate(features, **({"max_new_tokens": 8} | options))


@pytest.mark.parametrize("way", slow_but(WAYS, *(WAYS.keys() - {"sampling", "fallback"})))
def test_generation_goes_on_as_it_would(way: str):
    """Where merging is exact the words are the same; languages are detected where none is said."""
    model = whisper(places=False)
    full = generated(model, SHORT, **WAYS[way])
    with shortened(model, size=8, margin=4) as report:
        short = generated(model, SHORT, **WAYS[way])
    assert report.kept < report.tokens / 1.8
    assert short.equal(full)


def test_long_sounds_are_read_window_by_window():
    model = whisper(places=False)
    features = sounds(450, 250, frames=500)
    mask = torch.ones(2, 500, dtype=torch.long)
    options: dict[str, Any] = {"return_timestamps": True, "attention_mask": mask, "return_segments": True}
    full = generated(model, features, **options)
    with shortened(model, size=8, margin=4) as report:
        short = generated(model, features, **options)
    assert report.tokens > 5 * N
    assert report.kept < report.tokens
    assert short["sequences"].equal(full["sequences"])
    ends = [[[float(s["end"]) for s in one] for one in found["segments"]] for found in (short, full)]
    assert ends[0] == ends[1]


def test_times_of_tokens_and_weights_are_on_the_whole_grid():
    model = whisper(places=False)
    full = generated(model, SHORT, return_token_timestamps=True)
    model.set_attn_implementation("sdpa")
    with shortened(model, size=8, margin=4):
        short = generated(model, SHORT, return_token_timestamps=True)
    assert model.config._attn_implementation == "sdpa"
    assert short["sequences"].equal(full["sequences"])
    torch.testing.assert_close(short["token_timestamps"], full["token_timestamps"])


@torch.no_grad()
def test_what_is_recorded_is_on_the_whole_grid():
    model = whisper(places=False, attention="eager")
    asked: dict[str, Any] = {"output_attentions": True, "output_hidden_states": True}
    full = model(SHORT, decoder_input_ids=IDS, **asked)
    with shortened(model, size=8, margin=4):
        short = model(SHORT, decoder_input_ids=IDS, **asked)
        plain = model(SHORT, decoder_input_ids=IDS, return_dict=False, **asked)
    for name in ("cross_attentions", "encoder_attentions", "encoder_hidden_states", "decoder_hidden_states"):
        for a, b in zip(short[name], full[name], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert plain[0].equal(short.logits)
    masses = short.encoder_last_hidden_state[..., -1]
    assert masses.sum(-1).tolist() == [N, N]


@torch.no_grad()
def test_states_that_were_computed_before_are_read_with_their_masses():
    model = whisper()
    with shortened(model, size=8, margin=4):
        states = model.get_encoder()(SHORT)
        as_tuple = model.get_encoder()(SHORT, return_dict=False)
        once = logits(model, SHORT)
        assert model(encoder_outputs=states, decoder_input_ids=IDS).logits.equal(once)
        assert model(encoder_outputs=as_tuple, decoder_input_ids=IDS).logits.equal(once)
        first = model(encoder_outputs=states, decoder_input_ids=IDS[:, :2], use_cache=True)
        last = model(encoder_outputs=states, decoder_input_ids=IDS[:, 2:], **{CACHE: first[CACHE]}).logits
    torch.testing.assert_close(last, once[:, 2:], rtol=0, atol=1e-5)


def state(model: Any) -> tuple:
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    own = [sorted(vars(m)) for m in model.modules()]
    return hooks, own, model.config.to_dict(), {k: v.clone() for k, v in model.state_dict().items()}


def same_state(a: tuple, b: tuple) -> bool:
    return a[:3] == b[:3] and all(a[3][k].equal(b[3][k]) for k in a[3])


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was_when_the_context_ends(fails: bool):
    model = whisper()
    full, before = logits(model, SHORT), state(model)
    try:
        with shortened(model):
            logits(model, SHORT)
            if fails:
                raise KeyError("an error inside")
    except KeyError:
        pass
    assert same_state(state(model), before)
    assert logits(model, SHORT).equal(full)


def test_a_forward_that_was_replaced_before_comes_back():
    model = whisper()
    encoder = model.model.encoder
    own = encoder.forward
    encoder.forward = lambda *args, **kwargs: own(*args, **kwargs)
    before = encoder.forward
    with shortened(model):
        assert encoder.forward is not before
    assert encoder.forward is before


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_made_within_the_context_carries_none_of_it(copied: Callable[[Any], Any], replaced: bool):
    model = whisper()
    if replaced:
        model.model.encoder.forward = partial(type(model.model.encoder).forward, model.model.encoder)
    full = logits(model, SHORT)
    with shortened(model, 8, 4) as report:
        other = copied(model)
        for weight in model.parameters():
            weight.data.zero_()
        assert logits(other, SHORT).equal(full)
        assert report.kept == 0
        with shortened(other, 8, 4) as own:
            logits(other, SHORT)
    assert own.factor > 1.8


def two_passes(model: Any, features: Tensor) -> Tensor:
    return torch.cat([logits(model, features), logits(model, features)])


def test_models_and_threads_share_no_state():
    """Two models of different merging and four threads, two of them on one model: each answer is that of one alone."""
    models = [whisper(), whisper()]
    features = [sounds(30), sounds(80), sounds(110), sounds(60)]
    plans = [(0, 0), (0, 1), (1, 2), (1, 3)]

    def run(answer: Callable[[int, int], None]) -> tuple[Shortening, Shortening]:
        with shortened(models[0], 8, 2) as one, shortened(models[1], 4, 6) as other:
            threads = [threading.Thread(target=answer, args=plan) for plan in plans]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return one, other

    alone = {}
    for model, size, margin in ((0, 8, 2), (1, 4, 6)):
        with shortened(models[model], size, margin):
            for m, k in plans:
                if m == model:
                    alone[k] = two_passes(models[m], features[k])
    found: dict[int, list[Tensor]] = {k: [] for _, k in plans}
    reports = run(lambda m, k: found[k].extend(two_passes(models[m], features[k]) for _ in range(5)))
    assert all(x.equal(alone[k]) for k, several in found.items() for x in several)
    assert [len(several) for several in found.values()] == [5] * 4
    assert [len(report.masses) for report in reports] == [20, 20]


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ("tiny", {"encoder_layers": 4, "decoder_layers": 4}),
        ("large-v3", {"num_mel_bins": 128, "encoder_layers": 4, "decoder_layers": 4, "d_model": 40, "vocab_size": 60}),
        ("distil", {"encoder_layers": 4, "decoder_layers": 2}),
    ],
)  # fmt: skip
def test_every_size_of_the_family(size: str, changes: dict[str, Any]):
    model = whisper(places=False, **changes)
    features = torch.randn(1, changes.get("num_mel_bins", 8), 2 * N)
    features[..., 50:] = -1.0
    full = logits(model, features)
    with shortened(model, 8, 4) as report:
        torch.testing.assert_close(logits(model, features), full, rtol=0, atol=1e-5)
    assert report.factor > 1.8


@torch.no_grad()
def test_the_model_without_its_head_and_a_decoder_alone():
    """A decoder that shares the encoder's states, as an assistant does, reads them in a context of its own."""
    torch.manual_seed(0)
    head = whisper(places=False)
    with shortened(head.model, 8, 4) as report:
        head.model(SHORT, decoder_input_ids=IDS)
        states = head.model.encoder(SHORT)
    assert report.factor > 1.8
    assistant: Any = transformers.WhisperForCausalLM(copy.deepcopy(head.config)).eval()
    full = assistant(IDS, encoder_outputs=head.model.encoder(SHORT)).logits
    with shortened(assistant):
        torch.testing.assert_close(assistant(IDS, encoder_outputs=states).logits, full, rtol=0, atol=1e-5)


def test_gradients_pass_through_merged_tokens():
    model = whisper(places=False)
    grads = []
    for context in (False, True):
        features = SHORT.clone().requires_grad_()
        if context:
            with shortened(model, 8, 4):
                loss = model(features, decoder_input_ids=IDS).logits.square().mean()
        else:
            loss = model(features, decoder_input_ids=IDS).logits.square().mean()
        grads.append(torch.autograd.grad(loss, features)[0][..., :40])
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-3, atol=1e-6)


def enter(model: Any, size: int, margin: int, features: Tensor | None) -> None:
    with shortened(model, size, margin):
        if features is not None:
            logits(model, features)


def refuse(match: str, model: Any, size: int = 8, margin: int = 32, features: Tensor | None = None):
    with pytest.raises(InputError, match=match):
        enter(model, size, margin, features)


def test_what_is_refused():
    model = whisper()
    refuse("BertForMaskedLM is no Whisper", small("BertForMaskedLM"))
    refuse("Linear is no Whisper", torch.nn.Linear(2, 2))
    config = model.config
    refuse("pools all tokens alike", transformers.WhisperForAudioClassification(config))
    refuse("`size` 0: must be from 1 to 256", model, 0)
    refuse("`size` 257: must be from 1 to 256", model, 257)
    refuse("`margin` -1: must be >= 0", model, 8, -1)
    refuse(
        r"features of 31.05 s: the encoder reads 30 s",
        model,
        features=torch.zeros(1, 8, 2 * N * 31 // 30 + 1),
    )
    refuse("is in training", model.train())
    model.eval()
    with shortened(model):
        refuse("shortened already", model)
        logits(model, SHORT)
        refuse("shortened already", model.model)
        sharing = whisper()
        sharing.model.encoder = model.model.encoder
        refuse("its encoder as a part of another, is shortened already", sharing)
    refuse("an empty batch", model, features=SHORT[:0])
    refuse("no layer that would look", whisper(decoder_layers=0))
    refuse("`size` True: a whole number is needed", model, True)
    refuse("`margin` False: a whole number is needed", model, 8, False)
    model.config._attn_implementation = "flex_attention"
    refuse("attention is flex_attention", model)
