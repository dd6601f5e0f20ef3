r"""Sweeps: one function over many configurations, in parallel, and never twice.

Each result is a cell, FOLDER/cells/KEY.json, with
    KEY = sha256 of (function, sources it rests on, version of its package, configuration) as canonical JSON,
where the sources are those of the function's subpackage and of all that it imports (runs/sources.py). A cell
is written atomically: a killed sweep is resumed where it stopped, a finished one is only read, and after a
change of the code all cells are computed anew. Configurations and results are JSON values.

Cells are computed on dask.distributed: processes of this machine with one thread each, or any scheduler,
whose workers need this package installed and no access to the folder.
"""

import contextlib
import hashlib
import json
import math
import os
import queue
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spinodal.errors import InputError
from spinodal.runs.files import write_text
from spinodal.runs.sources import code
from spinodal.types import Progress

Function = Callable[[dict[str, Any]], Any]

ANSWER = 10.0  # seconds that a scheduler has to answer, and then to show a worker
LOST = 120.0  # seconds without any worker after which a sweep ends
CHECK = 5.0  # seconds between two looks at whether there is a worker
TICK = 0.2  # seconds between two looks at what workers say
CLOSING = 20.0  # seconds that local workers have to end
DEATHS = 10  # local workers that may die over an argument: killed by chance, a worker dies early over the same ones


def run(
    function: Function,
    configurations: Sequence[dict[str, Any]],
    folder: Path | str,
    *,
    scheduler: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> list[Any]:
    """[function(c) for c in configurations], each computed once and stored in `folder`.

    `function` belongs to a module, so that workers can import it, and returns what JSON can hold: lists, not
    arrays or tuples; a NaN or an infinity, which JSON lacks, comes back as None. `workers` is a number of processes,
    0 for one a core; with 1 the work stays in this process. `progress` is called with the cells that are done and all
    cells, after each. A cell that is damaged is computed again, with a warning.
    An exception of `function` ends the sweep and is raised here; cells that are done are kept.

    InputError for a scheduler that does not answer in ten seconds or has no workers, for a negative number of
    workers, and for a configuration that is not JSON; ChildProcessError when workers die.
    """
    if workers < 0:
        raise InputError(
            f"workers = {workers}: `workers` is a number of processes, or 0 for one a core", field="workers"
        )
    tag = code(function)
    keys = [key_of(function, tag, configuration) for configuration in configurations]
    cells = Path(folder) / "cells"
    results = {key: cell for key in set(keys) for cell in read(cells / f"{key}.json", key)}
    missing = {k: c for k, c in zip(keys, configurations, strict=True) if k not in results}
    total = len(set(keys))

    def show() -> None:
        if progress:
            progress(len(results), total)

    if missing:
        cells.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(compute_cells(function, missing, scheduler, workers, show)) as found:
            for key, result in found:
                results[key] = write(cells / f"{key}.json", key, missing[key], result)
                show()
    else:
        show()
    return [results[key] for key in keys]


def key_of(function: Function, tag: str, configuration: dict[str, Any]) -> str:
    name = f"{function.__module__}:{function.__qualname__}"
    try:
        text = canonical({"function": name, "code": tag, "configuration": configuration}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"configuration {configuration}: it must be JSON ({error})") from None
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any, *, allow_nan: bool = True) -> str:
    """JSON with sorted keys and no spaces. Cells of earlier versions have NaN and infinities, unlike JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=allow_nan)


def finite(value: Any) -> Any:
    """The result with None in the place of every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list | tuple) else value


def checksum(key: str, result: Any) -> str:
    return hashlib.sha256(f"{key}{canonical(result)}".encode()).hexdigest()


def read(path: Path, key: str) -> Iterator[Any]:
    """Yields the result of a stored cell; nothing if there is none or, with a warning, if it is damaged."""
    try:
        cell = json.loads(path.read_text())
        whole = cell["checksum"] == checksum(key, cell["result"])
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error}): remove it, and its cell is computed again"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        whole, cell = False, {}
    if whole:
        yield cell["result"]
    else:
        warnings.warn(f"{path} is damaged: its cell is computed again", stacklevel=3)


def damaged_cells(folder: Path) -> list[Path]:
    """The cells of a sweep that are not what was written."""
    damaged = []
    for path in sorted((folder / "cells").glob("*.json")):
        try:
            cell = json.loads(path.read_bytes())
            whole = cell["checksum"] == checksum(path.stem, cell["result"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            whole = False
        damaged += [] if whole else [path]
    return damaged


def write(path: Path, key: str, configuration: dict[str, Any], result: Any) -> Any:
    """Writes a cell, and returns its result as it will be read."""
    result = finite(result)
    cell = {"configuration": configuration, "result": result, "checksum": checksum(key, result)}
    text = json.dumps(cell, allow_nan=False)
    write_text(path, text)
    return json.loads(text)["result"]


def compute_cells(
    function: Function,
    missing: dict[str, dict[str, Any]],
    scheduler: str | None,
    workers: int,
    begin: Callable[[], object],
) -> Generator[tuple[str, Any], None, None]:
    """(key, result) of every missing cell, in the order in which they are done; `begin()` once workers are there."""
    if scheduler is None and 1 in (workers, len(missing)):
        begin()
        for key, configuration in missing.items():
            yield key, function(configuration)
    else:
        yield from compute(function, missing, scheduler=scheduler, workers=workers, begin=begin)


def compute(
    function: Callable[[Any], Any],
    arguments: Mapping[str, Any],
    *,
    scheduler: str | None = None,
    workers: int = 0,
    begin: Callable[[], object] = lambda: None,
    topic: str = "",
    hear: Callable[[Any], object] = lambda message: None,
) -> Generator[tuple[str, Any], None, None]:
    """(key, function(argument)) of every key, in the order in which they are done, on other processes.

    Where the scheduler or all workers are lost for two minutes, or where more than ten local workers die over one
    argument, it ends with a ChildProcessError; local processes end with this one, however that ends. `begin` is called
    once workers are there, `hear` with what `function` sends by `distributed.get_worker().log_event(topic, message)`.
    """
    if not arguments:
        return
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    with open_client(scheduler, min(workers or os.cpu_count() or 1, len(arguments))) as client:
        begin()
        heard, done = queue.SimpleQueue(), queue.SimpleQueue()
        if topic:
            client.subscribe_topic(topic, lambda event: heard.put(event[1]))
        futures = client.map(function, list(arguments.values()), key=list(arguments), pure=False)
        for future in futures:
            future.add_done_callback(done.put)
        try:
            for _ in futures:
                future = next_done(client, done, heard, hear, wait=TICK if topic else CHECK)
                yield future.key, result_of(client, future)
        except (KilledWorker, FutureCancelledError, LostError) as error:
            raise ChildProcessError(
                f"workers or their scheduler were lost ({error}); what is done is kept, and the same command goes on"
            ) from None
        finally:
            with contextlib.suppress(Exception):
                client.cancel(futures)


def check_address(scheduler: str) -> None:
    """InputError for a text that is no address of a scheduler, tcp://host:port or host:port."""
    if not re.fullmatch(r"\w+://\S+|[^\s:/]+:\d+", scheduler):
        raise InputError(f"`scheduler` {scheduler}: an address, such as tcp://host:8786", field="scheduler")


class LostError(Exception):
    """All workers, or the scheduler, have been lost."""


def next_done(client: Any, done: Any, heard: Any, hear: Callable[[Any], object], *, wait: float) -> Any:
    """The next future that is done or has failed; `hear` is called with the messages sent before it."""
    checked = time.monotonic()
    while True:
        with contextlib.suppress(queue.Empty):
            future = done.get(timeout=wait)
            drain(heard, hear)
            return future
        drain(heard, hear)
        if time.monotonic() - checked >= CHECK:
            require_worker(client)
            checked = time.monotonic()


def drain(heard: Any, hear: Callable[[Any], object]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            hear(heard.get_nowait())


def result_of(client: Any, future: Any) -> Any:
    """The result of a future that is done, which is computed again where its worker is lost before it is read."""
    while True:
        try:
            return future.result(timeout=CHECK)
        except TimeoutError:
            if future.status == "error":
                raise
            require_worker(client)


def require_worker(client: Any) -> None:
    """LostError where there is no worker, and none comes back in time."""
    try:
        client.wait_for_workers(1, timeout=LOST)
    except (OSError, TimeoutError) as error:
        raise LostError(f"no worker for {LOST:g} s: {error}") from None


@contextlib.contextmanager
def open_client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A dask client of the scheduler at an address, or of a local cluster that ends with the client."""
    from distributed import Client

    with contextlib.ExitStack() as stack:
        address = stack.enter_context(local_cluster(workers)) if scheduler is None else scheduler
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER))
            client.wait_for_workers(1, timeout=LOST if scheduler is None else ANSWER)
        except Exception as error:  # whatever answers at another port may send anything
            if scheduler is None:
                raise ChildProcessError(f"the processes of this machine did not start ({error})") from None
            raise InputError(
                f"`scheduler` {scheduler}: no answer, or no worker, within {ANSWER:g} s "
                f"({shown(error)}); `dask scheduler` starts one, `dask worker ADDRESS` a worker",
                field="scheduler",
            ) from None
        yield client


def shown(error: Exception) -> str:
    """The text of a connection's error; a MemoryError means that another program answers at the address."""
    return "something else answers there" if isinstance(error, MemoryError) else str(error)


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler in this process with workers, processes of one thread each that end with this one.

    A worker that is killed is started again, however long that takes; memory is left to the operating system.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.deploy.lost-worker-timeout": "30 days",
        "distributed.scheduler.allowed-failures": DEATHS,
        # dask's 64 kB would give every tensor's pages back when it is freed: training takes twice the seconds
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    # dashboard_address None takes a fixed port, and warns where that is taken
    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    with dask.config.set(settings):
        with ignore_interruptions():
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=0, **quiet)
        try:
            yield cluster.scheduler_address
        finally:
            cluster.close(timeout=CLOSING)


@contextlib.contextmanager
def ignore_interruptions() -> Iterator[None]:
    """A context whose new processes ignore SIGINT, which a terminal sends to all: the parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
