"""Errors whose messages are sentences for the user, and checks of the types of arguments."""

from numbers import Integral, Real


class InputError(ValueError):
    """A value that the caller gave is wrong; the message names it and says what would be right.

    `fields` are the arguments that the message speaks of, written there in backquotes: the command line shows each
    as its option, `overwrite` as --overwrite.
    """

    def __init__(self, message: str, *, field: str | tuple[str, ...] = ()):
        super().__init__(message)
        self.fields = (field,) if isinstance(field, str) else field


class ConvergenceError(RuntimeError):
    """A solver stopped before its tolerance; the message says how far it got, and `fields` are as in InputError."""

    def __init__(self, message: str, *, field: str | tuple[str, ...] = ()):
        super().__init__(message)
        self.fields = (field,) if isinstance(field, str) else field


class TerminationError(RuntimeError):
    """A signal ended the work after its state was saved; the message says how to go on."""

    fields = ("resume",)


class ScoringError(RuntimeError):
    """A model was trained and saved, but measuring it failed; the message says how to measure it again."""

    fields = ("resume",)


WORDS = {
    Integral: "a whole number",
    Real: "a number",
    str: "a text",
    tuple: "a tuple",
    bool: "True or False",
    type(None): "None",
}


def require_type(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    """InputError unless the argument `name` is of type `kind`, or of one of several; True is no number."""
    several = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, several) or (isinstance(value, bool) and bool not in several):
        wanted = " or ".join(WORDS.get(one, one.__name__) for one in several)
        line = " ".join(part.strip() for part in repr(value).splitlines())  # arrays have several
        raise InputError(f"`{name}` {line}: {wanted} is needed", field=name)


def require_types(value: object, **kinds: type | tuple[type, ...]) -> None:
    """`require_type` of the attributes of `value` that `kinds` names, each with its type or types."""
    for name, kind in kinds.items():
        require_type(name, getattr(value, name), kind)
