from .tokens import Merged, group_starts, merge
from .whisper import Shortening, shortened

__all__ = ["Merged", "Shortening", "group_starts", "merge", "shortened"]
