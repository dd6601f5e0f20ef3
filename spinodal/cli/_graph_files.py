"""Files of `spinodal graph`: states that are read, and the folder that results go to."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spinodal import graphs
from spinodal.cli._output import command_line, console


def start_of(text: str) -> Any:
    """A state from its file, or the name of one."""
    from spinodal.cli._arrays import read_array

    return read_array(Path(text)) if text.endswith(".npy") else text


def save_state(folder: Any, name: str, x: "graphs.State") -> None:
    """A state as a file that --start and `stability` read."""
    import numpy as np

    with folder.replacing(name) as place:
        np.save(place, x)


@contextlib.contextmanager
def run_folder(
    out: Path | None, kind: str, experiment: Any, *owned: str, overwrite: bool, quiet: bool = False
) -> Iterator[Any]:
    """The folder to write to, None where none was asked for; at the end it is said where the results are."""
    from spinodal.runs import open_run

    if out is None:
        yield None
        return
    label = {"command": command_line()}
    with open_run(
        out,
        kind=kind,
        config=experiment,
        seed=experiment.seed,
        owned=owned,
        resume=None,
        overwrite=overwrite,
        label=label,
    ) as folder:
        yield folder
    if not quiet:
        console.print(f"results: {out}", highlight=False, soft_wrap=True)
