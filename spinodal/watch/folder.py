"""Observations in folders: observe.json (or compare.json for several) and trajectory.safetensors, and their reader.

DIR/observe.json             the observation, its origin, and the fields of `Observed`
DIR/trajectory.safetensors   tokens of the input that is shown, layer by layer
DIR/compare.json             the fields of `Compared`; DIR/NAME/observe.json those that were made for it
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from spinodal.errors import InputError
from spinodal.runs import Run, RunFolder, open_run, read_run
from spinodal.types import Trajectory
from spinodal.watch.arrays import read_trajectory, write_trajectory
from spinodal.watch.experiment import Observation, observe
from spinodal.watch.result import Compared, Observed

RECORD, COMPARISON = "observe.json", "compare.json"
TRAJECTORY, REPORT = "trajectory.safetensors", "report.html"
ORIGIN = ("config", "seed", "commit", "date", "versions", "machine", "threads", "command")
Progress = Callable[[int, int], None]


def observe_into(
    observation: Observation,
    out: Path,
    *,
    command: str = "",
    resume: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Observed:
    """Observes into the folder `out` and returns what its observe.json says.

    A folder that holds an observation is refused unless `overwrite`; with `resume` a finished one of the same
    configuration is returned as it is.
    """
    with open_run(
        out, kind="observe", config=observation, owned=(TRAJECTORY, REPORT), seed=observation.question.seed,
        resume=resume, overwrite=overwrite, label={"command": command} if command else None, record=RECORD,
    ) as folder:  # fmt: skip
        if folder.previous is not None and folder.previous.finished:
            return kept(folder.previous)
        found = observe(observation, progress=progress)
        write(folder, found)
    return found


def kept(run: Run) -> Observed:
    """The observation of a finished run of the same configuration; InputError for one that does not say its own."""
    if not run.config:
        raise InputError(
            f"{run.folder} holds an observation that does not say what it observed: `overwrite` makes it again",
            field="overwrite",
        )
    warnings.warn(f"{run.folder} holds this observation already: it is kept", stacklevel=3)
    return read_observation(run.path)


def write(folder: RunFolder, found: Observed) -> None:
    """The trajectory, and then the record."""
    shown = found.shown
    assert shown.times is not None
    assert shown.tokens is not None
    tokens = torch.from_numpy(shown.tokens)[:, None]
    valid = torch.ones(1, tokens.shape[2], dtype=torch.bool)
    with folder.replacing(TRAJECTORY) as place:
        write_trajectory(place, Trajectory(torch.from_numpy(shown.times), tokens, valid))
    folder.finish(recorded(found))


def recorded(found: Observed) -> Observed:
    """The observation as its record has it: without the trajectory, which has a file of its own."""
    return replace(found, shown=replace(found.shown, times=None, tokens=None))


def read_observation(place: Path) -> Observed:
    """The observation of a folder, or of its observe.json, with the trajectory that is shown where that is there.

    InputError where there is no finished observation.
    """
    run = read_run(place)
    if run.kind != "observe":
        raise InputError(f"{run.path} is not an observation, but a run of {run.kind}")
    found = run.result_as(Observed)
    if not (run.folder / TRAJECTORY).is_file():
        return found
    way = read_trajectory(run.folder / TRAJECTORY)
    return replace(
        found, shown=replace(found.shown, times=way.times.numpy(), tokens=way.tokens[:, 0].numpy())
    )


def observed_in(place: str | Path) -> bool:
    """Whether a folder holds the record of an observation."""
    return (Path(place) / RECORD).is_file()


def compare_into(
    sources: Mapping[str, Observation | Path],
    out: Path,
    *,
    command: str = "",
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Compared:
    """Several observations side by side, by name: those to be made, in folders of `out`, and folders of known ones.

    Of a comparison that was stopped, what is finished is kept. `progress` is told a name,
    how many of its inputs are done, and of how many.
    """
    places = {name: source if isinstance(source, Path) else out / name for name, source in sources.items()}
    seeds = {source.question.seed for source in sources.values() if isinstance(source, Observation)}
    with open_run(
        out, kind="observe-compare", config={"models": places}, owned=(REPORT,), record=COMPARISON,
        seed=seeds.pop() if len(seeds) == 1 else None, resume=None, overwrite=overwrite,
        label={"command": command} if command else None,
    ) as folder:  # fmt: skip
        observations = {
            name: read_observation(source)
            if isinstance(source, Path)
            else observe_into(
                source, places[name], command=command, resume=not overwrite, overwrite=overwrite,
                progress=functools.partial(progress, name) if progress else None,
            )
            for name, source in sources.items()
        }  # fmt: skip
        records = {name: read_run(place).record for name, place in places.items()}
        origins = {
            name: {key: record[key] for key in ORIGIN if key in record} for name, record in records.items()
        }
        folder.finish(Compared({name: recorded(x) for name, x in observations.items()}, origins))
    return Compared(observations, origins)


def distinct_names(places: Sequence[str]) -> list[str]:
    """The last part of each place, or as many parts as tell them apart; InputError where one stands twice."""
    parts = [Path(place).resolve().parts if Path(place).exists() else Path(place).parts for place in places]
    if len(set(parts)) < len(parts):
        raise InputError(f"{' '.join(places)}: one model twice")
    for k in range(1, max(map(len, parts))):
        names = ["-".join(part[-k:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["-".join(part) for part in parts]
