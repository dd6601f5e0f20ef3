"""Worker processes of a comparison: none outlives the process that started it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Ends this worker process when its parent process ends, however that ends.

    A parent that is killed cannot tell its workers, and those would finish their runs, hold their locks and wait for
    ever. A run that is cut off so goes on from its newest whole checkpoint. Does nothing in a process without parent.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
