from .component import Players, players
from .page import explorer_page
from .reading import read_recording, recording_of
from .recording import Moment, Recording

__all__ = [
    "Moment",
    "Players",
    "Recording",
    "explorer_page",
    "players",
    "read_recording",
    "recording_of",
]
