from . import sweep
from .checkpoints import (
    close_checkpoint,
    difference,
    newest_checkpoint,
    read_checkpoint,
    rotate_checkpoints,
    write_checkpoint,
)
from .codec import SAVED_IF_SET, UNSAVED, encode, equal, register
from .decoding import decode
from .files import (
    SaveError,
    checksum,
    discard,
    replacing,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
)
from .folder import PICTURES, RunFolder, check_folder, open_run, picture_files
from .provenance import Provenance, commit, machine, now, provenance, versions
from .reading import read, result_of
from .record import Run, arrays_of, read_run
from .survey import RunStatus, survey

__all__ = [
    "PICTURES",
    "SAVED_IF_SET",
    "UNSAVED",
    "Provenance",
    "Run",
    "RunFolder",
    "RunStatus",
    "SaveError",
    "arrays_of",
    "check_folder",
    "checksum",
    "close_checkpoint",
    "commit",
    "decode",
    "difference",
    "discard",
    "encode",
    "equal",
    "machine",
    "newest_checkpoint",
    "now",
    "open_run",
    "picture_files",
    "provenance",
    "read",
    "read_checkpoint",
    "read_run",
    "register",
    "replacing",
    "result_of",
    "rotate_checkpoints",
    "survey",
    "sweep",
    "versions",
    "write_arrays",
    "write_bytes",
    "write_checkpoint",
    "write_json",
    "write_text",
]
