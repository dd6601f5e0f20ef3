"""What is pinned of commands: what they are given, the numbers that they print, the numbers in the folders they write.

A command runs in a folder with copies of data/inputs, so its arguments hold relative names alone. `results` is the one
place that knows how run.json is laid out: where new runs are written in another form, say there where the numbers are.
"""

import contextlib
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DATA = Path(__file__).parent / "data"
INPUTS, FINISHED, PRINTED, OPTIONS, RECIPES = (
    DATA / name for name in ("inputs", "finished", "printed.json", "options.json", "recipes.json")
)

PRINTS = {
    **{f"theory {line}": f"theory {line}" for line in (
        "fastest_degree d=2 beta=5", "fastest_degree_threshold k=3 d=4", "gamma_time_sa gamma=0.999 n=32 beta=0,1,5,9",
        "gamma_sa t=1,2,3 n=32 beta=2", "gamma_usa t=1.5 n=8 beta=1", "gamma_pre t=2 n=4 beta=1",
        "growth_rate_sa k=1,2,3,4 d=3 beta=5", "growth_rate_usa k=1,2,3,4 d=2 beta=5 kappa=20",
        "log_funk_hecke k=0,1,2 d=3 beta=4", "hemisphere_probability n=6 d=3", "tricritical_beta d=3",
        "noise_threshold d=3 beta=2", "waiting_time angle=1 beta=9", "layer_to_ode t=4 n=8 beta=4 step=0.1",
        "optimal_overlaps n=6 d=3",
        "two_token_time_sa angle=0.1 beta=4 start=1", "two_token_angle_sa t=2 beta=4 start=1",
    )},
    "spectrum": "spectrum --d 2 --beta 5",
    "spectrum, noise": "spectrum --d 3 --beta 1 --noise 9 --degrees 5",
    "spectrum, thresholds": "spectrum --d 3 --thresholds 8",
    "equilibria of a triangle": "graph equilibria --graph cycle:3 --coupling y**3-y --json",
    "equilibria of a path": "graph equilibria --graph path:3 --coupling y**3-k*y --set k=1.5 --json",
    "equilibria, table": "graph equilibria --graph path:3 --coupling y**3-y",
    "flow": "graph flow --graph cube --coupling sin --seed 3 --time 30 --points 31",
    "folds": "graph continue --graph cycle:3 --drive=1,0,-1 --parameter mu --from 0 --to 3",
    "pitchfork": "graph continue --graph path:4 --drive=1,.5,-.5,-1 --parameter mu --from 0 --to 1",
    "modes at once": "graph continue --graph cycle:12 --coupling sin(y)+lam*sin(2*y) --start twisted:2 "
                     "--parameter lam --from 0 --to 1",
    "stability of a twisted state": "graph stability turned.npy --graph cycle:3 --json",
    "stability of a bent path": "graph stability bent.npy --graph path:3 --json",
    "stability, refined": "graph stability near.npy --graph cycle:3 --refine",
}  # fmt: skip


class Case(NamedTuple):
    """A command that writes a folder, and which of its files are kept."""

    line: str
    files: tuple[str, ...]


SIMULATED = ("run.json", "trajectory.npz")
DENSITY = ("run.json", "record.npz")
TINY = (
    "tokenizer=characters length=16 batch=4 width=8 depth=1 heads=2 hidden=4 phases=2 steps=30 log_every=5 "
    "evaluate_every=10 save_every=10 optimizer=adamw-one-rate"
)
TRAINED = ("run.json", "model")
FOLDERS = {
    "train-masked": Case(f"train pet-mlm corpus=corpus.txt {TINY}", TRAINED),
    "train-causal": Case(f"train pet-lm corpus=corpus.txt lr=0.008 matrix_lr=0 {TINY}", TRAINED),
    "train-translation": Case(
        f"train pet-translate corpus=pairs.tsv source_length=16 lr=0.008 matrix_lr=0 {TINY}", TRAINED
    ),
    "train-constrained": Case(
        f"train pet-mlm corpus=corpus.txt {TINY.replace('hidden=4', 'hidden=8')} channel=partition pathway=I "
        "reactions=1 method=augmented constrain=F tolerance=0.01", TRAINED,
    ),
    "simulate-circle": Case("simulate --n 3 --d 2 --beta 2 --tol 1e-4 --until consensus", SIMULATED),
    "simulate-span": Case("simulate --start orthonormal --n 4 --d 9 --until 2 --frames 5", SIMULATED),
    "simulate-causal": Case("simulate --n 3 --d 2 --causal --until consensus --tol 1e-5", SIMULATED),
    "simulate-layers": Case(
        "simulate --start x.npy --weights w.npy --q q.npy --clock layer --step 0.1 --until 1 --save-times t.npy "
        "--normalise", SIMULATED,
    ),
    "simulate-noise": Case("simulate --n 5 --d 3 --noise 50 --until 1 --frames 4", SIMULATED),
    "simulate-repulsive": Case("simulate --field usa --n 5 --repulsive --until 5 --frames 4 --seed 2", SIMULATED),
    **{f"simulate-{norm.split()[0]}": Case(f"simulate --n 6 --until 1 --frames 3 --normalisation {norm}", SIMULATED)
       for norm in ("pre", "peri", "sqrt", "mix --parameter .5", "ngpt --parameter .7")},
    **{f"simulate-by-{name}": Case(f"simulate --n 40 --d {d} --until .3 --frames 2 --tol 1e-5 --engine {name}",
                                   SIMULATED)
       for name, d in (("attention", 4), ("circle", 2), ("sphere", 3), ("lowrank", 6), ("span", 50))},
    "meanfield-circle": Case("meanfield --beta 5 --start modes:modes.txt --until 4 --tol 1e-6", DENSITY),
    "meanfield-zonal": Case(
        "meanfield --geometry zonal --d 5 --field usa --beta 2 --tol 1e-5 --until 1", DENSITY,
    ),
    "meanfield-sphere": Case(
        "meanfield --geometry sphere --field gkpr --tol 1e-4 --until 0.5 --resolution 20", DENSITY
    ),
    "meanfield-noise": Case("meanfield --noise 20 --beta 2 --tol 1e-4 --until 1 --resolution 8", DENSITY),
    "phase-diagram": Case(
        "phase-diagram --n 6 --d 2,40 --samples 6 --betas 4 --times 8 --t-max 8 --workers 1", ("run.json", "map.npz")
    ),
    "phase-diagram-ode": Case(
        "phase-diagram --n 4 --d 3 --samples 4 --betas 2 --times 4 --t-max 4 --clock ode --field usa --workers 1",
        ("run.json", "map.npz"),
    ),
    "graph-equilibria": Case(
        "graph equilibria --graph path:3 --coupling y**3-y", ("run.json", "results.npz")
    ),
    "graph-flow": Case(
        "graph flow --graph cycle:5 --seed 3 --time 20 --points 5", ("run.json", "results.npz", "state.npy")
    ),
    "graph-continue": Case(
        "graph continue --graph cycle:3 --drive=1,0,-1 --parameter mu --from 0 --to 2 --points 60",
        ("run.json", "results.npz"),
    ),
    "observe-arrays": Case("observe layers.npz --beta 1", ("observe.json", "trajectory.safetensors")),
    "observe-model": Case("observe trained --text lines.txt", ("observe.json",)),
}  # fmt: skip
STOPPED = FOLDERS["train-masked"].line.replace("steps=30", "steps=120")
SINGLE = {"graph-recall", "o1-albert", "o2-three-models"}  # recipes that run networks
# Not of the result: when, where, by what, how fast
VOLATILE = {
    "commit", "versions", "date", "seconds", "tokens_per_second", "machine", "command", "format", "engine",
}  # fmt: skip


def run(line: str) -> tuple[int, str]:
    """Exit status and standard output of a command line; standard error where it failed."""
    from spinodal.cli import main

    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["spinodal", *line.split()]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.argv = before
    return status, out.getvalue() if status == 0 else err.getvalue()


def said(text: str) -> Any:
    """The JSON that a command printed, without states, of which a manifold has many; or its numbers as printed."""
    if not text.startswith("{"):
        return tokens(text)
    found = json.loads(text)
    for row in found.get("equilibria", []):
        row.pop("state")
    return found


def tokens(text: str) -> list[str]:
    """The numbers of a text as they are printed."""
    return re.findall(r"(?<![\w.])[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?(?![\w])", text)


def unit(token: str) -> float:
    """One in the last digit of a printed number; 0 for a whole number."""
    digits, _, power = token.lower().partition("e")
    if "." not in digits and not power:
        return 0.0
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def differences(pinned: Any, found: Any, where: str = "", *, single: bool = False) -> list[str]:
    """Where numbers differ by more than 1e-6 of them and 1e-8, or what is no number differs; new keys may join.

    `single` is for what single precision computed: 1e-4 and 1e-6.
    """
    if isinstance(pinned, dict) and isinstance(found, dict):
        lost = [f"{where}: {key} is gone" for key in pinned if key not in found]
        return lost + [
            line
            for key in pinned
            if key in found
            for line in differences(pinned[key], found[key], f"{where}/{key}", single=single)
        ]
    if isinstance(pinned, list) and isinstance(found, list) and len(pinned) == len(found):
        pairs = enumerate(zip(pinned, found, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{where}[{i}]", single=single)]
    if isinstance(pinned, str) and isinstance(found, str) and tokens(pinned):
        same = alike(pinned, found)
    elif isinstance(pinned, float) and not math.isfinite(pinned):
        same = str(pinned) == str(found)  # JSON has no such number: the texts "inf" and "nan" are printed
    elif isinstance(pinned, float) and isinstance(found, int | float):
        tolerance = 1e-4 if single else 1e-6
        same = math.isclose(pinned, found, rel_tol=tolerance, abs_tol=tolerance / 100)
    else:
        same = pinned == found
    return [] if same else [f"{where}: {pinned!r} was pinned, {found!r} is found"]


def alike(pinned: str, found: str) -> bool:
    """Whether two texts hold the same numbers, each to one unit of its last digit, or to 1e-6 if it has many."""
    a, b = tokens(pinned), tokens(found)
    return len(a) == len(b) and all(
        abs(float(x) - float(y)) <= max(1.01 * unit(x), (1e-6 * abs(float(x)) + 1e-8) * (unit(x) > 0))
        for x, y in zip(a, b, strict=True)
    )


def results(path: Path) -> Any:
    """The settings and numbers of a run.json or observe.json, without what changes from run to run."""
    record = json.loads(path.read_text())
    kind = record.get("kind", "")
    if kind.startswith("graph-"):
        record = graph_results(path)
    elif kind == "meanfield":
        record = density_results(path)
    elif kind == "simulate":
        record = simulation_results(path)
    return steady(record)


SCALARS = ("starts", "start", "time", "points", "parameter")  # of experiments on a graph


def graph_results(path: Path) -> dict[str, Any]:
    """A run of `spinodal graph` as format 1 had it: options as they were given, and numbers by their printed names."""
    from spinodal import graphs
    from spinodal.runs import read_run

    run = read_run(path)
    asked, answered = {
        "graph-equilibria": (graphs.EquilibriumSearch, graphs.Equilibria),
        "graph-flow": (graphs.GradientFlow, graphs.FlowResult),
        "graph-continue": (graphs.Continuation, graphs.Branch),
    }[run.kind]
    experiment, found = run.config_as(asked), run.result_as(answered)
    system = experiment.system
    onsite = system.onsite or graphs.onsite(system.graph.n)
    sites = {"anchor": onsite.stiffness, "drive": onsite.drive}
    config = {
        "graph": system.graph.name, "coupling": system.coupling.text,
        "set": [f"{name}={value:g}" for name, value in system.coupling.parameters.items()],
        **{name: ",".join(f"{v:g}" for v in values) if values.any() else "0" for name, values in sites.items()},
        **{name: getattr(experiment, name) for name in SCALARS if hasattr(experiment, name)},
    }  # fmt: skip
    if isinstance(found, graphs.Equilibria):
        rows = [e._asdict() | {"state": e.state.tolist()} for e in found.entries]
        measured = {"vertices": list(system.graph.names), "equilibria": rows, "dimension_bound": found.bound}
        measured |= {name: getattr(found, name) for name in ("betti", "dimension", "unseen")}
    elif isinstance(found, graphs.FlowResult):
        measured = {
            "energy at the start": found.energies[0].item(), "energy at the end": found.energies[-1].item(),
            "largest rise": found.largest_rise, "|grad E| at the end": found.residual,
        }  # fmt: skip
    else:
        config |= {"from": experiment.first, "to": experiment.last}
        rows = [p._asdict() | {"state": p.state.tolist(), "kernel": None} for p in found.singular]
        measured = {"singular": rows, "end": found.end}
    return {"config": config, "seed": run.record["seed"], "measured": measured}


def simulation_results(path: Path) -> dict[str, Any]:
    """A run of `spinodal simulate` with its settings as format 1 had them: options as they were given.

    Which option files were given is told by whether their arrays are those of the inputs.
    """
    from spinodal import flows
    from spinodal.runs import read_run

    run = read_run(path)
    asked = run.config_as(flows.Simulation)
    field, start, method = asked.field, asked.start, asked.method
    perturbed = isinstance(start, flows.PerturbedStart)
    begin = start.start if perturbed else start
    heads = {"q": "queries", "k": "keys", "v": "values"}
    matrices = {
        name: np.stack([np.asarray(getattr(head, full)) for head in field.heads])
        for name, full in heads.items()
    }
    repulsive = bool(np.all(matrices["v"] == -1))
    names = {
        flows.UniformStart: "uniform",
        flows.OrthonormalStart: "orthonormal",
        flows.LatticeStart: "lattice",
    }
    kept = asked.times
    config = {
        "field": field.kind, "n": asked.n, "d": asked.d, "beta": field.beta,
        **{name: file_of(m, name) if m.ndim > 1 else None for name, m in matrices.items()},
        "causal": field.causal, "repulsive": repulsive, "normalisation": type(field.scheme).__name__.lower(),
        "parameter": getattr(field.scheme, "tau", getattr(field.scheme, "alpha", None)),
        "noise": None if field.kappa == np.inf else field.kappa,
        "clock": "layer" if isinstance(method, flows.Layers) else "ode",
        "step": method.step if isinstance(method, flows.Layers) else None,
        "start": "x.npy" if isinstance(begin, flows.TokenStart) else names[type(begin)],
        "perturb": start.size if perturbed else 0.0, "normalise": getattr(begin, "normalise", False),
        "weights": None if asked.weights is None else file_of(asked.weights, "w"),
        "until": "consensus" if asked.until == np.inf else f"{asked.until:g}".lstrip("0"),
        "frames": kept if isinstance(kept, int) else 101,
        "save_times": None if isinstance(kept, int) else kept if isinstance(kept, str) else file_of(kept, "t"),
        "engine": field.engine, "tol": getattr(method, "tolerance", 1e-8), "seed": run.record["seed"],
    }  # fmt: skip
    return {**run.record, "config": config}


def file_of(array: np.ndarray, name: str) -> str:
    """The file of the inputs that holds this array, or "?"."""
    return f"{name}.npy" if np.array_equal(np.load(INPUTS / f"{name}.npy"), array) else "?"


def density_results(path: Path) -> dict[str, Any]:
    """A run of `spinodal meanfield` with its settings as format 1 had them: options as they were given."""
    from spinodal.meanfield import DensityExperiment, WhiteNoise, harmonics
    from spinodal.runs import equal, read_run

    run = read_run(path)
    asked = run.config_as(DensityExperiment)
    field, start = asked.field, asked.start
    if isinstance(start, WhiteNoise):
        text = f"uniform+noise:{start.sigma:g}"
    else:
        text = (
            "modes:modes.txt" if equal(start, harmonics(np.loadtxt(INPUTS / "modes.txt", ndmin=2))) else "?"
        )
    config = {
        "geometry": asked.geometry, "d": asked.d if asked.geometry == "zonal" else None, "field": field.kind,
        "beta": field.beta, "start": text, "until": f"{asked.until:g}", "tol": asked.tolerance,
        "noise": field.kappa if asked.noisy else None, "repulsive": field.heads[0].values != 1,
        "resolution": asked.resolution, "seed": run.record["seed"],
    }  # fmt: skip
    return {**run.record, "config": config}


def steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in VOLATILE}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by their names."""
    if path.suffix == ".npy":
        return {"": np.load(path)}
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    with np.load(path) as found:
        return {name.removeprefix("record."): value for name, value in found.items()}


def options() -> dict[str, dict[str, Any]]:
    """Every command's options and arguments, each with its default."""
    import typer

    from spinodal.cli import app

    found: dict[str, dict[str, Any]] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for inner in command.list_commands(context):
                found_there = command.loaded(inner) if hasattr(command, "loaded") else None
                walk(found_there or command.get_command(context, inner), f"{name} {inner}".strip())
            return
        found[name] = {
            "/".join(sorted(p.opts)): p.default if isinstance(p.default, str | int | float | None) else None
            for p in command.params
            if "--help" not in p.opts
        }

    walk(typer.main.get_command(app), "")
    return found
