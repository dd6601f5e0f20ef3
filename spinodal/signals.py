"""Ctrl-C and SIGTERM between two steps: noticed where the state is whole, so that it can be saved first."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

DEFAULT = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@contextlib.contextmanager
def watch_signal(number: signal.Signals) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM has come; the second one acts at once.

    Outside the main thread, or where the process handles the signal itself, nothing changes.
    """
    asked: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(number) is not DEFAULT[number]:
        yield lambda: False
        return

    def note(number: int, frame: object) -> None:
        asked.append(number)
        restore()

    def restore() -> None:
        signal.signal(number, DEFAULT[number])

    signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        restore()
