"""One error for what the user gave wrong, so that the command line can print it as a sentence."""


class InputError(ValueError):
    """Names the wrong value and the way out; the command line prints it without a traceback."""


class ConvergenceError(RuntimeError):
    """A solver stopped before its tolerance; the message says how far it got."""


class ScoringError(RuntimeError):
    """A model was trained and saved, but measuring it failed; the message says how to measure it again."""
