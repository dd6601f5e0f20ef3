"""What was heard: texts of the full and of the shortened model, with the tokens and the seconds of both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from spinodal.results import Result
from spinodal.runs import UNSAVED
from spinodal.scores import edit_distance
from spinodal.shorten.experiment import Transcription


@dataclass(frozen=True)
class Transcript:
    """One sound. `merged` are the times, in seconds from its start, of what was computed as heavier tokens.

    `tokens` and `kept` are those of its windows, counted once where the model reads them twice to detect a language.
    """

    name: str
    seconds: float
    full: str
    short: str
    full_cpu: float
    short_cpu: float
    tokens: int
    kept: int
    merged: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Trial:
    """A size that the search tried, its margin, and the share of words that differ."""

    size: int
    margin: int
    word_difference: float


@dataclass(frozen=True, repr=False)
class TranscriptionResult(Result):
    """Transcripts with silence merged `size` by `size`, and what the search for that size tried, if there was one."""

    model: str
    size: int
    margin: int
    sounds: tuple[Transcript, ...]
    tried: tuple[Trial, ...] = ()
    experiment: Transcription | None = field(default=None, repr=False, metadata=UNSAVED)

    @property
    def same(self) -> int:
        """How many texts are the same, letter by letter."""
        return sum(sound.full == sound.short for sound in self.sounds)

    @property
    def word_difference(self) -> float:
        """Insertions, deletions and substitutions of words, as a share of the words of the full model."""
        return word_difference([s.full for s in self.sounds], [s.short for s in self.sounds])

    @property
    def summary(self) -> str:
        tokens, kept = (sum(getattr(s, name) for s in self.sounds) for name in ("tokens", "kept"))
        full, short = (sum(getattr(s, name) for s in self.sounds) for name in ("full_cpu", "short_cpu"))
        return (
            f"size {self.size}, margin {self.margin}: {self.same} of {len(self.sounds)} texts are the same, "
            f"{self.word_difference:.1%} of the words differ; {kept:,} of {tokens:,} tokens, {short:.2f} CPU s for "
            f"{full:.2f}, {full / short:.1f} times less"
        )


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


def word_difference(references: Sequence[str], texts: Sequence[str]) -> float:
    """Insertions, deletions and substitutions of words over the words of all references.

    Of references that are right this is the word error rate.
    """
    edits = sum(edit_distance(words(b), words(a)) for a, b in zip(references, texts, strict=True))
    return edits / max(1, sum(len(words(a)) for a in references))
