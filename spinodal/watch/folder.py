"""Observations in folders: observe.json (or compare.json for several) and trajectory.safetensors, and their reader.

DIR/observe.json             the observation, its origin, and the fields of `ObservationResult`
DIR/trajectory.safetensors   tokens of the input that is shown, layer by layer
DIR/compare.json             the fields of `ObservationComparison`; DIR/NAME/observe.json those that were made for it
DIR/report.html              their page, where a caller draws it
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from spinodal.errors import InputError
from spinodal.runs import RunFolder, decode, encode, open_run, read_run
from spinodal.types import Progress, Trajectory
from spinodal.watch.arrays import read_trajectory, write_trajectory
from spinodal.watch.experiment import Observation, observe
from spinodal.watch.result import ObservationComparison, ObservationResult

RECORD, COMPARISON = "observe.json", "compare.json"
TRAJECTORY, REPORT = "trajectory.safetensors", "report.html"
ORIGIN = ("config", "seed", "commit", "date", "versions", "machine", "threads", "command")
Draw = Callable[[RunFolder, ObservationResult | ObservationComparison], None]


def observe_into(
    observation: Observation,
    out: Path,
    *,
    command: str = "",
    resume: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    draw: Draw | None = None,
) -> ObservationResult:
    """Observes into the folder `out` and returns what its observe.json says.

    A folder that holds an observation is refused unless `overwrite`; with `resume` one of the same configuration is
    made where it is unfinished, and returned as it is where it is finished. `draw`, last of all, is called with the
    folder and the observation, and may write report.html.
    """
    with open_run(
        out, kind="observe", config=observation, owned=(TRAJECTORY, REPORT), seed=observation.question.seed,
        resume=resumable(out / RECORD, observation) if resume else None, overwrite=overwrite,
        label={"command": command} if command else None, record=RECORD,
    ) as folder:  # fmt: skip
        if folder.previous is not None and folder.previous.finished:
            warnings.warn(f"{out} holds this observation already: it is kept, not made again", stacklevel=2)
            found = read_observation(folder.adopt().path)
        else:
            found = observe(observation, progress=progress)
            write(folder, found)
        if draw:
            draw(folder, found)
    return found


def resumable(record: Path, config: object) -> bool | None:
    """True where a record has this configuration; else None, with which `open_run` refuses the folder."""
    return True if record.is_file() and read_run(record).config == encode(config)[0] else None


def write(folder: RunFolder, found: ObservationResult) -> None:
    """Writes the trajectory, and then the record, into the folder."""
    shown = found.shown
    assert shown.times is not None
    assert shown.tokens is not None
    tokens = torch.from_numpy(shown.tokens)[:, None]
    valid = torch.ones(1, tokens.shape[2], dtype=torch.bool)
    with folder.replacing(TRAJECTORY) as place:
        write_trajectory(place, Trajectory(torch.from_numpy(shown.times), tokens, valid))
    folder.finish(without_trajectory(found))


def without_trajectory(found: ObservationResult) -> ObservationResult:
    """The observation as its record has it: without the trajectory, which has a file of its own."""
    return replace(found, shown=replace(found.shown, times=None, tokens=None))


def read_observation(place: Path) -> ObservationResult:
    """The observation of a folder, or of its observe.json, with the trajectory that is shown where that is there.

    InputError where there is no finished observation.
    """
    run = read_run(place)
    if run.kind != "observe":
        raise InputError(f"{run.path} is not an observation, but a run of {run.kind}")
    found = run.result_as(ObservationResult)
    if not (run.folder / TRAJECTORY).is_file():
        return found
    way = read_trajectory(run.folder / TRAJECTORY)
    return replace(
        found, shown=replace(found.shown, times=way.times.numpy(), tokens=way.tokens[:, 0].numpy())
    )


def read_comparison(place: Path) -> ObservationComparison:
    """The comparison of a folder, or of its compare.json, its observations without the trajectories that they show.

    InputError where there is no finished comparison.
    """
    run = read_run(place)
    if run.kind != "observe-compare":
        raise InputError(f"{run.path} is not a comparison of observations, but a run of {run.kind}")
    # origins are records as they are: an array that one of them names is in the folder that it came from
    seen = {name: decode(ObservationResult, value, {}) for name, value in run.result["observations"].items()}
    return ObservationComparison(seen, run.result.get("origins", {}))


def find_observation(place: str | Path) -> Path | None:
    """The folder of the observation whose folder or whose observe.json this is, None where it is neither."""
    folder = Path(place).parent if Path(place).name == RECORD else Path(place)
    return folder if (folder / RECORD).is_file() else None


def compare_into(
    sources: Mapping[str, Observation | Path],
    out: Path,
    *,
    command: str = "",
    resume: bool | None = None,
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
    draw: Draw | None = None,
) -> ObservationComparison:
    """Compares observations by name: makes those given as values, below `out`, reads those given as paths.

    Finished observations of an unfinished comparison are kept; with `resume`, so are those of a finished one.
    `progress` is a function of a name that returns what is called with (inputs done, inputs in all). `draw`
    is called with every observation below `out`, and then with the comparison.
    """
    places = {name: source if isinstance(source, Path) else out / name for name, source in sources.items()}
    asked = {name: source for name, source in sources.items() if isinstance(source, Observation)}
    config = {
        "models": places,
        "questions": {name: source.question for name, source in asked.items()},
        "effects": {name: source.effect for name, source in asked.items()},
    }
    seeds = {source.question.seed for source in asked.values()}
    with open_run(
        out, kind="observe-compare", config=config, owned=(REPORT,), record=COMPARISON,
        seed=seeds.pop() if len(seeds) == 1 else None, overwrite=overwrite,
        resume=resumable(out / COMPARISON, config) if resume else None,
        label={"command": command} if command else None,
    ) as folder:  # fmt: skip
        observations = {
            name: read_observation(source)
            if isinstance(source, Path)
            else observe_into(
                source, places[name], command=command, resume=not overwrite, overwrite=overwrite,
                progress=progress(name) if progress else None, draw=draw,
            )
            for name, source in sources.items()
        }  # fmt: skip
        records = {name: read_run(place).record for name, place in places.items()}
        origins = {
            name: {key: record[key] for key in ORIGIN if key in record} for name, record in records.items()
        }
        folder.remove(REPORT)
        folder.finish(
            ObservationComparison({name: without_trajectory(x) for name, x in observations.items()}, origins)
        )
        found = ObservationComparison(observations, origins)
        if draw:
            draw(folder, found)
    return found


def distinct_names(places: Sequence[str]) -> list[str]:
    """The last component of each path, or as many as make the names distinct; InputError for equal paths."""
    parts = [Path(place).resolve().parts if Path(place).exists() else Path(place).parts for place in places]
    if len(set(parts)) < len(parts):
        raise InputError(f"{' '.join(places)}: one model twice")
    for k in range(1, max(map(len, parts))):
        names = ["-".join(part[-k:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["-".join(part) for part in parts]
