"""On how many threads a computation runs: torch's number, `torch.set_num_threads` is the one place to choose it.

Loops run on that many, and the record of a run names it.
"""

import os
import sys


def threads() -> int:
    """Of torch, or what torch would begin with: OMP_NUM_THREADS, or the cores that this process may use."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else usable_cores()


def usable_cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
