from .component import Players, players
from .page import explorer_page
from .reading import read_recording, recording_of
from .recording import DensityRecording, Moment, Recording

__all__ = [
    "DensityRecording",
    "Moment",
    "Players",
    "Recording",
    "explorer_page",
    "players",
    "read_recording",
    "recording_of",
]
