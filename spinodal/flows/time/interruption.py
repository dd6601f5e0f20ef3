"""Ctrl-C between two steps: noticed where the state is whole, so that it can be saved first."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def watch_interruption() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether ctrl-C was pressed; the second time it interrupts at once.

    Outside the main thread, or where the process handles the signal itself, nothing changes.
    """
    asked: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return

    def note(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
