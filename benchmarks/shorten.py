"""Whisper base on short sounds: silence merged, beside the full model and what people do today.

    python benchmarks/shorten.py [--part voice lengths batches noise voices] [--methods full x8] [--prompts 38]
                                 [--json FILE] [--quick]

    full             the model as it is: 1,500 tokens
    cut              tokens of the sound and 128 more; the rest is thrown away
    cut + mass       the same, with the mass of the rest on the last of them
    x4, x8, x16      every 4th, 8th, 16th token of the silence with its mass, margins of 16, 32, 64
    ToMe-like        after the first layer, pairs of the likest tokens are averaged, with masses, down to 398 tokens

voice    recorded prompts of one voice (Debian's asterisk-core-sounds-en-wav), with the words that are spoken
lengths  prompts one after another, up to 2 to 30 s
batches  eight prompts one by one and in one batch, on one thread and on two
noise    noise on the prompt, and noise to the end of the 30 s in place of digital silence
voices   sentences by voices of espeak-ng, where that is installed

Methods take turns on each sound in one process, and batches have the full model first; seconds are CPU seconds, of the
encoder and in all (features, encoder, greedy decoder of at most 120 tokens), means over sounds, as their length is; on
one thread, batches on one and on two; seed 0.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from spinodal.data import read_prompts
from spinodal.shorten import Merged, Recogniser, open_recogniser, recognise, shortened, word_difference
from spinodal.watch import sound_of

RATE, TOKENS, BEHIND, TOME = 16_000, 1500, 128, 398
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SENTENCES = (
    "The train to the coast leaves at a quarter past nine.",
    "Please send the signed papers to our office before Friday.",
    "She found an old map of the island between the pages.",
    "Nobody expected rain, so the concert was held in the garden.",
)
VOICES = ("en-us", "en-gb-scotland", "en-us+f3", "en-gb+m7")


class Method(NamedTuple):
    """A context that changes the model for a sound of so many seconds."""

    name: str
    context: Callable[[Any, float], AbstractContextManager[Any]]


def every(size: int) -> Method:
    return Method(f"x{size}", lambda model, seconds: shortened(model, size, 4 * size))


@contextmanager
def cut(model: Any, seconds: float, *, mass: bool) -> Iterator[Any]:
    kept = min(TOKENS, int(seconds * TOKENS / 30) + 1 + BEHIND)

    def first(x: Tensor, places: Tensor, *, size: int, margin: int) -> Merged:
        masses = torch.ones(len(x), kept, dtype=torch.long)
        masses[:, -1] += mass * (TOKENS - kept)
        return Merged(x[:, :kept] + places[:kept], masses)

    with patch("spinodal.shorten.whisper.merge", first), shortened(model) as report:
        yield report


@contextmanager
def tome(model: Any, seconds: float) -> Iterator[Any]:
    """Bipartite matching of even with odd tokens by the cosine of their keys, merged to means with masses."""

    def encoder_of(encoder: Any, size: int, margin: int, report: Any) -> Callable[..., Any]:
        def forward(input_features: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
            x = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(input_features)))).mT
            h = encoder.layers[0](x + encoder.embed_positions.weight, None)
            masses = torch.ones(1, h.shape[1])
            while h.shape[1] > TOME:
                h, masses = merge_likest(encoder, h, masses, max(TOME, (h.shape[1] + 1) // 2))
            report.add(masses[0].long().tolist())
            for layer in encoder.layers[1:]:
                h = layer(h, masses.log()[:, None, None])
            return BaseModelOutput(torch.cat([encoder.layer_norm(h), masses[..., None]], -1))  # pyright: ignore

        return forward

    with patch("spinodal.shorten.whisper._shorter_encoder", encoder_of), shortened(model) as report:
        yield report


def merge_likest(encoder: Any, h: Tensor, masses: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    layer = encoder.layers[1]
    keys = functional.normalize(layer.self_attn.k_proj(layer.self_attn_layer_norm(h)), dim=-1)[0]
    likeness, partner = (keys[::2] @ keys[1::2].mT).max(-1)
    gone = likeness.topk(h.shape[1] - kept).indices
    group = torch.arange(h.shape[1])
    group[2 * gone] = 2 * partner[gone] + 1
    _, group = group.unique(return_inverse=True)
    sums = torch.zeros(kept, h.shape[-1]).index_add_(0, group, (h * masses[..., None])[0])
    total = torch.zeros(kept).index_add_(0, group, masses[0])
    return (sums / total[:, None])[None], total[None]


FULL, EIGHT = Method("full", lambda model, seconds: nullcontext()), every(8)
METHODS = (
    FULL,
    Method("cut", lambda model, seconds: cut(model, seconds, mass=False)),
    Method("cut + mass", lambda model, seconds: cut(model, seconds, mass=True)),
    Method("ToMe-like", tome),
    every(4),
    EIGHT,
    every(16),
)


class Heard(NamedTuple):
    text: str
    tokens: float
    encoder: float
    seconds: float


@contextmanager
def clock(encoder: Any) -> Iterator[list[float]]:
    """CPU seconds of each call of the encoder."""
    began, taken = [], list[float]()
    with ExitStack() as hooks:
        before = encoder.register_forward_pre_hook(lambda *_: began.append(time.process_time()))
        after = encoder.register_forward_hook(lambda *_: taken.append(time.process_time() - began.pop()))
        hooks.callback(before.remove)
        hooks.callback(after.remove)
        yield taken


def hear(whisper: Recogniser, method: Method, samples: np.ndarray) -> Heard:
    with (
        method.context(whisper.model, len(samples) / RATE) as report,
        clock(whisper.model.model.encoder) as taken,
    ):
        began = time.process_time()
        text = recognise(whisper, samples, language="en")
        seconds = time.process_time() - began
    return Heard(text, TOKENS if report is None else report.kept, sum(taken), seconds)


def spoken(text: str) -> str:
    """A text with its digits and signs in words, as references have them or not."""
    for sign, word in {"#": " pound ", "*": " star ", "'": "", "’": ""}.items():
        text = text.replace(sign, word)
    return re.sub(r"(?<!\d)\d(?!\d)", lambda digit: DIGITS[int(digit[0])], re.sub(r"\b10\b", "ten", text))


def compared(
    whisper: Recogniser,
    methods: Sequence[Method],
    sounds: Sequence[np.ndarray],
    words: Sequence[str],
    **labels: Any,
) -> list[dict[str, Any]]:
    """A row a method: texts, tokens and seconds of all sounds; the methods take turns on each sound."""
    found: dict[str, list[Heard]] = {method.name: [] for method in methods}
    for i, samples in enumerate(sounds):
        for k in range(len(methods)):
            method = methods[(i + k) % len(methods)]
            found[method.name].append(hear(whisper, method, samples))
    full, references = found["full"], list(map(spoken, words))
    return [
        {
            **labels,
            "method": name,
            "sounds": len(heard),
            "mean length": float(np.mean([len(x) / RATE for x in sounds])),
            "same": sum(a.text == b.text for a, b in zip(full, heard, strict=True)),
            "differs from full": word_difference([a.text for a in full], [b.text for b in heard]),
            "word error rate": word_difference(references, [spoken(b.text) for b in heard]) if words else None,
            **{key: float(np.mean([getattr(b, key) for b in heard])) for key in ("tokens", "encoder", "seconds")},
        }
        for name, heard in found.items()
    ]  # fmt: skip


def every_kth(n: int) -> list[Any]:
    prompts = read_prompts()
    return list(prompts[:: len(prompts) // n][:n])


def voice(whisper: Recogniser, n: int, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    chosen, methods = every_kth(n), [m for m in METHODS if not names or m.name in ("full", *names)]
    return compared(whisper, methods, [p.samples for p in chosen], [p.words for p in chosen])


def lengths(whisper: Recogniser, n: int) -> list[dict[str, Any]]:
    prompts, rows = [p.samples for p in read_prompts(least=1.0, most=6.0)], []
    for seconds in (2, 5, 10, 20, 30):
        joined = np.concatenate([x for k in range(max(2, n // 12)) for x in prompts[k::7][:30]])
        sounds = [joined[k * seconds * RATE : (k + 1) * seconds * RATE] for k in range(max(2, n // 12))]
        rows += compared(whisper, (FULL, EIGHT), sounds, (), length=f"{seconds} s")
    return rows


def batches(whisper: Recogniser, n: int) -> list[dict[str, Any]]:
    waves, rows = [p.samples for p in every_kth(38)[:8]], []
    single = [whisper.features(x, sampling_rate=RATE, return_tensors="pt").input_features for x in waves]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for b in (1, 8):
            texts: dict[str, list[str]] = {}
            for method in (FULL, EIGHT):
                began, wall = time.process_time(), time.perf_counter()
                with method.context(whisper.model, 0.0), torch.no_grad():
                    made = [
                        whisper.model.generate(
                            torch.cat(single[k : k + b]), language="<|en|>", task="transcribe"
                        )
                        for k in range(0, 8, b)
                    ]
                row = {"threads": threads, "batch": b, "method": method.name}
                row |= {
                    "seconds": (time.process_time() - began) / 8,
                    "wall": (time.perf_counter() - wall) / 8,
                }
                texts[method.name] = [
                    whisper.tokenizer.decode(ids, skip_special_tokens=True) for some in made for ids in some
                ]
                row["same"] = sum(a == b for a, b in zip(texts["full"], texts[method.name], strict=True))
                rows.append(row)
    torch.set_num_threads(1)
    return rows


def noise(whisper: Recogniser, n: int) -> list[dict[str, Any]]:
    generator, chosen, rows = np.random.default_rng(0), every_kth(max(4, n // 4)), []

    def white(size: int) -> np.ndarray:
        return generator.standard_normal(size)

    def office(size: int) -> np.ndarray:
        """Pink noise and mains hum: what fans and lamps of an office sound like; made, not recorded."""
        spectrum = np.fft.rfft(generator.standard_normal(size))
        pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), size)
        hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(size) / RATE) / k for k in (1, 2, 3))
        return pink / pink.std() + hum

    def noisy(x: np.ndarray, make: Callable[[int], np.ndarray], decibels: float, size: int) -> np.ndarray:
        whole, added = np.zeros(size), make(size)
        whole[: len(x)] = x
        return whole + added * x.std() / added.std() * 10 ** (-decibels / 20)

    for kind, make in (("white", white), ("office", office)):
        for decibels in (20, 10, 5):
            sounds = [noisy(p.samples, make, decibels, len(p.samples)) for p in chosen]
            rows += compared(
                whisper, (FULL, EIGHT), sounds, [p.words for p in chosen], noise=f"{kind}, {decibels} dB"
            )
    sounds = [noisy(p.samples, office, 20, 30 * RATE) for p in chosen[: max(4, n // 8)]]
    texts = [p.words for p in chosen[: len(sounds)]]
    return rows + compared(whisper, (FULL, EIGHT), sounds, texts, noise="office, 20 dB, to the end of 30 s")


def voices(whisper: Recogniser, n: int) -> list[dict[str, Any]]:
    if shutil.which("espeak-ng") is None:
        print("voices: espeak-ng is not installed")
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in VOICES:
            sounds = []
            for text in SENTENCES:
                subprocess.run(["espeak-ng", "-v", name, "-w", f"{folder}/spoken.wav", text], check=True)
                sounds.append(sound_of(Path(folder) / "spoken.wav"))
            rows += compared(whisper, (FULL, EIGHT), sounds, SENTENCES, voice=name)
    return rows


PARTS = {"voice": voice, "lengths": lengths, "batches": batches, "noise": noise, "voices": voices}


def table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        cells = (
            f"{v:.0f}" if name == "tokens" else f"{v:.3f}" if isinstance(v, float) else str(v)
            for name, v in row.items()
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--methods", nargs="+", choices=[m.name for m in METHODS], default=[], help="of voice"
    )
    parser.add_argument("--prompts", type=int, default=38)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="voice alone, of 6 prompts")
    asked = parser.parse_args()
    parts, n = (["voice"], 6) if asked.quick else (asked.part, asked.prompts)
    torch.set_num_threads(1)
    whisper = open_recogniser("whisper-base")
    whisper.model.generation_config.max_length = 124
    recognise(whisper, read_prompts()[0].samples, language="en")  # what the first pass of a process costs
    report = {}
    for part in parts:
        report[part] = voice(whisper, n, asked.methods) if part == "voice" else PARTS[part](whisper, n)
        if report[part]:
            print(f"{part}\n{table(report[part])}\n", flush=True)
    if asked.json:
        Path(asked.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
