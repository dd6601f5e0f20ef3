"""Names that the user gives: one of a list, or an error with the nearest of them."""

import difflib
from collections.abc import Iterable

from spinodal.errors import InputError, require_type


def require_known(what: str, name: str, names: Iterable[str]) -> str:
    """The name, where it is one of `names`; else an InputError that suggests the nearest of them."""
    names = list(names)
    require_type(what, name, str)
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise InputError(f"`{what}` {name!r} is none of {', '.join(map(repr, names))}{hint}", field=what)
    return name
