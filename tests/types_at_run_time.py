"""Types and shapes of the package's functions, checked while tests run: jaxtyping with beartype.

A check costs more than many a short function, and what holds for the first calls in a test holds for the next ten
thousand: in each test the first `CALLS` calls of every function are checked. A check is made when its function is first
called, since most of what a worker imports it never calls.
"""

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from types import FunctionType
from typing import Any

import jaxtyping
from jaxtyping import _decorator, install_import_hook

PACKAGE = Path(__file__).parent.parent / "spinodal"
# transformers rebuilds configurations from their signature, which the hook would hide
UNCHECKED = {"spinodal.models.configuration"}
CALLS = 2

jaxtyped: Callable[..., Any] = jaxtyping.jaxtyped
tests = 0  # that have begun


def begin_test() -> None:
    """Calls are counted from here."""
    global tests
    tests += 1


def checked_at_first(function: Any = None, *, typechecker: Callable) -> Any:
    """`jaxtyping.jaxtyped`, of a function the first calls of a test alone."""
    if function is None:
        return partial(checked_at_first, typechecker=typechecker)
    if not isinstance(function, FunctionType):
        return jaxtyped(function, typechecker=typechecker)  # which comes back for what functions it has
    checked, test, calls = None, 0, 0

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        nonlocal checked, test, calls
        if test != tests:
            test, calls = tests, 0
        if calls == CALLS or hasattr(function, "__no_type_check__"):
            return function(*args, **options)
        calls += 1
        checked = checked or jaxtyped(function, typechecker=typechecker)
        return checked(*args, **options)

    return call


def install() -> None:
    """Every module of the package that is imported from here on is checked."""
    jaxtyping.jaxtyped = _decorator.jaxtyped = checked_at_first
    modules = {
        ".".join(("spinodal", *file.relative_to(PACKAGE).with_suffix("").parts))
        for file in PACKAGE.rglob("*.py")
    }
    install_import_hook(sorted(modules - UNCHECKED), "beartype.beartype")
