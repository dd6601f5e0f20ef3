"""The number of threads of a computation: that of torch, to be set by `torch.set_num_threads`.

Compiled loops use the same number, and the record of a run states it.
"""

import os
import sys


def threads() -> int:
    """The number of threads of a computation: torch's, or before torch is loaded the one it would choose.

    That is OMP_NUM_THREADS, or else the number of cores that this process may use.
    """
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else usable_cores()


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
