"""SIGINT (Ctrl-C) and SIGTERM: noted when they come, acted on between two steps, so that a state is saved."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

DEFAULT = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@contextlib.contextmanager
def watch_signal(number: signal.Signals) -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether the signal `number` has come; a second one acts at once.

    Outside the main thread, or where the process has a handler of its own for the signal, no handler is
    installed, and the function returns False.
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
