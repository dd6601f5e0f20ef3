"""A transcription as a value: which Whisper hears which sounds, and how silence is merged.

from spinodal.shorten import Transcription, transcribe
print(transcribe(Transcription("whisper-base", ("speech.wav",))).summary)
"""

from dataclasses import dataclass, field
from numbers import Integral, Real

from spinodal import shorten
from spinodal.errors import InputError, require_type, require_types
from spinodal.runs import SAVED_IF_SET
from spinodal.types import Progress

HEAVIEST = 256  # tokens that one may stand for: the largest whole number up to which bfloat16 holds all


def check_merging(size: int, margin: int) -> None:
    """InputError unless `size` is a whole number from 1 to 256 and `margin` one of 0 or more."""
    require_type("size", size, Integral)
    require_type("margin", margin, Integral)
    if not 1 <= size <= HEAVIEST:
        raise InputError(f"`size` {size}: must be from 1 to {HEAVIEST}", field="size")
    if margin < 0:
        raise InputError(f"`margin` {margin}: must be >= 0", field="margin")


@dataclass(frozen=True)
class Transcription:
    """A name of `data.PINNED_MODELS`, a folder or a hub's name of a Whisper, and files or folders of sound.

    `size` and `margin` are those of `shortened`; with a `tolerance` the largest of the sizes 64, 32, ... 2, 1 is
    searched whose words differ from the full model's by no more, as a share of these. `language` is a tag such as "en";
    None lets the model detect it. Sounds longer than 30 s are refused unless `windows` reads them window by window.
    InputError for a tolerance outside [0, 1], and where there is no sound.
    """

    model: str
    sounds: tuple[str, ...]
    size: int = 8
    margin: int = 32
    tolerance: float | None = None
    language: str | None = field(default=None, metadata=SAVED_IF_SET)
    windows: bool = False

    def __post_init__(self):
        require_types(self, model=str, sounds=tuple, size=Integral, windows=bool)
        require_types(self, tolerance=(Real, type(None)), language=(str, type(None)))
        if not self.sounds or "" in self.sounds:
            raise InputError("nothing to hear: give `sound` FILE or FOLDER", field="sound")
        if self.size < 1:
            raise InputError(f"`size` {self.size}: must be at least 1", field="size")
        check_merging(self.size, self.margin)
        if self.tolerance is not None and not 0 <= self.tolerance <= 1:
            raise InputError(f"`tolerance` {self.tolerance:g}: a share from 0 to 1", field="tolerance")


def transcribe(
    experiment: Transcription, *, progress: Progress | None = None
) -> "shorten.TranscriptionResult":
    """What the model writes of each sound as it is and with silence merged, and the CPU seconds of both.

    `progress` is called with how many of the passes over sounds are done, and of how many. InputError for a model that
    cannot be opened or is no Whisper, a language that it does not know, and a sound that cannot be read, is
    empty, or is longer than 30 s where windows are not asked for: all before the first pass.
    """
    from spinodal.shorten import speech

    return speech.compare_transcripts(experiment, progress)
