"""Sources: the model or the arrays that a name stands for, and inputs from texts, sounds and pictures."""

import functools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from spinodal.data import PINNED_MODELS, decode_text, fetch_model, file_text, read_corpus
from spinodal.data.files import JSON_LINES, text_suffix
from spinodal.errors import InputError
from spinodal.models import unreadable_reason
from spinodal.types import Trajectory
from spinodal.watch.arrays import READERS, read_trajectory
from spinodal.watch.experiment import Arrays, Image, Sound, Texts, TrainedModel
from spinodal.watch.sound import sound_batches, sound_of
from spinodal.watch.subject import Inputs, Subject, open_model, text_batches

TEXTS = {
    ".txt", ".text", ".md", ".rst", ".csv", ".tsv", ".json", *JSON_LINES, ".log", ".tex", ".html", ".xml", ".py",
    ".dat", ".smi", ".srt", ".doc", ".docx", ".odt", ".pdf",
}  # fmt: skip
MOST = 256  # lines of a text that are read


def source_named(
    name: str,
    *,
    text: str = "",
    sound: Path | None = None,
    image: Path | None = None,
    most: int = MOST,
    truncate: bool = False,
    depth: int | None = None,
) -> TrainedModel | Arrays:
    """The source of a name: arrays, if it is a file of them, else a model with a text, a sound or an image.

    `text` is one text, or a file (or "-", standard input) with one a line, of which the first `most` are read.
    """
    if most < 1:
        raise InputError(f"`inputs` {most}: at least one input", field="inputs")
    path = Path(name)
    if path.suffix in READERS and not path.exists():
        raise InputError(f"{name}: there is no such file of arrays")
    if holds_arrays(name):
        asked = {
            "text": text, "sound": sound, "image": image, "truncate": truncate, "depth": depth is not None,
            "inputs": most != MOST,
        }  # fmt: skip
        if ignored := [option for option, value in asked.items() if value]:
            raise InputError(f"{name} holds arrays: `{ignored[0]}` is for models that run", field=ignored[0])
        found = read_trajectory(path)
        return Arrays(path.name, found.times.numpy(), found.tokens.numpy(), found.valid.numpy())
    if sum(map(bool, (text, sound, image))) > 1:
        raise InputError(
            "a model reads one thing: give `text`, `sound` or `image`", field=("text", "sound", "image")
        )
    if sound is not None:
        return TrainedModel(name, Sound(sound_of(sound).astype(float)), depth)
    if image is not None:
        return TrainedModel(name, Image(image_of(image)), depth)
    return TrainedModel(name, Texts(lines_of(text, most), truncate), depth)


def holds_arrays(name: str) -> bool:
    """Whether a name is that of a file of arrays, which reads no text and no sound."""
    path = Path(name)
    return path.suffix in READERS and path.is_file()


def lines_of(text: str, most: int = MOST) -> tuple[str, ...]:
    """The first `most` nonblank lines of the file `text`, or of standard input for "-"; else (text,) itself.

    Lines end at \\n, \\r\\n or \\r, and nowhere else; of JSON lines the field "text" is read, each a text.
    InputError for a folder, and for what looks like the path of a file that does not exist.
    """
    if not text:
        raise InputError(
            'nothing to observe: give `text` "...", `text` FILE, `sound` FILE.wav or `image` FILE.png',
            field=("text", "sound", "image"),
        )
    if text == "-":
        lines = _split(_read_once(sys.stdin))
    elif len(text) < 4096 and os.path.isdir(text):
        raise InputError(f"`text` {text} is a folder: give a file of it, or a text", field="text")
    elif len(text) < 4096 and os.path.isfile(text):
        path = Path(text)
        lines = read_corpus(path).texts if text_suffix(path) in JSON_LINES else _split(file_text(path))
    elif _looks_like_a_path(text):
        raise InputError(f"`text` {text}: there is no such file", field="text")
    else:
        return (text,)
    lines = tuple(line for line in lines if line.strip())[:most]
    if not lines:
        raise InputError(f"`text` {text}: there is no line that is not blank", field="text")
    return lines


def _split(whole: str) -> Sequence[str]:
    return re.split("\r\n|\r|\n", whole)


@functools.lru_cache(maxsize=1)
def _read_once(stream: Any) -> str:
    """All of standard input, which several models read, decoded as a file is."""
    buffer = getattr(stream, "buffer", None)
    return (
        stream.read().removeprefix("\ufeff")
        if buffer is None
        else decode_text(buffer.read(), "standard input")
    )


def _looks_like_a_path(text: str) -> bool:
    """Whether a text without line ends looks like a path: by its suffix, its start or an existing folder."""
    if "\n" in text or len(text) > 4096:
        return False
    path = Path(text)
    if text_suffix(path) in TEXTS or path.suffix == ".gz" or text.startswith(("/", "./", "../", "~")):
        return True
    if " " in text or len(path.parts) < 2:
        return text.endswith(("/", os.sep)) and " " not in text
    return path.parent.is_dir() or re.fullmatch(r"[\w.-]+(/[\w.-]+)*/[\w-]+\.\w{1,5}", text) is not None


def open_subject(name: str, *, depth: int | None = None) -> Subject:
    """The subject of a pinned model's name, a folder, or a hub's name, in this order."""
    if name in PINNED_MODELS and not Path(name).exists():
        return open_model(fetch_model(name), name=name, depth=depth)
    if not Path(name).exists() and name.startswith((".", "/")):
        raise InputError(f"there is no folder {name}")
    return open_model(name, name=Path(name).name, depth=depth)


def batches_of(subject: Subject, source: TrainedModel) -> list[Inputs]:
    """The inputs of a source as its model takes them."""
    if isinstance(source.inputs, Texts):
        return text_batches(subject, source.inputs.lines, truncate=source.inputs.truncate)
    from transformers import AutoFeatureExtractor, AutoImageProcessor

    place = fetch_model(source.name) if source.name in PINNED_MODELS else Path(source.name)
    if isinstance(source.inputs, Image):
        try:
            processor = AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
        except Exception as error:  # a damaged file makes the libraries raise nearly anything
            raise InputError(
                f"{subject.name} does not say how it sees: {unreadable_reason(error)}"
            ) from error
        return [
            {"pixel_values": processor(images=[source.inputs.pixels], return_tensors="pt")["pixel_values"]}
        ]
    try:
        features = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False)
    except Exception as error:  # a damaged file makes the libraries raise nearly anything
        raise InputError(f"{subject.name} does not say how it hears: {unreadable_reason(error)}") from error
    return sound_batches(subject, [source.inputs.samples], features)


def image_of(path: Path) -> UInt8[np.ndarray, "y x 3"]:
    """Red, green and blue of a picture's pixels. InputError for a file that is none."""
    from PIL import Image as Picture

    try:
        with Picture.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no picture: {error}", field="image") from error


def reading_part(subject: Subject, source: TrainedModel) -> Subject:
    """The tower of a model of texts and images (CLIP) that reads the source; any other model as it is."""
    model, sees = subject.model, isinstance(source.inputs, Image)
    towers = {name: getattr(model, name, None) for name in ("vision_model", "text_model")}
    if isinstance(source.inputs, Sound) or not all(isinstance(tower, nn.Module) for tower in towers.values()):
        if sees and getattr(model, "main_input_name", "") == "input_ids":
            raise InputError(f"{subject.name} reads text: it has no place for an `image`", field="image")
        return subject
    tower: Any = towers["vision_model" if sees else "text_model"]
    return subject._replace(model=tower.eval())


def trajectory_of(arrays: Arrays) -> Trajectory:
    """The arrays as a `Trajectory` of torch tensors."""
    return Trajectory(*map(torch.from_numpy, (arrays.times, arrays.tokens, arrays.valid)))
