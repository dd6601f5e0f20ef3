"""The record of a run, one JSON file in its folder, and its reader.

    {"format": 3, "kind", "finished", name, recipe, command, "config", "seed", "checksum",
     "commit", "date", "versions", "machine", "threads", "files",   and the fields of the result beside these}

`config` is an experiment as the codec writes it, its arrays in inputs.npz; `files` has the sha256 of each file that was
written before the run was finished. Format 2 had no checksum (runs/sealed.py).
Format 1 had no kind either: the fields of a record identify the command that wrote it, and the run is
finished unless the record says otherwise.
"""

import dataclasses
import typing
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from spinodal.errors import InputError
from spinodal.limits import unlimited
from spinodal.runs.codec import is_array
from spinodal.runs.decoding import decode
from spinodal.runs.files import Place, damaged_file
from spinodal.runs.sealed import CHECKSUM, DamageError, read_sealed
from spinodal.types import Trajectory

T = TypeVar("T")


class DamagedRecordError(InputError):
    """A record is not what was written."""


FORMAT = 3
SEALED = 3  # the first format with a checksum
RECORDS = (
    "run.json",
    "observe.json",
    "compare.json",
)  # the files that are records, of which a folder has one
INPUTS, RESULTS = "inputs.npz", "results.npz"
LABELS = ("name", "recipe", "command", "paper", "expected")
HEAD = (
    "format", "kind", "finished", *LABELS, "config", "seed", "commit", "date", "versions", "machine", "threads",
    "arrays", "files", "clearing", CHECKSUM,
)  # fmt: skip
MARKS = {  # what tells a record of format 1: kind -> fields that no other kind has together
    "train": {"metrics", "final", "probe", "config"},
    "compare": {"arms"},
    "simulate": {"engine", "merges", "final"},
    "meanfield": {"mass_error", "growth_rates"},
    "phase-diagram": {"contour_over_theory"},
    "draw": {"recipe", "measured", "expected"},
    "graph": {"measured", "config"},
    "observe": {"model", "layers", "nulls", "summary", "clock"},
}


GRAPH_KINDS = {"parameter": "graph-continue", "time": "graph-flow"}


@dataclass(frozen=True)
class Run:
    """The record of a run, as read from its file; `config` and `result` are parts of it, as JSON."""

    path: Path
    format: int
    kind: str
    finished: bool
    record: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def config(self) -> Mapping[str, Any]:
        """The experiment, as JSON."""
        return self.record.get("config", {})

    @property
    def result(self) -> dict[str, Any]:
        """The fields of the result, as JSON."""
        return {name: value for name, value in self.record.items() if name not in HEAD}

    @property
    def trajectory(self) -> Trajectory:
        """The tokens of the run's result over time, as observables read them; InputError where it has none."""
        from spinodal.runs.reading import result_of

        found = getattr(result_of(self), "trajectory", None)
        if found is None:
            raise InputError(f"{self.path} is a run of {self.kind}: its result holds no tokens over time")
        return found

    def damage(self) -> str | None:
        """A text on the first file of the run that differs from its sha256; None if none is found to."""
        files = self.record.get("files")
        return damaged_file(self.folder, files) if isinstance(files, Mapping) else None

    def config_as(self, cls: type[T]) -> T:
        """The experiment as a value; InputError names what does not fit `cls`.

        A class whose record is not the tree of its fields has a classmethod `from_flat(config)`, which reads it.
        """
        if (read := getattr(cls, "from_flat", None)) is None:
            return self._decoded(cls, self.config, INPUTS)
        try:
            return read(self.config)
        except (InputError, TypeError) as error:
            raise InputError(f"{self.path}: {error}", field=getattr(error, "fields", ())) from None

    def result_as(self, cls: type[T]) -> T:
        """The result as a value; InputError for a run that is not finished, or what does not fit `cls`.

        A result that has a field `experiment`, which is not saved with it, has there the experiment of the record.
        """
        if not self.finished:
            raise InputError(f"{self.folder} holds a run that is not finished: it has no result yet")
        found = self._decoded(cls, self.result, self.record.get("arrays", RESULTS))
        if (asked := experiment_class(cls)) is None:
            return found
        return dataclasses.replace(found, experiment=self.config_as(asked))  # pyright: ignore[reportArgumentType]

    def _decoded(self, cls: type[T], value: Any, name: str) -> T:
        file = self.folder / name
        if not file.exists() and holds_array(value):
            raise InputError(f"{file} is missing: the arrays of {self.path} are there")
        try:
            with unlimited():  # what it took was taken when the run was made
                return decode(cls, value, arrays_of(file))
        except InputError as error:
            raise InputError(f"{self.path}: {error}", field=error.fields) from None


def experiment_class(cls: type) -> type | None:
    """The class of the field `experiment` of a result that knows its experiment, None for any other class."""
    if not dataclasses.is_dataclass(cls) or "experiment" not in {f.name for f in dataclasses.fields(cls)}:
        return None
    hint = typing.get_type_hints(cls, include_extras=True)["experiment"]
    return next(option for option in typing.get_args(hint) if option is not type(None))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, none where there is no file; InputError if it cannot be read."""
    if not path.exists():
        return {}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, TypeError, NotImplementedError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged, it is no .npz file of arrays ({error})") from None


def holds_array(value: object) -> bool:
    """Whether JSON stands for an array that is kept elsewhere, somewhere in it."""
    if is_array(value):
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(map(holds_array, parts))


def record_in(folder: Path) -> Path | None:
    """The record of a folder, None if there is none."""
    return next((folder / name for name in RECORDS if (folder / name).is_file()), None)


def read_run(path: Place) -> Run:
    """The run in a folder, or of a record's own path, of this format or an earlier one.

    InputError where there is none, where the record is damaged or not one that spinodal wrote, and for a format that
    is newer than this.

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
    path = Path(path)
    file = record_in(path) if path.is_dir() else path
    if file is None or not file.is_file():
        raise InputError(f"{path} holds no run: there is no {', '.join(RECORDS[:2])} or {RECORDS[2]}")
    try:
        record = read_sealed(file)
        number = format_number(record)
    except DamageError as error:
        raise DamagedRecordError(f"{file} is damaged, it {error}") from None
    if number > FORMAT:
        raise InputError(
            f"{file} is of format {number}, and this version reads 1 to {FORMAT}: use a newer spinodal"
        )
    kind = kind_of_first_format(file.name, record) if number == 1 else record.get("kind")
    if number > 1 and not (
        {"finished", "commit"} <= record.keys() and isinstance(record.get("config"), dict)
    ):
        kind = None
    if not isinstance(kind, str):
        raise InputError(f"{file} is not a run that spinodal wrote")
    return Run(file, number, kind, bool(record.get("finished", True)), record)


def format_number(record: Mapping[str, Any]) -> int:
    """The format of a record; DamageError where it has none, or lacks the checksum that its format has."""
    number = record.get("format", 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise DamageError(f"is of the format {number!r}, which is none")
    if CHECKSUM not in record and SEALED <= number <= FORMAT:
        raise DamageError("has no checksum")
    return number


def kind_of_first_format(file: str, record: Mapping[str, Any]) -> str | None:
    """The kind of a record of format 1, by the fields that its command wrote; None if it is no record."""
    kind = next((kind for kind, marks in MARKS.items() if marks <= record.keys()), None)
    if kind == "graph":
        return graph_kind(record["config"])
    if kind is None and file == "compare.json" and record and all(map(is_observation, record.values())):
        return "observe-compare"
    return kind


def graph_kind(config: Mapping[str, Any]) -> str:
    """The kind of a graph command's record of format 1, by an option that no other command had."""
    return next((kind for option, kind in GRAPH_KINDS.items() if option in config), "graph-equilibria")


def is_observation(record: Any) -> bool:
    return isinstance(record, dict) and MARKS["observe"] <= record.keys()
