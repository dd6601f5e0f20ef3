"""Sources: what a name, a text and a file of sound mean, and the models and inputs that they stand for."""

import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from spinodal.data import PINNED_MODELS, fetch_model
from spinodal.data.files import file_text
from spinodal.errors import InputError
from spinodal.types import Trajectory
from spinodal.watch.arrays import READERS, read_trajectory
from spinodal.watch.experiment import Arrays, Image, Sound, Texts, TrainedModel
from spinodal.watch.subject import Inputs, Subject, open_model, sound_batches, sound_of, text_batches

TEXTS = (".txt", ".text", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".log")
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
    """The source of a name: arrays, if it is a file of them, or else a model that reads a text or a file of sound.

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
    """The first lines that are not blank of a file, or of standard input if the name is "-"; or the text itself.

    Lines end where an editor has them end, at \\n, \\r\\n or \\r, and nowhere else. A path of no file is refused.
    """
    if not text:
        raise InputError(
            'nothing to observe: give `text` "...", `text` FILE, `sound` FILE.wav or `image` FILE.png',
            field=("text", "sound", "image"),
        )
    if text == "-":
        whole = _read_once(sys.stdin)
    elif len(text) < 4096 and os.path.isfile(text):
        whole = file_text(Path(text))
    elif _looks_like_a_path(text):
        raise InputError(f"`text` {text}: there is no such file", field="text")
    else:
        return (text,)
    lines = tuple(line for line in re.split("\r\n|\r|\n", whole) if line.strip())[:most]
    if not lines:
        raise InputError(f"`text` {text}: there is no line that is not blank", field="text")
    return lines


@functools.lru_cache(maxsize=1)
def _read_once(stream: Any) -> str:
    """All of a stream, which several models read."""
    return stream.read().removeprefix("\ufeff")


def _looks_like_a_path(text: str) -> bool:
    """An ending of texts, or a place in the file system; never a text of several lines."""
    if "\n" in text or len(text) > 4096:
        return False
    path = Path(text)
    if path.suffix.lower() in TEXTS or text.startswith(("/", "./", "../", "~")):
        return True
    return " " not in text and len(path.parts) > 1 and path.parent.is_dir()


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
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{subject.name} does not say how it sees: {error}") from error
        return [
            {"pixel_values": processor(images=[source.inputs.pixels], return_tensors="pt")["pixel_values"]}
        ]
    try:
        features = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{subject.name} does not say how it hears: {error}") from error
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
    """The trajectory that the arrays are."""
    return Trajectory(*map(torch.from_numpy, (arrays.times, arrays.tokens, arrays.valid)))
