"""Why a saved model cannot be opened: one line, whatever the libraries raise."""

from pickle import UnpicklingError

from safetensors import SafetensorError

# What a folder that is damaged, foreign or no model makes the libraries raise
UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, UnpicklingError)


def unreadable_reason(error: Exception) -> str:
    """The reason in one line; code and pickles that come with a model are never run, and it says so."""
    if isinstance(error, UnpicklingError):
        return "its weights are a pickle that is damaged or holds more than arrays; nothing of it was run"
    if "trust_remote_code" in str(error):
        return "it needs code that comes with it, which is never run; a model that you open yourself can be observed"
    return " ".join((str(error) or type(error).__name__).split())[:400]
