"""Runs of an experiment in a folder: computed where they are not there, kept where they are, and drawn."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from spinodal.runs import RunFolder, open_run
from spinodal.watch.folder import REPORT, resumable

R = TypeVar("R")


def run_into(
    experiment: Any,
    compute: Callable[[], R],
    result: type[R],
    out: Path,
    *,
    kind: str,
    command: str = "",
    resume: bool | None = None,
    overwrite: bool = False,
    draw: Callable[[RunFolder, R], None] | None = None,
) -> R:
    """What `compute` returns, with its record of this kind in the folder `out`.

    A folder that holds a run is refused unless `overwrite`; with `resume` a finished one of the same experiment is
    returned as it is. `draw`, last of all, is called with the folder and the result, and may write report.html.
    """
    with open_run(
        out, kind=kind, config=experiment, owned=(REPORT,), seed=getattr(experiment, "seed", None),
        resume=resumable(out / "run.json", experiment) if resume else None, overwrite=overwrite,
        label={"command": command} if command else None,
    ) as folder:  # fmt: skip
        if folder.previous is not None and folder.previous.finished:
            warnings.warn(f"{out} holds this run already: it is kept, not made again", stacklevel=3)
            found = folder.adopt().result_as(result)
        else:
            found = compute()
            folder.finish(found)
        if draw:
            draw(folder, found)
    return found
