"""What `spinodal meanfield` does: a start read and checked, a solver chosen, a record reported and written."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spinodal import theory
from spinodal.errors import InputError
from spinodal.meanfield import (
    Circle,
    CircleModes,
    Flow,
    Fourier,
    Gegenbauer,
    Record,
    Sphere,
    SphereModes,
    Zonal,
    ZonalModes,
    circle_noise,
    circle_values,
    clustering_rate,
    dimensions,
    distance,
    flow,
    forecast,
    measured_rates,
    packed,
    recorded,
    sphere_noise,
    zonal_noise,
)
from spinodal.meanfield.solver import Solver
from spinodal.meanfield.starts import NOISY_DEGREES
from spinodal.observables import plateaus
from spinodal.runs import commit, versions

DEGREES = 64
SHOWN = 16  # degrees in run.json
DRAWN = 6  # degrees in the picture
ROUGH = 1e-2  # tail of the map of labels, above which nodes are tokens and no longer a rule
ROWS = 400  # times in run.json; record.npz has all


@dataclass(frozen=True)
class Setting:
    """The command's options."""

    geometry: str
    d: int | None
    field: str
    beta: float
    start: str
    until: str
    tol: float
    noise: float | None
    repulsive: bool
    resolution: int | None
    seed: int


@dataclass(frozen=True)
class Prepared:
    """A solver, and when to stop it."""

    flow: Flow
    solver: Solver
    until: float
    stop: str

    def record(self, frame: Callable[[Any], None] | None = None) -> Record:
        degrees = 32 if isinstance(self.solver, Sphere) else DEGREES
        return recorded(self.solver, until=self.until, stop=self.stop, degrees=degrees, frame=frame)


def prepared(setting: Setting) -> Prepared:
    """The solver of a setting; InputError names what does not fit, before any work."""
    fixed = {"circle": 2, "sphere": 3, "zonal": setting.d if setting.d is not None else 3}
    if setting.geometry not in fixed:
        raise InputError(f"--geometry {setting.geometry}: circle, sphere or zonal")
    d = fixed[setting.geometry]
    if setting.d not in (None, d):
        raise InputError(
            f"--geometry {setting.geometry} has d = {d}; for d = {setting.d} use --geometry zonal"
        )
    if not 1e-13 <= setting.tol <= 1e-2:
        raise InputError(f"--tol {setting.tol:g} must lie between 1e-13, where rounding begins, and 1e-2")
    if setting.seed < 0:
        raise InputError(f"--seed {setting.seed}: a whole number from 0")
    if setting.resolution is not None and setting.noise is None and setting.geometry != "sphere":
        raise InputError(
            f"--resolution {setting.resolution}: without noise, panels split by themselves as --tol asks; leave it out"
        )
    law = flow(setting.field, setting.beta, d, repulsive=setting.repulsive)
    until, stop = end(setting)
    start = read_start(setting, d)
    return Prepared(law, solver_of(setting, law, start), until, stop)


def end(setting: Setting) -> tuple[float, str]:
    if setting.until in ("diracs", "consensus"):
        if setting.noise is not None or setting.repulsive:
            raise InputError(f"--until {setting.until}: with noise or V = -I no Diracs form; give a time")
        return np.inf, setting.until
    try:
        until = float(setting.until)
    except ValueError:
        until = np.nan
    if not 0 < until < np.inf:
        raise InputError(f"--until {setting.until}: a positive time, 'diracs' or 'consensus'")
    return until, "time"


def solver_of(setting: Setting, law: Flow, start: CircleModes | ZonalModes | SphereModes) -> Solver:
    if setting.resolution is not None and setting.resolution < 4:
        raise InputError(f"--resolution {setting.resolution}: four degrees or more")
    kappa = np.inf if setting.noise is None else setting.noise
    if isinstance(start, SphereModes):
        if setting.noise is not None:
            raise InputError(
                "--noise on the sphere: densities with noise are solved on the circle and zonal only"
            )
        return Sphere(law, start, degree=setting.resolution or 32, tolerance=setting.tol)
    degrees = setting.resolution or DEGREES
    if isinstance(start, CircleModes):
        if setting.noise is None:
            return Circle(law, start, tolerance=setting.tol)
        return Fourier(law, start, kappa=kappa, degrees=degrees, tolerance=setting.tol)
    if setting.noise is None:
        return Zonal(law, start, tolerance=setting.tol)
    return Gegenbauer(law, start, kappa=kappa, degrees=degrees, tolerance=setting.tol)


def read_start(setting: Setting, d: int) -> CircleModes | ZonalModes | SphereModes:
    """uniform+noise:SIGMA, modes:FILE or density:FILE."""
    text, geometry = setting.start, setting.geometry
    kind, _, value = text.partition(":")
    if kind == "uniform+noise":
        try:
            sigma = float(value)
        except ValueError:
            raise InputError(f"--start {text}: uniform+noise:0.01 has a number after the colon") from None
        rng = np.random.default_rng(setting.seed)
        if geometry == "sphere":
            return sphere_noise(sigma, rng)
        # moments need room above the start for what it turns into
        degrees = NOISY_DEGREES if setting.noise is None else (setting.resolution or DEGREES) // 2
        return (
            circle_noise(sigma, rng, degrees=degrees)
            if geometry == "circle"
            else zonal_noise(sigma, d, rng, degrees=degrees)
        )
    if kind == "uniform":
        raise InputError(
            "--start uniform: the uniform density rests for ever; use uniform+noise:0.01 or modes:FILE"
        )
    if kind == "density" and geometry == "circle":
        return circle_values(numbers(Path(value), 1)[:, 0])
    if kind != "modes":
        raise InputError(f"--start {text}: uniform+noise:SIGMA, modes:FILE or, on the circle, density:FILE")
    columns = {"circle": 3, "zonal": 2, "sphere": 3}[geometry]
    rows = numbers(Path(value), columns)
    if np.any(rows[:, 0] != np.round(rows[:, 0])) or rows[:, 0].min() < 0:
        raise InputError(f"{value}: degrees, the first column, are whole numbers from 0")
    if any(row[0] == 0 and row[-1 if geometry != "circle" else 1] != 1 for row in rows):
        raise InputError(
            f"{value}: degree 0 is the mass, and a density integrates to one: leave it out or make it 1"
        )
    return modes_start(rows[rows[:, 0] > 0], geometry, d)


def modes_start(rows: np.ndarray, geometry: str, d: int) -> CircleModes | ZonalModes | SphereModes:
    if not len(rows):
        raise InputError("--start: no mode above degree 0, and the uniform density rests for ever")
    degrees = rows[:, 0].astype(int)
    top = int(degrees.max())
    if geometry == "sphere":
        alm = np.zeros(packed(top, top, top) + 1, complex)
        alm[0] = np.sqrt(4 * np.pi)
        for l, m, amplitude in zip(degrees, rows[:, 1], rows[:, 2], strict=True):
            if m != round(m) or abs(m) > l:
                raise InputError(f"order m = {m:g} of degree {l}: a whole number from -l to l")
            # m < 0 is the sine, as real harmonics are usually written
            size = np.sqrt(4 * np.pi) * (1 if m == 0 else (1 if m > 0 else 1j) / np.sqrt(2))
            alm[packed(l, abs(int(m)), top)] += amplitude * size
        return SphereModes(alm, top)
    c: Any = np.zeros(top, complex)
    phases = rows[:, 2] if geometry == "circle" else np.zeros(len(rows))
    np.add.at(c, degrees - 1, rows[:, 1] * np.exp(1j * phases))
    return CircleModes(np.abs(c), np.angle(c)) if geometry == "circle" else ZonalModes(c.real, d)


def numbers(path: Path, columns: int) -> np.ndarray:
    """A table of numbers, # for comments; InputError unless it has so many columns."""
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file, which is refused below
            table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if not table.size or table.shape[1] != columns:
        raise InputError(
            f"{path}: {columns} numbers a line, here are {table.shape[1] if table.size else 'none'}"
        )
    return table


def theory_rates(setting: Setting, law: Flow, k: np.ndarray) -> np.ndarray:
    """lambda_k of linear theory, in the clock of the field."""
    kappa = np.inf if setting.noise is None else setting.noise
    scale = np.exp(theory.log_funk_hecke(0, law.d, law.beta) - law.beta) if setting.field == "gkpr" else 1.0
    rates = theory.growth_rate_usa if setting.field == "usa" else theory.growth_rate_sa
    return np.asarray(rates(k, law.d, law.beta, value=law.value, kappa=scale * kappa)) * scale


def reported(setting: Setting, run: Prepared, record: Record) -> dict[str, Any]:
    """The numbers of run.json."""
    law, top = run.flow, record.moments.shape[1] - 1
    k = np.arange(1, top + 1)
    rates, measured = theory_rates(setting, law, k), measured_rates(record)
    told = forecast(record.moments[0, 1:], dimensions(k, law.d), rates)
    rows = np.unique(np.linspace(0, len(record.times) - 1, ROWS).astype(int))
    life = plateaus(torch.from_numpy(record.times), torch.from_numpy(record.clusters))
    return {
        "time": record.times[-1],
        "steps": len(record.times) - 1,
        "mass_error": record.mass_error.max(),
        "minimum_density": finite(np.nanmin(record.minimum)) if np.isfinite(record.minimum).any() else None,
        "inversion": record.inversion.max(),
        "clusters": int(record.clusters[-1]),
        "forecast": {
            "degree": told.degree,
            "time": told.time,
            "positions": told.positions.tolist(),
            "fastest_degree": int(k[np.argmax(rates)]),
        }
        if np.isfinite(told.time)
        else None,
        "growth_rates": [
            {"degree": int(i), "measured": finite(a), "theory": float(b)}
            for i, a, b in zip(k[:SHOWN], measured[:SHOWN], rates[:SHOWN], strict=True)
        ],
        "plateaus": [p._asdict() for p in life],
        **({"map_tail": run.solver.map_tail()} if isinstance(run.solver, Sphere) else {}),
        "clustering_rate": finite(clustering_rate(record)),
        "distance_to_pattern": {
            "degree": told.degree,
            "values": distance(record.moments[rows], told.degree, law.d).tolist(),
        }
        if np.isfinite(told.time)
        else None,
        "amplitudes": {
            "times": record.times[rows].tolist(),
            "degrees": k[:SHOWN].tolist(),
            "values": np.abs(record.moments[rows, 1 : SHOWN + 1]).tolist(),
        },
    }


def finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def written(out: Path, setting: Setting, run: Prepared, record: Record, results: dict[str, Any]) -> list[str]:
    """Writes the folder; the lines to print."""
    config = asdict(setting)
    head = {"config": config, "seed": setting.seed, "commit": commit(), "date": datetime.now(UTC).isoformat()}
    (out / "run.json").write_text(json.dumps(head | {"versions": versions()} | results, indent=1) + "\n")
    from spinodal.figures import densities

    state = run.solver
    arrays: dict[str, Any] = record._asdict()
    if isinstance(state, Circle | Sphere):
        arrays["tokens"], arrays["weights"] = state.tokens()
    np.savez_compressed(out / "record.npz", **arrays)
    k = np.arange(1, DRAWN + 1)
    figure = densities.amplitudes(
        record.times, np.abs(record.moments[:, k]), theory_rates(setting, run.flow, k)
    )
    figure.savefig(out / "amplitudes.png", dpi=150)
    names = ["amplitudes.png"]
    if not isinstance(state, Sphere):
        angle, values = densities.smoothed(record.moments, run.flow.d)
        told = results["forecast"]
        places, end = (told["positions"], told["time"]) if told else ([], 0.0)
        marks = densities.Marks(places, end, results["plateaus"])
        densities.life(record.times, angle, values, marks).savefig(out / "life.png", dpi=150)
        names.append("life.png")
    return [*summary(results), f"wrote run.json, record.npz, {' and '.join(names)} to {out}"]


def summary(results: dict[str, Any]) -> list[str]:
    told, least = results["forecast"], results["minimum_density"]
    lines = [
        f"t = {results['time']:.6g} after {results['steps']} steps, {results['clusters']} cluster(s); "
        f"mass error {results['mass_error']:.1g}, least density {'none' if least is None else f'{least:.3g}'}",
        f"forecast from the start: degree {told['degree']} (the fastest is {told['fastest_degree']}), "
        f"saturated at t = {told['time']:.4g}"
        if told
        else "forecast from the start: nothing grows, the uniform density is stable",
    ]
    if "map_tail" in results:
        tail = results["map_tail"]
        state = "a cloud of nodes" if tail > ROUGH else "resolved"
        lines.append(f"the map of labels has a tail of {tail:.1g}: {state} in the end")
    for row in results["growth_rates"][:6]:
        if row["measured"] is not None:
            lines.append(
                f"  degree {row['degree']}: growth rate {row['measured']:.6g}, theory {row['theory']:.6g}"
            )
    for p in results["plateaus"]:
        state = " (goes on)" if p["unfinished"] else ""
        lines.append(f"  {p['clusters']} cluster(s) from t = {p['start']:.4g} to {p['end']:.4g}{state}")
    if results["clustering_rate"] is not None:
        lines.append(f"clusters meet at a rate of {results['clustering_rate']:.4g} in the end")
    return lines
