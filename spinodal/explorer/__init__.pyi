from .page import explorer_page
from .reading import read_recording, recording_of
from .recording import Moment, Recording

__all__ = ["Moment", "Recording", "explorer_page", "read_recording", "recording_of"]
