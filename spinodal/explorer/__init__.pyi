from .component import Players, players
from .notebook import player_frame
from .page import explorer_page
from .reading import read_recording, recording_of
from .recording import DensityRecording, Moment, Recording

__all__ = [
    "DensityRecording",
    "Moment",
    "Players",
    "Recording",
    "explorer_page",
    "player_frame",
    "players",
    "read_recording",
    "recording_of",
]
