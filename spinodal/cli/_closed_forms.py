"""The closed forms of `spinodal theory`, by their names."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from spinodal import theory
from spinodal.errors import InputError


def forms() -> dict[str, Callable[..., Any]]:
    """Every closed form of `spinodal.theory` that takes numbers alone."""
    found = {name: getattr(theory, name) for name in sorted(theory.__all__)}
    return {name: f for name, f in found.items() if takes_numbers(f)}


def takes_numbers(form: Any) -> bool:
    """Whether it is a function, and of no matrix."""
    if not inspect.isfunction(form):
        return False
    parameters = inspect.signature(form).parameters.values()
    return all(len(getattr(p.annotation, "dims", ())) < 2 for p in parameters)


def chosen(name: str) -> Callable[..., Any]:
    form = getattr(theory, name) if name in theory.__all__ else None  # loads the file of this one only
    if form is not None and takes_numbers(form):
        return form
    near = difflib.get_close_matches(name, forms(), n=3)
    raise InputError(f"unknown closed form {name!r}; {' or '.join(near) or '`spinodal theory` shows all'}")
