"""Speech: a Whisper with what it reads and writes, sounds of files, and both transcripts of each."""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spinodal.data import PINNED_MODELS, fetch_model
from spinodal.errors import InputError
from spinodal.models import unreadable_reason
from spinodal.shorten.experiment import Transcription
from spinodal.shorten.result import Transcript, TranscriptionResult, Trial, word_difference
from spinodal.shorten.whisper import SECONDS, Shortening, shortened
from spinodal.types import Progress
from spinodal.watch import open_model, sound_of

SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
SIZES = (64, 32, 16, 8, 4, 2)  # that a search tries, the largest first
MOST = 448  # tokens that are written, where a model does not say
RATE = 16_000
START, TRANSCRIBE, TRANSLATE = "<|startoftranscript|>", "<|transcribe|>", "<|translate|>"
NO_TIMES = "<|notimestamps|>"  # the last mark before those of times
Wave = np.ndarray  # [t], 16,000 numbers a second in [-1, 1]; of many, each of its own length


class Recogniser(NamedTuple):
    """A Whisper in evaluation mode, its features of sound, and its tokenizer."""

    model: Any
    features: Any
    tokenizer: Any


def open_recogniser(name: str) -> Recogniser:
    """The Whisper of a pinned model's name, a folder or a hub's name; InputError for a model of another kind.

    Marks of languages and tasks that its generation configuration lacks are those of its tokenizer.
    """
    from transformers import AutoFeatureExtractor

    place = fetch_model(name) if name in PINNED_MODELS and not Path(name).exists() else Path(name)
    if not place.exists() and name.startswith((".", "/")):
        raise InputError(f"there is no folder {name}")
    subject = open_model(place, name=name)
    model: Any = subject.model
    if type(model).__name__ != "WhisperForConditionalGeneration":
        raise InputError(
            f"{name} is a {type(model).__name__}: silence is merged for Whisper, which writes what it hears"
        )
    if subject.tokenizer is None:
        raise InputError(f"{name} has no tokenizer: it writes no words")
    try:
        features = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False)
    except Exception as error:  # a damaged file makes the libraries raise nearly anything
        raise InputError(f"{name} does not say how it hears: {unreadable_reason(error)}") from error
    bands = getattr(features, "feature_size", None)
    if bands != model.config.num_mel_bins:
        raise InputError(f"{name} reads {model.config.num_mel_bins} mel bands, and its features have {bands}")
    _complete_generation(name, model.generation_config, subject.tokenizer)
    return Recogniser(model, features, subject.tokenizer)


def _complete_generation(name: str, config: Any, tokenizer: Any) -> None:
    if hasattr(config, "no_timestamps_token_id"):
        return
    ids = tokenizer.get_vocab()
    if missing := [mark for mark in (START, TRANSCRIBE, TRANSLATE, NO_TIMES) if mark not in ids]:
        raise InputError(f"the tokenizer of {name} has no {', '.join(missing)}: it is none of Whisper")
    first, last = ids[START] + 1, min(ids[TRANSCRIBE], ids[TRANSLATE])
    config.lang_to_id = {token: i for token, i in ids.items() if first <= i < last}
    config.task_to_id = {"transcribe": ids[TRANSCRIBE], "translate": ids[TRANSLATE]}
    config.no_timestamps_token_id = ids[NO_TIMES]
    config.is_multilingual = True
    config.max_initial_timestamp_index = 50
    config.max_length = config.max_length or MOST


@torch.no_grad()
def recognise(
    recogniser: Recogniser,
    samples: Wave,
    *,
    language: str | None = None,
    windows: bool = False,
) -> str:
    """The words of a sound (16 kHz), greedily; window by window where it is longer than 30 s and `windows` is True.

    InputError for a language that the model does not know, for a sound that is empty, not finite or of several
    channels, and for a longer one without windows, or with a model that has no marks of times.
    """
    check_sound("the sound", samples, windows=windows)
    model, options = recogniser.model, dict[str, Any](do_sample=False, num_beams=1)
    if language is not None:
        check_language(recogniser, language)
    if _multilingual(recogniser):
        options |= {"task": "transcribe", "language": None if language is None else f"<|{language}|>"}
    if len(samples) > SECONDS * RATE:
        check_times(recogniser)
        made = recogniser.features(
            samples, sampling_rate=RATE, return_tensors="pt", truncation=False, padding="longest",
            return_attention_mask=True,
        )  # fmt: skip
        options |= {"attention_mask": made.attention_mask, "return_timestamps": True}
    else:
        made = recogniser.features(samples, sampling_rate=RATE, return_tensors="pt")
    ids = model.generate(made.input_features.to(model.device, model.dtype), **options)
    return recogniser.tokenizer.decode(ids[0], skip_special_tokens=True).strip()


def _multilingual(recogniser: Recogniser) -> bool:
    return bool(getattr(recogniser.model.generation_config, "is_multilingual", False))


def check_language(recogniser: Recogniser, language: str) -> None:
    marks = recogniser.model.generation_config.lang_to_id if _multilingual(recogniser) else ["<|en|>"]
    known = [mark[2:-2] for mark in marks]
    if language not in known:
        raise InputError(f"`language` {language!r}: one of {', '.join(sorted(known))}", field="language")


def check_sound(name: str, samples: Wave, *, windows: bool) -> None:
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise InputError(
            f"{name} is {samples.dtype} {samples.shape}: one channel is needed, floats in [-1, 1], {RATE:,} a second"
        )
    if not len(samples):
        raise InputError(f"{name} is empty")
    if not np.isfinite(samples).all():
        raise InputError(f"a sample of {name} is not finite")
    seconds = len(samples) / RATE
    if seconds > SECONDS and not windows:
        raise InputError(
            f"{name} is {seconds:.1f} s long, and Whisper reads {SECONDS:g} s at a time: `windows` reads it window by "
            "window",
            field="windows",
        )


def check_times(recogniser: Recogniser) -> None:
    model = recogniser.model
    if model.config.vocab_size <= model.generation_config.no_timestamps_token_id + 1:
        raise InputError(
            f"a sound is longer than {SECONDS:g} s, and this model writes no times to read windows by"
        )


def sound_files(places: Sequence[str]) -> list[Path]:
    """Files of sound: those that are named, and those in the folders that are named, by name."""
    found: list[Path] = []
    for place in map(Path, places):
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(file for file in place.iterdir() if file.suffix.lower() in SOUNDS)
        if not inside:
            raise InputError(f"`sound` {place}: there is no file of sound in it", field="sound")
        found += inside
    return found


def compare_transcripts(asked: Transcription, progress: Progress | None = None) -> TranscriptionResult:
    """Both transcripts of every sound; with a tolerance those of the largest size that keeps it."""
    files = sound_files(asked.sounds)
    waves = [sound_of(file) for file in files]
    for file, wave in zip(files, waves, strict=True):
        check_sound(str(file), wave, windows=asked.windows)
    recogniser = open_recogniser(asked.model)
    if any(len(wave) > SECONDS * RATE for wave in waves):
        check_times(recogniser)
    if asked.language is not None:
        check_language(recogniser, asked.language)
    plans = [(asked.size, asked.margin)]
    if asked.tolerance is not None:
        plans = [*((size, asked.margin) for size in SIZES), (1, 0)]
    with shortened(recogniser.model, *plans[0]):  # refuses the model and the size before the first pass
        pass
    recognise(recogniser, waves[0][:RATE], language=asked.language)  # what the first pass of a process costs
    steps = _Steps(progress, len(waves) * (1 + len(plans)))
    options: dict[str, Any] = {"language": asked.language, "windows": asked.windows}
    full = [_timed(recogniser, wave, None, **options) for wave in steps.through(waves)]
    tried: list[Trial] = []
    for size, margin in plans:
        short = [_timed(recogniser, wave, (size, margin), **options) for wave in steps.through(waves)]
        difference = word_difference([text for text, _, _ in full], [text for text, _, _ in short])
        tried.append(Trial(size, margin, difference))
        if asked.tolerance is None or difference <= asked.tolerance or size == 1:
            break
    steps.finish()
    detects = asked.language is None and _multilingual(recogniser)
    sounds = tuple(
        _transcript(file.name, wave, one, other, detects=detects)
        for file, wave, one, other in zip(files, waves, full, short, strict=True)
    )
    return TranscriptionResult(
        asked.model, size, margin, sounds, tuple(tried) if asked.tolerance is not None else (), asked
    )


class _Steps:
    """Tells how many passes are done, and at the end that none are left."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.done, self.total = progress, 0, total

    def through(self, waves: Sequence[Wave]) -> Iterator[Wave]:
        for wave in waves:
            yield wave
            self.done += 1
            if self.progress:
                self.progress(self.done, self.total)

    def finish(self) -> None:
        if self.progress and self.done < self.total:
            self.progress(self.total, self.total)


Timed = tuple[str, float, Shortening | None]  # text, CPU seconds, and what was merged


def _timed(recogniser: Recogniser, wave: Wave, plan: tuple[int, int] | None, **options: Any) -> Timed:
    with nullcontext() if plan is None else shortened(recogniser.model, *plan) as report:
        began = time.process_time()
        text = recognise(recogniser, wave, **options)
        return text, time.process_time() - began, report


def _transcript(name: str, wave: Wave, full: Timed, short: Timed, *, detects: bool) -> Transcript:
    """Windows that were encoded to detect a language, the first one, are not counted."""
    report = short[2]
    assert report is not None
    windows = list(report.masses)[int(detects) :]
    return Transcript(
        name, len(wave) / RATE, full[0], short[0], full[1], short[1],
        sum(map(sum, windows)), sum(map(len, windows)), merged_times(windows[0]) if len(windows) == 1 else (),
    )  # fmt: skip


def merged_times(masses: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """The spans of a window's tokens that were merged, in seconds."""
    ends = (np.cumsum([0, *masses]) * SECONDS / sum(masses)).tolist()
    spans: list[tuple[float, float]] = []
    for (a, b), mass in zip(pairwise(ends), masses, strict=True):
        if mass > 1 and spans and spans[-1][1] == a:
            spans[-1] = (spans[-1][0], b)
        elif mass > 1:
            spans.append((a, b))
    return tuple(spans)
