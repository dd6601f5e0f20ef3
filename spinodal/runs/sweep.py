r"""Sweeps: one function over many configurations, in parallel, and never twice.

Each result is a cell, FOLDER/cells/KEY.json, with
    KEY = sha256 of (function, sources it rests on, version of its package, configuration) as canonical JSON,
where the sources are those of the function's room and of every room that is imported below it. A cell is written
beside its place and moved there, so it is whole or absent: a killed sweep goes on where it stopped, a finished one
only reads, and changed code computes anew. Configurations and results are JSON values.

Cells are computed on dask.distributed: processes of this machine with one thread each, or any scheduler,
whose workers need this package installed and no access to the folder.
"""

import ast
import contextlib
import hashlib
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spinodal.errors import InputError
from spinodal.runs.files import write_text
from spinodal.types import Progress

Function = Callable[[dict[str, Any]], Any]

ANSWER = 10.0  # seconds that a scheduler has to answer, and then to show a worker


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
    arrays or tuples. `workers` is a number of processes, 0 for one a core; with 1 the work stays in this
    process. `progress` is called with the cells that are done and all cells, after each. A cell that is damaged is
    computed again, with a warning.
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


def code(function: Function) -> str:
    """sha256 of the sources that a function rests on, and the version of its package.

    They are all files of its room, a.b of a.b.c, and of every room of its package or of this one that they import,
    wherever in a file, and so on down.
    """
    name, module = getattr(function, "__qualname__", "<unnamed>"), function.__module__
    if "<" in name:
        raise TypeError(f"{name}: workers import a function by its name, so it must belong to a module")
    package = module.partition(".")[0]
    roots = {package: root_of(package), "spinodal": Path(__file__).parent.parent}
    sources = closure(".".join(module.split(".")[:2]), roots)
    with contextlib.suppress(PackageNotFoundError):
        package = f"{package} {version(package)}"
    digest = hashlib.sha256(package.encode())
    for source, content in sorted(sources.items()):
        digest.update(source.encode() + b"\0" + content)
    return digest.hexdigest()


def root_of(package: str) -> Path:
    """The folder of a package, or the file of a module that stands alone."""
    file = Path(getattr(sys.modules[package], "__file__", None) or "")
    if not file.name:
        raise TypeError(f"{package}: workers import a function by its name, so it must belong to a file")
    return file.parent if file.name == "__init__.py" else file


def closure(room: str, roots: dict[str, Path]) -> dict[str, bytes]:
    """The sources, by room and name, of a room and of every room that they import, as far as `roots` reach."""
    waiting, known, sources = [room], {room}, {}
    while waiting:
        package, _, part = (room := waiting.pop()).partition(".")
        root = roots[package]
        place = root / part if root.is_dir() else root
        if place.is_dir():
            files = [file for file in sorted(place.rglob("*.py*")) if file.suffix in (".py", ".pyi")]
        else:
            files = [file for file in (place, place.with_suffix(".py")) if file.is_file()][:1]
        for file in files:
            content = file.read_bytes()
            name = file.relative_to(place).as_posix() if place.is_dir() else file.name
            sources[f"{room}:{name}"] = content
            found = imported_rooms(ast.parse(content), roots) - known
            known |= found
            waiting += sorted(found)
    return sources


def imported_rooms(tree: ast.AST, roots: Container[str]) -> set[str]:
    """The rooms "package.room" that a source imports; "package" itself where it takes the whole of it by name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if "." not in node.module
                else {node.module}
            )
    return {".".join(name.split(".")[:2]) for name in names if name.partition(".")[0] in roots}


def key_of(function: Function, tag: str, configuration: dict[str, Any]) -> str:
    name = f"{function.__module__}:{function.__qualname__}"
    try:
        text = canonical({"function": name, "code": tag, "configuration": configuration})
    except (TypeError, ValueError) as error:
        raise InputError(f"configuration {configuration}: it must be JSON ({error})") from None
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def checksum(key: str, result: Any) -> str:
    return hashlib.sha256(f"{key}{canonical(result)}".encode()).hexdigest()


def read(path: Path, key: str) -> Iterator[Any]:
    """The result of a stored cell; nothing if there is none, or if it is damaged, of which a warning is given."""
    try:
        cell = json.loads(path.read_text())
        whole = cell["checksum"] == checksum(key, cell["result"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        whole, cell = False, {}
    if whole:
        yield cell["result"]
    else:
        warnings.warn(f"{path} is damaged: its cell is computed again", stacklevel=3)


def write(path: Path, key: str, configuration: dict[str, Any], result: Any) -> Any:
    """Writes a cell, and returns its result as it will be read."""
    cell = {"configuration": configuration, "result": result, "checksum": checksum(key, result)}
    text = json.dumps(cell)
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
        return
    from distributed import KilledWorker, as_completed
    from distributed.client import FutureCancelledError

    with open_client(scheduler, min(workers or os.cpu_count() or 1, len(missing))) as client:
        begin()
        futures = client.map(function, list(missing.values()), key=list(missing), pure=False)
        try:
            for future in as_completed(futures):
                yield future.key, future.result()
        except (KilledWorker, FutureCancelledError) as error:
            raise ChildProcessError(
                f"workers or their scheduler were lost ({error}); done cells are kept, the same sweep goes on"
            ) from None
        finally:
            with contextlib.suppress(Exception):
                client.cancel(futures)


@contextlib.contextmanager
def open_client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A dask client of the scheduler at an address, or of a local cluster that ends with the client."""
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        if scheduler is None:
            quiet = {"dashboard_address": None, "silence_logs": 50}
            with ignore_interruptions():
                address = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, **quiet))
        else:
            address = scheduler
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER))
            if scheduler is not None:
                client.wait_for_workers(1, timeout=ANSWER)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"`scheduler` {scheduler}: no answer, or no worker, within {ANSWER:g} s ({error}); "
                "`dask scheduler` starts one, `dask worker ADDRESS` a worker",
                field="scheduler",
            ) from None
        yield client


@contextlib.contextmanager
def ignore_interruptions() -> Iterator[None]:
    """Child processes ignore SIGINT, which a terminal sends to all: the parent ends them, in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
