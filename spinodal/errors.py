"""One error for what the user gave wrong, so that the command line can print it as a sentence."""


class InputError(ValueError):
    """A value that the caller gave is wrong; the message names it and says what would be right.

    `fields` are the arguments that the message speaks of, written there in backquotes: the command line shows each
    as its option, `overwrite` as --overwrite.
    """

    def __init__(self, message: str, *, field: str | tuple[str, ...] = ()):
        super().__init__(message)
        self.fields = (field,) if isinstance(field, str) else field


class ConvergenceError(RuntimeError):
    """A solver stopped before its tolerance; the message says how far it got."""


class ScoringError(RuntimeError):
    """A model was trained and saved, but measuring it failed; the message says how to measure it again."""

    fields = ("resume",)
