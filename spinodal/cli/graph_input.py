"""What `spinodal graph` is given and where it writes: systems and states from text, folders that hold results."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import spinodal
from spinodal import graphs
from spinodal.cli.output import console
from spinodal.errors import InputError


def system_of(
    graph: str, text: str, values: list[str] | None, anchor: str, drive: str
) -> "spinodal.graphs.System":
    return built(graph, text, parameters(values), anchor, drive)


def built(
    graph: str, text: str, values: dict[str, float], anchor: str, drive: str
) -> "spinodal.graphs.System":
    shape = graphs.named(graph)
    f = graphs.coupling(text, **values)
    sites = {"stiffness": numbers("--anchor", anchor), "drive": numbers("--drive", drive)}
    if not any(np.any(value) for value in sites.values()):
        return graphs.System(shape, f)
    return graphs.System(shape, f, graphs.onsite(shape.n, **sites))


def parameters(values: list[str] | None) -> dict[str, float]:
    found = {}
    for text in values or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: NAME=VALUE")
        found[name.strip()] = number(f"--set {name}", value)
    return found


def numbers(option: str, text: str) -> float | Float[np.ndarray, " n"]:
    parts = [number(option, part) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else np.array(parts)


def number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} takes numbers, {text!r} is none") from None


def start_of(system: "spinodal.graphs.System", text: str, seed: int) -> Float[np.ndarray, " n"]:
    n = system.graph.n
    kind, _, turns = text.partition(":")
    if kind == "zero":
        return np.zeros(n)
    if kind == "random":
        return np.random.default_rng(seed).normal(size=n)
    if kind == "twisted" and turns.lstrip("-").isdigit():
        return graphs.twisted_state(n, int(turns))
    if text.endswith(".npy"):
        return read_state(Path(text), n)
    raise InputError(f"--start {text}: zero, random, twisted:Q or STATE.npy")


def read_state(path: Path, n: int) -> Float[np.ndarray, " n"]:
    try:
        x = np.load(path, allow_pickle=False).astype(float)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no array of numbers: {error}") from None
    if x.shape != (n,) or not np.isfinite(x).all():
        raise InputError(f"{path} has shape {x.shape}: {n} finite numbers, one a vertex, are needed")
    return x


def checked(out: Path | None, overwrite: bool, *, seed: int, **counts: int) -> None:
    """InputError for a folder that is in the way and for numbers out of range, before any work."""
    if seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more")
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"--{name} is too small")
    if out and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out takes a folder")
    if out and (out / "run.json").exists() and not overwrite:
        raise InputError(
            f"{out} holds results already: --overwrite replaces them, --out takes another folder"
        )


def save(
    out: Path,
    config: dict[str, Any],
    seed: int,
    measured: dict[str, Any],
    arrays: dict[str, Any],
    pictures: dict[str, Any] | None = None,
    *,
    quiet: bool = False,
) -> None:
    """results.npz, state.npy where there is one, the pictures, and last run.json."""
    from spinodal.runs import commit, versions

    out.mkdir(parents=True, exist_ok=True)
    state = arrays.pop("state", None)
    np.savez(out / "results.npz", **arrays)
    if state is not None:
        np.save(out / "state.npy", state)
    for name, picture in (pictures or {}).items():
        picture.savefig(out / name, dpi=150)
    run = {
        "config": config, "seed": seed, "commit": commit(), "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(), "measured": measured,
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(run, indent=1))
    if not quiet:
        console.print(f"results: {out}", highlight=False, soft_wrap=True)
