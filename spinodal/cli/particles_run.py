"""A simulation of the command line becomes files."""

import hashlib
import json
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from spinodal import theory
from spinodal.cli.particles import Report, Simulation
from spinodal.cli.particles_input import Prepared
from spinodal.errors import InputError
from spinodal.flows.fields.energy import energy_of
from spinodal.flows.state import State
from spinodal.flows.time import MERGE, Keeper, Layers, Run, simulate
from spinodal.observables import cluster_count, cluster_labels, mean_cosine
from spinodal.types import Trajectory

LISTED = 10_000  # merges in run.json; of more, the last ones, and all in trajectory.npz
FILES = (
    "run.json", "checkpoint", "trajectory.npz", "cosines.png", "energy.png", "circle.png", "sphere.png", "movie.gif",
    "movie.mp4",
)  # fmt: skip
CLOSE = 1e-3  # 1 - cos of tokens of one colour in a movie
PAIRS = 4096  # tokens up to which the smallest cosine is looked for


class Finished(NamedTuple):
    """What run.json says, and the run with its tokens in the whole space."""

    json: dict[str, Any]
    run: Run
    tokens: Float[np.ndarray, "t n d"]


def opened(out: Path, simulation: Simulation, *, resume: bool, overwrite: bool) -> None:
    """InputError where a run is in the way."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out takes a folder")
    there = [out / name for name in ("run.json", "checkpoint") if (out / name).exists()]
    if overwrite:
        for name in FILES:
            (out / name).unlink(missing_ok=True)
    elif there and not resume:
        raise InputError(f"{out} holds a run already: --resume goes on with it, --overwrite starts it again")
    elif there and there[0].name == "run.json":
        raise InputError(
            f"{out} holds a finished run: there is nothing to resume; --overwrite starts it again"
        )
    out.mkdir(parents=True, exist_ok=True)


def simulated(p: Prepared, out: Path, *, resume: bool, report: Report) -> Finished:
    """Flows, and says in figures what came of it."""
    from spinodal.runs import commit, versions

    began = time.perf_counter()
    s = p.simulation
    config = asdict(s) | {"n": p.n, "d": p.c.shape[1] if p.B is None else p.B.shape[1]}
    keeper = Keeper(out / "checkpoint", json.dumps(config | {"files": digest(s)}), resume=resume)
    run = simulate(
        p.field,
        p.c,
        s.end,
        weights=p.weights,
        method=p.method,
        saves=p.saves(),
        keeper=keeper,
        progress=report,
    )
    frames = run.tokens
    left_out = max(0, len(run.merges.time) - LISTED)
    merges = [
        {"time": float(when), "clusters": int(count), "tokens": [int(a), int(b)]}
        for when, count, a, b in zip(*(part[left_out:] for part in run.merges), strict=True)
    ]
    energy, reason = energies(p, run)
    times = run.times
    final = {
        "time": float(times[-1]), "clusters": clusters(p, run), "steps": run.steps,
        "evaluations": run.evaluations, "mean_cosine": float(mean_cosine(run.trajectory)[-1, 0]),
        "smallest_cosine": float((frames[-1] @ frames[-1].T).min()) if p.n <= PAIRS else None,
        "longest": float(run.lengths[-1].max()), "seconds": time.perf_counter() - began,
    }  # fmt: skip
    r = p.c.shape[1]
    told = {
        "config": config, "engine": ", ".join(run.engines), "span": r if p.B is not None else None,
        "error_bound": run.error_bound,
        "merges": merges, "merges_left_out": left_out, "energy": energy, "energy_missing": reason, "final": final,
        "seed": s.seed, "commit": commit(), "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }  # fmt: skip
    return Finished(told, run, frames if p.B is None else frames @ p.B)


def digest(s: Simulation) -> str:
    """SHA-256 of all that was read: a run goes on with what it began with."""
    files = [
        file for file in (s.q, s.k, s.v, s.start, s.weights, s.save_times) if file and Path(file).is_file()
    ]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def clusters(p: Prepared, run: Run) -> int:
    """Tokens that have not met; where they may not merge, groups of tokens nearer than MERGE at the end."""
    if p.field.merges:
        return p.n - len(run.merges.time)
    times, tokens, valid = run.trajectory
    return int(cluster_count(Trajectory(times[-1:], tokens[-1:], valid), MERGE**2 / 2))


def energies(p: Prepared, run: Run) -> tuple[dict[str, Any] | None, str | None]:
    """log E and log |dE/dt| at each time, or None and the reason."""
    try:
        energy = energy_of(p.field)
    except InputError as error:
        return None, str(error)
    times = run.times.tolist()
    states = [State(x, r) for x, r in zip(run.tokens, run.lengths, strict=True)]
    E = [energy.log(state.directions, p.weights) for state in states]
    D = [energy.log_dissipation(t, state, p.weights) for t, state in zip(times, states, strict=True)]
    finite = lambda values: [value if math.isfinite(value) else None for value in values]
    return {"time": times, "log_energy": finite(E), "log_dissipation": finite(D), "sign": energy.sign}, None


def write(out: Path, p: Prepared, done: Finished, *, movie: bool) -> list[str]:
    """The files of a finished run; run.json comes last, and says that all are there."""
    times = done.run.times
    arrays = {f"merge_{name}": part for name, part in done.run.merges._asdict().items()}
    np.savez_compressed(
        out / "trajectory.npz",
        times=times,
        tokens=done.tokens,
        lengths=done.run.lengths,
        weights=p.weights,
        **arrays,
    )
    pictures = drawn(out, p, done, movie=movie)
    part = out / "run.json.part"
    part.write_text(json.dumps(done.json, indent=1))
    part.replace(out / "run.json")
    (out / "checkpoint").unlink(missing_ok=True)
    return ["run.json", "trajectory.npz", *pictures]


def drawn(out: Path, p: Prepared, done: Finished, *, movie: bool) -> list[str]:
    from spinodal.figures import flow, movies

    times, tokens, merges = done.run.times, done.tokens, done.run.merges.time
    gamma = gamma_curve(p, times)
    figures = {"cosines.png": flow.cosines_over_time(times, tokens, gamma)}
    if done.json["energy"]:
        log_E = np.array(done.json["energy"]["log_energy"], dtype=float)
        figures["energy.png"] = flow.energy_over_time(times, log_E, merges, energy_curve(p, gamma))
    d = tokens.shape[2]
    films = []
    if d == 2:
        figures["circle.png"] = flow.angles_over_time(times, tokens, merges)
    elif d == 3:
        figures["sphere.png"] = flow.paths_on_sphere(times, tokens)
    if movie and d == 3:
        films = movies.sphere_movie(times, flow.some(tokens), out / "movie.gif")
    elif movie and d == 2:
        shown = flow.some(tokens)
        angles = np.arctan2(shown[..., 1], shown[..., 0])
        seen = torch.ones((1, shown.shape[1]), dtype=torch.bool)
        followed = Trajectory(done.run.trajectory.times, torch.from_numpy(shown)[:, None], seen)
        labels = cluster_labels(followed, CLOSE)[:, 0].numpy()
        films = movies.circle_movie(times, angles, labels, out / "movie.gif")
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=150)
    return [*figures, *(film.name for film in films)]


def gamma_curve(p: Prepared, times: Float[np.ndarray, " t"]) -> tuple[np.ndarray, np.ndarray] | None:
    """(times, gamma) of the theory, where the start is orthonormal and the field the plain one."""
    s = p.simulation
    others = (s.perturb, s.causal, s.repulsive, s.q, s.k, s.v, s.weights, s.noise)
    if s.start != "orthonormal" or any(others) or s.normalisation != "post" or s.beta > 500:
        return None
    if isinstance(p.method, Layers):
        layers = round(times[-1] / p.method.step)
        clock = p.method.step * np.arange(layers + 1)
        return (
            (clock, np.asarray(theory.layer_gamma(layers, p.n, s.beta, p.method.step)))
            if s.field == "sa"
            else None
        )
    curves = {"sa": theory.gamma_sa, "usa": theory.gamma_usa}
    if s.field not in curves:
        return None
    return times, np.asarray(curves[s.field](times, p.n, s.beta))


def energy_curve(
    p: Prepared, gamma: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """log E = log((e^b + (n-1) e^{b g}) / (2 b n)) along gamma."""
    beta, n = p.simulation.beta, p.n
    if gamma is None or beta == 0:
        return None
    times, g = gamma
    return times, beta + np.log1p((n - 1) * np.exp(beta * (g - 1))) - math.log(2 * beta * n)
