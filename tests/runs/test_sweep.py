"""Sweeps: every cell once, whole or absent, whatever ends the sweep."""

import contextlib
import json
import os
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from marks import slow_but
from processes import group_of, of_group, within

from spinodal.errors import InputError
from spinodal.runs import sweep

CALLS: list[int] = []
FATAL: dict[int, str] = {}  # what happens to the process at an x


def square(configuration: dict) -> dict:
    x = configuration["x"]
    CALLS.append(x)
    if FATAL.get(x) == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if FATAL.get(x) == "interrupt":
        raise KeyboardInterrupt
    if x < 0:
        raise InputError(f"x = {x}")
    return {"square": x * x, "root": x**0.5, "all": (x, None, float("inf"))}


def variable(configuration: dict) -> str | None:
    """The value of an environment variable where the cell is computed."""
    return os.environ.get(configuration["name"])


def not_finite(configuration: dict) -> dict:
    return {"x": (float("nan"), -float("inf"), {"y": float("inf")}, 1.5)}


@pytest.fixture(autouse=True)
def nothing_yet():
    CALLS.clear()
    FATAL.clear()


def grid(*xs: int) -> list[dict]:
    return [{"x": x} for x in xs]


def test_results_come_in_order_and_only_once(tmp_path: Path):
    seen = []
    found = sweep.run(square, grid(3, 1, 3, 2), tmp_path, workers=1, progress=lambda *at: seen.append(at))
    assert [cell["square"] for cell in found] == [9, 1, 9, 4]
    assert CALLS == [3, 1, 2]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    again = sweep.run(square, grid(2, 5, 3), tmp_path, workers=1)
    assert [cell["square"] for cell in again] == [4, 25, 9]
    assert CALLS == [3, 1, 2, 5]
    assert again[2] == found[0]  # lists for tuples, whether computed or read
    assert found[0]["root"] == 3**0.5


def test_cells_are_json_whatever_the_numbers(tmp_path: Path):
    """A NaN and an infinity of a result are null; in a configuration they are refused, before work starts."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = sweep.run(not_finite, grid(1), tmp_path, workers=1)
    assert (
        found
        == sweep.run(not_finite, grid(1), tmp_path, workers=1)
        == [{"x": [None, None, {"y": None}, 1.5]}]
    )
    (cell,) = (tmp_path / "cells").iterdir()
    assert json.loads(cell.read_text(), parse_constant=refuse)["result"] == found[0]
    for x in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="it must be JSON"):
            sweep.run(square, [{"x": x}], tmp_path)
    assert CALLS == []


def test_cells_of_earlier_versions_with_numbers_that_are_not_finite_are_read(tmp_path: Path):
    sweep.run(square, grid(2), tmp_path, workers=1)
    (path,) = (tmp_path / "cells").iterdir()
    cell = json.loads(path.read_text())
    result = cell["result"] | {"root": float("inf")}
    path.write_text(json.dumps(cell | {"result": result, "checksum": sweep.checksum(path.stem, result)}))
    assert sweep.run(square, grid(2), tmp_path, workers=1) == [result]
    assert CALLS == [2]


def test_the_order_of_a_configuration_is_not_its_content(tmp_path: Path):
    sweep.run(square, [{"x": 1, "y": 2.5}], tmp_path)
    sweep.run(square, [{"y": 2.5, "x": 1}], tmp_path)
    assert CALLS == [1]
    sweep.run(square, [{"x": 1, "y": 2.5000000000000004}], tmp_path)
    assert CALLS == [1, 1]


def test_changed_code_computes_anew(tmp_path: Path, monkeypatch):
    sweep.run(square, grid(1), tmp_path)
    monkeypatch.setattr(sweep, "code", lambda function: "another")
    sweep.run(square, grid(1), tmp_path)
    assert CALLS == [1, 1]


def test_code_is_that_of_the_room_and_of_every_room_below(tmp_path: Path, monkeypatch):
    house = tmp_path / "house"
    sources = {
        "__init__": "", "room/__init__": "", "room/work": "def f(c):\n    from house.below import g\n    return g(c)\n",
        "room/used": "", "below/__init__": "import house.bottom\n", "below/more": "", "bottom": "",
        "upstairs": "",
    }  # fmt: skip
    for file, text in sources.items():
        (house / f"{file}.py").parent.mkdir(parents=True, exist_ok=True)
        (house / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    from house.room.work import f  # pyright: ignore[reportMissingImports]

    before = sweep.code(f)
    (house / "upstairs.py").write_text("x = 1\n")
    assert sweep.code(f) == before
    for file in ("room/used", "below/more", "bottom"):
        (house / f"{file}.py").write_text("x = 2\n")
        assert sweep.code(f) != before
        before = sweep.code(f)
    with pytest.raises(TypeError, match="workers import"):
        sweep.code(lambda c: c)


@pytest.mark.parametrize("end", ["kill", "interrupt"])
def test_what_ends_a_sweep_leaves_its_cells(tmp_path: Path, end: str):
    FATAL[3] = end
    if end == "kill":
        child = os.fork()
        if child == 0:
            sweep.run(square, grid(1, 2, 3, 4), tmp_path, workers=1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    else:
        with pytest.raises(KeyboardInterrupt):
            sweep.run(square, grid(1, 2, 3, 4), tmp_path, workers=1)
    FATAL.clear()
    CALLS.clear()
    found = sweep.run(square, grid(1, 2, 3, 4), tmp_path, workers=1)
    assert [cell["square"] for cell in found] == [1, 4, 9, 16]
    assert CALLS == [3, 4]


def test_an_error_keeps_what_is_done_and_says_itself(tmp_path: Path):
    with pytest.raises(InputError, match="x = -1"):
        sweep.run(square, grid(1, -1, 2), tmp_path, workers=1)
    assert len(list((tmp_path / "cells").iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncated", "changed", "moved", "empty", "other"])
def test_a_damaged_cell_is_named_and_computed_again(tmp_path: Path, damage: str):
    expected = sweep.run(square, grid(5, 6), tmp_path, workers=1)
    first, second = sorted((tmp_path / "cells").iterdir())
    text = first.read_text()
    cell = json.loads(text)
    first.write_text({
        "truncated": text[:-9],
        "changed": text.replace(f'"square": {cell["result"]["square"]}', '"square": 7'),
        "moved": second.read_text(),
        "empty": "",
        "other": "[]",
    }[damage])  # fmt: skip
    CALLS.clear()
    with pytest.warns(UserWarning, match=f"{first.name} is damaged"):
        assert sweep.run(square, grid(5, 6), tmp_path, workers=1) == expected
    assert [cell["configuration"]["x"]] == CALLS
    sweep.run(square, grid(5, 6), tmp_path, workers=1)
    assert len(CALLS) == 1


@pytest.mark.slow
def test_a_scheduler_at_an_address_gives_the_same(tmp_path: Path):
    from distributed import LocalCluster

    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **quiet)
    with cluster:
        address = cluster.scheduler_address
        found = sweep.run(square, grid(1, 2, 3), tmp_path / "far", scheduler=address)
        with pytest.raises(InputError, match="x = -2"):
            sweep.run(square, grid(4, -2), tmp_path / "far", scheduler=address)
    assert found == sweep.run(square, grid(1, 2, 3), tmp_path / "near", workers=1)
    assert found == sweep.run(square, grid(1, 2, 3), tmp_path / "far", scheduler="nobody is asked")


@pytest.mark.slow
def test_processes_of_this_machine_give_the_same(tmp_path: Path):
    found = sweep.run(square, grid(*range(8)), tmp_path / "many", workers=2)
    assert CALLS == []
    assert found == sweep.run(square, grid(*range(8)), tmp_path / "one", workers=1)


@pytest.mark.slow
def test_processes_of_this_machine_keep_memory_that_is_freed_as_any_process_does(tmp_path: Path, monkeypatch):
    """Freed pages given back at once, dask's own choice, double the seconds of training."""
    names = ["MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    cells = [{"name": name} for name in names]
    assert sweep.run(variable, cells, tmp_path, workers=2) == [None, "1"]


@pytest.mark.slow
def test_workers_that_die_end_the_sweep_with_a_sentence(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sweep, "DEATHS", 1)
    with pytest.raises(ChildProcessError, match=r"lost .*on 2 different workers, .*the same command goes on"):
        sweep.run(dies, grid(1, 2), tmp_path, workers=2)


def dies(configuration: dict) -> None:
    os._exit(3)


SCRIPT = """
import sys, time
from pathlib import Path

sys.path[:0] = {here!r}
import test_sweep
from spinodal.runs import sweep

if __name__ == "__main__":
    cells = [{{"x": x, "at": {at!r}, "seconds": {seconds}}} for x in range({cells})]
    print(sum(sweep.run(test_sweep.waits, cells, {out!r}, workers=2)))
"""


def waits(configuration: dict) -> int:
    """Says by a file that it runs, and takes its time."""
    Path(configuration["at"], f"{os.getpid()}").touch()
    time.sleep(configuration["seconds"])
    return configuration["x"]


def script(tmp_path: Path, **values) -> Path:
    at = tmp_path / "at"
    at.mkdir()
    here = [str(place) for place in Path(__file__).parents[:2]]
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(here=here, at=str(at), out=str(tmp_path / "sweep"), **values))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, end: int):
    at = tmp_path / "at"
    with group_of(script(tmp_path, cells=4, seconds=600)) as process:
        assert within(120, lambda: len(list(at.iterdir())) == 2)
        os.kill(process.pid, end)
        process.wait(30)
        assert within(5, lambda: not of_group(process.pid))


@pytest.mark.slow
def test_workers_that_are_killed_at_random_come_back_and_the_sweep_ends(tmp_path: Path):
    """Also where both are away for longer than dask waits for a lost worker, here by its own setting a second."""
    at, random = tmp_path / "at", Random(19)
    environment = os.environ | {"DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "1s"}
    command = script(tmp_path, cells=200, seconds=0.1)
    with group_of(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        killed: set[str] = set()
        while process.poll() is None and len(killed) < 8:
            time.sleep(random.uniform(0.2, 2))
            alive = [path.name for path in at.iterdir() if int(path.name) in of_group(process.pid)]
            for name in random.sample(alive, k=min(len(alive), random.randint(1, 2))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(name), signal.SIGKILL)
                killed.add(name)
        said, _ = process.communicate(timeout=300)
    assert said.strip() == str(sum(range(200)))
    assert len(killed) >= 8
    assert len(list((tmp_path / "sweep" / "cells").iterdir())) == 200


@pytest.mark.slow
def test_a_sweep_without_any_worker_ends_with_a_sentence_and_goes_on_when_it_is_run_again(
    tmp_path: Path, monkeypatch
):
    """Where workers are lost for good: here they are closed as dask closes those that it gave up."""
    from distributed import LocalCluster

    monkeypatch.setattr(sweep, "LOST", 1.0)
    monkeypatch.setattr(sweep, "CHECK", 0.5)
    at, cells = tmp_path / "at", [{"x": x, "at": str(tmp_path / "at"), "seconds": 1000 * x} for x in range(2)]
    at.mkdir()
    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    cluster: Any = LocalCluster(n_workers=1, threads_per_worker=1, **quiet)
    with cluster:

        def lose(done: float, total: float) -> None:
            if done == 1:
                cluster.scale(0)

        with pytest.raises(ChildProcessError, match=r"were lost .*the same command goes on"):
            sweep.run(waits, cells, tmp_path, scheduler=cluster.scheduler_address, progress=lose)
    assert len(list((tmp_path / "cells").iterdir())) == 1
    assert sweep.run(waits, cells[:1], tmp_path, workers=1) == [0]


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[str]:
    """The address of something that is no scheduler: it answers whatever it is sent."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(answer)
            self.request.recv(1)
            time.sleep(0.5)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{found.server_address[1]}"
        finally:
            found.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "name", slow_but(["secure shell", "web", "silent", "zeros", "small"], "secure shell", "small")
)
def test_a_port_where_something_else_answers_is_told_in_a_sentence(tmp_path: Path, monkeypatch, name: str):
    answer = {
        "secure shell": b"SSH-2.0-OpenSSH_9.2p1\r\n", "web": b"HTTP/1.1 400 Bad Request\r\n\r\n", "silent": b"",
        "zeros": bytes(64), "small": (1).to_bytes(8, "little") + (4).to_bytes(8, "little") + b"none",
    }[name]  # fmt: skip
    monkeypatch.setattr(sweep, "ANSWER", 0.5)
    with (
        server(answer) as address,
        pytest.raises(InputError, match="no answer, or no worker") as refused,
    ):
        sweep.run(square, grid(1), tmp_path, scheduler=address)
    assert "EiB" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_folder_in_the_place_of_a_cell_is_left_alone(tmp_path: Path):
    sweep.run(square, grid(1), tmp_path, workers=1)
    (cell,) = (tmp_path / "cells").iterdir()
    cell.unlink()
    (cell / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be read .*: remove it, and its cell is computed again"):
        sweep.run(square, grid(1), tmp_path, workers=1)
    assert (cell / "mine").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://no.such.host.invalid:8786", "//:?"])
def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch, address: str):
    monkeypatch.setattr(sweep, "ANSWER", 0.3)
    with pytest.raises(InputError, match="no answer, or no worker, within"):
        sweep.run(square, grid(1), tmp_path, scheduler=address)
    assert not list((tmp_path / "cells").glob("*"))


def test_a_scheduler_without_workers(tmp_path: Path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(sweep, "ANSWER", 0.3)
    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    cluster = LocalCluster(n_workers=0, processes=False, **quiet)
    with cluster, pytest.raises(InputError, match="no worker"):
        sweep.run(square, grid(1), tmp_path, scheduler=cluster.scheduler_address)


def test_what_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="workers = -1"):
        sweep.run(square, grid(1), tmp_path, workers=-1)
    with pytest.raises(InputError, match="must be JSON"):
        sweep.run(square, [{"x": {1, 2}}], tmp_path)


def test_nothing_to_do_starts_no_workers(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sweep, "open_client", lambda *_: pytest.fail("a client was opened"))
    assert list(sweep.compute(square, {}, workers=2)) == []


def test_a_folder_may_be_a_text(tmp_path: Path):
    assert sweep.run(doubled_here, [{"x": 2}], str(tmp_path), workers=1) == [4]
    assert len(list((tmp_path / "cells").glob("*.json"))) == 1


def doubled_here(configuration: dict) -> int:
    return 2 * configuration["x"]
