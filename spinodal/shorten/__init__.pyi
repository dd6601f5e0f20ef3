from .experiment import Transcription, transcribe
from .result import Transcript, TranscriptionResult, Trial, word_difference, words
from .speech import Recogniser, open_recogniser, recognise
from .tokens import Merged, group_starts, merge
from .whisper import Shortening, shortened

__all__ = [
    "Merged",
    "Recogniser",
    "Shortening",
    "Transcript",
    "Transcription",
    "TranscriptionResult",
    "Trial",
    "group_starts",
    "merge",
    "open_recogniser",
    "recognise",
    "shortened",
    "transcribe",
    "word_difference",
    "words",
]
