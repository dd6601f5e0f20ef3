"""A run's folder: who may write there, what is replaced, and when it is finished."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spinodal.errors import InputError
from spinodal.runs import files
from spinodal.runs.checkpoints import difference, kept_checkpoint, read_manifest
from spinodal.runs.codec import encode
from spinodal.runs.files import Place, SaveError
from spinodal.runs.lock import hold_lock
from spinodal.runs.provenance import machine, provenance
from spinodal.runs.record import (
    FORMAT,
    HEAD,
    INPUTS,
    LABELS,
    RECORDS,
    RESULTS,
    DamagedRecordError,
    Run,
    read_run,
    record_in,
)  # fmt: skip
from spinodal.runs.sealed import CHECKSUM, write_sealed
from spinodal.threads import threads

PICTURES = ("png", "pdf", "svg")  # the formats of figures


def picture_files(*names: str) -> tuple[str, ...]:
    """Every file that figures of these names may be: a picture of each format, and their numbers as CSV."""
    return tuple(f"{name}.{kind}" for name in names for kind in (*PICTURES, "csv"))


@dataclass
class RunFolder:
    """A folder that this process alone writes to; nothing in it changes before `begin` or the first write.

    `previous` is the run that `resume` continues, which may be finished, or None.
    """

    path: Path
    previous: Run | None
    head: dict[str, Any]
    record: str
    owned: tuple[str, ...]
    replaces: bool
    inputs: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = False
    adopted: bool = False
    written: set[str] = field(default_factory=set)

    def begin(self, **solved: Any) -> None:
        """Removes what `overwrite` replaces and writes the record of an unfinished run; later calls do nothing.

        `solved` are values of the configuration that were open before and are known now.
        """
        if self.begun:
            return
        self.begun = True
        values, arrays = encode(solved)
        self.head["config"] |= values
        self.inputs = {**self.inputs, **arrays}
        if self.replaces:
            write_sealed(self.path / self.record, self.head | {"clearing": True})
            clear(self.path, self.owned)
        if self.inputs:
            files.write_arrays(self.path / INPUTS, self.inputs)
        write_sealed(self.path / self.record, self.head)

    def show(self, result: object) -> None:
        """Writes the result so far into the record of this unfinished run."""
        self.begin()
        write_sealed(self.path / self.record, self.head | encode(result)[0])

    def adopt(self, config: Mapping[str, Any] | None = None) -> Run:
        """Continues the finished run in the folder: `finish` replaces its result and keeps its provenance.

        A `config` takes the place of that in the record.
        """
        if self.previous is None or not self.previous.finished:
            raise ValueError(f"{self.path} holds no finished run to add to")
        self.begun = self.adopted = True
        kept = set(HEAD) - {CHECKSUM}
        self.head = {name: value for name, value in self.previous.record.items() if name in kept}
        self.head |= {"format": FORMAT, "kind": self.previous.kind}
        self.head |= {} if config is None else {"config": dict(config)}
        return self.previous

    def place(self, name: str) -> Path:
        """The path of a file or folder of the run; ValueError for a name that was not declared as owned."""
        if Path(name).parts[0] not in self.owned:
            raise ValueError(f"{name} is none of the names that this run owns: {', '.join(self.owned)}")
        self.begin()
        self.written.add(Path(name).parts[0])
        return self.path / name

    def replacing(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """`with folder.replacing("map.png") as place: figure.savefig(place)`; also for a whole folder."""
        return files.replacing(self.place(name))

    def write_text(self, name: str, text: str) -> None:
        files.write_text(self.place(name), text)

    def save_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        files.write_arrays(self.place(name), arrays)

    def remove(self, *names: str) -> None:
        for name in names:
            files.discard(self.place(name))

    def finish(self, result: object = None, *, arrays: str = RESULTS) -> Run:
        """Writes the record of a finished run, last of all, and returns it.

        `result` is a dataclass or a mapping; its NumPy arrays go to the file `arrays`. A later call replaces it. The
        record holds the checksums of what was written before: of arrays, and by this folder's own methods.
        """
        value, found = encode({} if result is None else result)
        if not isinstance(value, dict) or (taken := value.keys() & set(HEAD)):
            raise ValueError(f"a result is an object, and none of its fields is {', '.join(HEAD)}: {taken}")
        self.begin()
        head = self.head | {"finished": True}
        if not self.adopted:  # torch, which has threads and GPUs of its own, may have been loaded since
            head |= {"machine": machine(), "threads": threads()}
        if found:
            files.write_arrays(self.path / arrays, found)
            head["arrays"] = arrays
        head["files"] = self.sealed_files(arrays)
        try:
            write_sealed(self.path / self.record, head | value)
        except SaveError as error:
            raise SaveError(f"{error}; what else {self.path} holds is kept") from error
        return read_run(self.path / self.record)

    def sealed_files(self, arrays: str) -> dict[str, str]:
        """{path: sha256} of the files written by now and, of an adopted run, of its other files."""
        names = sorted({*self.written, INPUTS, arrays})
        kept = {
            name: digest
            for name, digest in (self.head.get("files") or {}).items()
            if Path(name).parts[0] not in names
        }
        return kept | files.checksums(self.path, names)


def clear(out: Path, owned: Sequence[str]) -> None:
    """Removes the files of a run other than its record, which has "clearing" until the new run begins."""
    for name in (*owned, INPUTS, RESULTS):
        files.discard(out / name)


@contextlib.contextmanager
def open_run(
    out: Place,
    *,
    kind: str,
    config: object,
    owned: Sequence[str] = (),
    seed: int | None = None,
    resume: bool | None = False,
    overwrite: bool | None = False,
    ignored: Sequence[str] = (),
    partial: Sequence[str] = (),
    label: Mapping[str, str] | None = None,
    record: str = "run.json",
) -> Iterator[RunFolder]:
    """A folder to write a run of this kind and configuration to, locked until the block ends.

    `config` is a frozen dataclass or a mapping; `owned` are the names of all files and folders that the run writes
    beside its record and that `overwrite` replaces. A folder that holds a run is refused unless
      `resume`     the run there is of the same kind and configuration (but for what `ignored` names), finished or
                   not: it is the folder's `previous`;
                   (None for a command that never goes on with a run);
      `overwrite`  the run there is of the same kind (None for a command that never starts again). It is lost only
                   when the new one begins, so check all input inside the block before the first write.
    `partial` are names that mark an unfinished run of format 1, which had no record yet. `label` may hold name,
    recipe, command, paper and expected. Where the block raises before the first write, nothing is left of it.

    InputError where the folder is a file, cannot be written, is being written by another process, or holds
    something else: a damaged record, a run of another kind, or owned names without a record.

    >>> import tempfile
    >>> from spinodal import runs
    >>> folder = tempfile.TemporaryDirectory()
    >>> with runs.open_run(folder.name, kind="example", config={"beta": 2.0}) as out:
    ...     run = out.finish({"clusters": 3})
    >>> run = runs.read_run(folder.name)
    >>> run.kind, run.config["beta"], run.result["clusters"], run.finished
    ('example', 2.0, 3, True)
    >>> folder.cleanup()
    """
    if unknown := set(label or {}) - set(LABELS):
        raise ValueError(f"a label has {', '.join(LABELS)}, not {', '.join(unknown)}")
    if resume and overwrite:
        raise InputError(
            "`resume` goes on with a run and `overwrite` starts it again: give one of them",
            field=("resume", "overwrite"),
        )
    out = Path(out)
    values, inputs = encode(config)
    head = {
        "format": FORMAT,
        "kind": kind,
        "finished": False,
        **(label or {}),
        "config": values,
        "seed": seed,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(make_folders(out))
        try:
            stack.enter_context(hold_lock(out))
        except OSError as error:
            raise InputError(
                f"{out} cannot be written to ({error}); choose another `out`", field="out"
            ) from None
        files.recover(out)
        previous = previous_run(out, head, owned, partial, ignored, resume=resume, overwrite=overwrite)
        if previous and previous.record.get(
            "clearing"
        ):  # `overwrite` was killed as it removed the run before
            clear(out, owned)
        head |= dataclasses.asdict(provenance())
        yield RunFolder(out, previous, head, record, tuple(owned), bool(overwrite), inputs)


def check_folder(
    out: Place, *, kind: str, owned: Sequence[str], partial: Sequence[str] = (), resume: bool, overwrite: bool
) -> None:
    """InputError for what `open_run` would refuse whatever the configuration.

    For a command whose configuration is expensive to make.
    """
    if Path(out).is_dir() and not resume:
        previous_run(Path(out), {"kind": kind}, owned, partial, (), resume=False, overwrite=overwrite)


@contextlib.contextmanager
def make_folders(out: Path) -> Iterator[None]:
    """Creates a folder and its parents; those that are still empty when the block raises are removed again."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; `out` takes a folder", field="out")
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error}); choose another `out`", field="out") from None
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in new:
                folder.rmdir()
        raise


def previous_run(
    out: Path,
    head: Mapping[str, Any],
    owned: Sequence[str],
    partial: Sequence[str],
    ignored: Sequence[str],
    *,
    resume: bool | None,
    overwrite: bool | None,
) -> Run | None:
    """The run that `resume` continues, or None; InputError if the folder holds something that is in the way."""
    taken = [name for name in owned if (out / name).exists() and not is_empty_checkpoints(out / name)]
    marked = bool(set(taken) & set(partial))
    run = run_in(out, head["kind"], taken, resumable=bool(resume) and marked)
    if run is None:
        if taken and not marked:
            raise InputError(
                f"{out} holds {' and '.join(taken)}, but no run: choose another `out`", field="out"
            )
        if taken and not resume and not overwrite:
            raise in_use(out, resumable=resume is not None)
        return None
    if run.kind != head["kind"]:
        raise InputError(
            f"{out} holds a run of another kind ({run.kind}, not {head['kind']}): choose another `out`",
            field="out",
        )
    if overwrite:
        return None
    if not resume:
        raise in_use(out, resumable=resume is not None)
    if run.format == 1 and "config" not in run.record:
        return run
    if told := difference(run.config, head["config"], ignored=ignored):
        state = "a finished run" if run.finished else "a run"
        ways = "choose another `out`"
        if overwrite is not None:
            ways = f"`overwrite` starts it again, or {ways}"
        if run.format == 1 and run.config.keys() != head["config"].keys():
            raise InputError(
                f"{out} holds {state}, written by an earlier version, which cannot be resumed: {ways}",
                field=("overwrite", "out"),
            )
        raise InputError(
            f"{out} holds {state} of another experiment ({told}): {ways}", field=("overwrite", "out")
        )
    return run


def is_empty_checkpoints(place: Path) -> bool:
    """Whether a path is an empty folder "checkpoints", as training leaves it that ended before its record."""
    return place.name == "checkpoints" and place.is_dir() and not any(place.iterdir())


def run_in(out: Path, kind: str, taken: Sequence[str], *, resumable: bool) -> Run | None:
    """The run of a folder's record or, if that is lost or damaged, of training's newest whole checkpoint.

    None where there is neither, and for a damaged record if the run is `resumable` without it.
    """
    file = record_in(out)
    try:
        if file:
            return read_run(file)
    except DamagedRecordError as error:
        told = f"{file} is damaged"
        damage = DamagedRecordError(f"{error}: delete it, or choose another folder as `out`", field="out")
    except InputError as error:
        raise InputError(f"{error}; choose another folder as `out`", field="out") from None
    else:
        told, damage = f"{out} has no record any more", None
    checkpoint = kept_checkpoint(out) if "checkpoints" in taken else None
    if checkpoint is None and damage and not resumable:
        raise damage
    if checkpoint or damage:
        warnings.warn(f"{told}: the run is known by what it saved to go on from", stacklevel=4)
    if checkpoint is None:
        return None
    return Run(out / RECORDS[0], FORMAT, kind, False, {"config": read_manifest(checkpoint)["experiment"]})


def in_use(out: Path, *, resumable: bool) -> InputError:
    ways = "`resume` goes on with it, `overwrite` starts it again" if resumable else "`overwrite` replaces it"
    return InputError(f"{out} holds a run already: {ways}", field=("resume", "overwrite"))
