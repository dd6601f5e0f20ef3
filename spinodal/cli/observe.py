"""observe: what the tokens of a trained model do, layer by layer."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from spinodal.cli._defaults import default
from spinodal.cli._observation import compare_models, draw_report, show_observation
from spinodal.cli._options import Unlimited
from spinodal.cli._output import command_line, given, named_bars
from spinodal.errors import InputError

VIEW, EPSILON = default("watch.Question.view"), default("watch.Question.epsilon")
NULLS, MOST = ",".join(default("watch.Question.nulls")), default("watch.source_named.most")


def add_to(app: typer.Typer) -> None:
    app.command("observe")(observe_command)


def observe_command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A name of `spinodal models`, a run's or a saved model's folder, a hub's name, or arrays "
            "(.npz, .safetensors: layers x tokens x d).",
        ),
    ],
    text: Annotated[
        str | None, Option(help='A text, or a file (-: standard input) with one a line: --text "To be or not".')
    ] = None,
    sound: Annotated[Path | None, Option(help="A .wav file, for a model of speech.")] = None,
    image: Annotated[Path | None, Option(help="A picture, for a model of images.")] = None,
    out: Annotated[Path | None, Option(help="Folder; runs/observe-MODEL if not given.")] = None,
    compare: Annotated[bool, Option("--compare", help="Several models side by side.")] = False,
    stack: Annotated[str | None, Option(help="Part of the layers' name: encoder, decoder; else the longest.")] = None,
    view: Annotated[
        str | None, Option(help=f"residual, read (after the norm), attention, mlp (what it adds); {VIEW} if not given.")
    ] = None,
    beta: Annotated[float | None, Option(help="Of the energy; 0, or none, measures it on the attention.")] = None,
    epsilon: Annotated[
        float | None, Option(help=f"Clusters have cosines of at least 1 - epsilon; {EPSILON} if not given.")
    ] = None,
    depth: Annotated[int | None, Option(help="Iterate tied layers this often; 0, or none, is as trained.")] = None,
    step: Annotated[float | None, Option(help="h of x + h (layer(x) - x), with --depth; as beyond 100 layers.")] = None,
    without: Annotated[str | None, Option(help="With --depth, beside them layers without mlp, attention.")] = None,
    checkpoints: Annotated[bool, Option("--checkpoints", help="Of a run: every checkpoint, step by layer.")] = False,
    nulls: Annotated[str | None, Option(help=f"{NULLS} (if not given), one of them, or none.")] = None,
    observables: Annotated[
        str | None, Option(help="Numbers beside the usual ones, with commas, of `spinodal list observables`.")
    ] = None,
    effect: Annotated[str | None, Option(help="Plug-ins to try, with commas: spinodal_beta:2,spinodal_usa.")] = None,
    inputs: Annotated[int | None, Option(help=f"Most lines of the text that are read: {MOST} if not given.")] = None,
    truncate: Annotated[bool, Option("--truncate", help="Cut texts that are too long for the model.")] = False,
    seed: Annotated[int, Option(help="Of the nulls.")] = default("watch.Question.seed"),
    overwrite: Annotated[bool, Option("--overwrite", help="Write over an observation that is there.")] = False,
    unlimited: Unlimited = False,
):  # fmt: skip
    """Watch the tokens of a trained model: `spinodal observe minilm --text "The cat sat on the mat." --out runs/cat`.

    Writes observe.json, trajectory.safetensors and report.html, which needs no network: cosines by layer, clusters and
    who merges with whom, energy and rank beside the nulls, and a sphere that moves through the layers.

    `spinodal observe --compare minilm smollm2 --text lines.txt --out runs/two` puts models side by side; folders of
    observations that are there already are read as they are.
    """
    from spinodal import watch
    from spinodal.cli import _iteration as streamed

    if len(models) > 1 and not compare:
        raise InputError(f"{len(models)} models: --compare puts several side by side")
    chosen = None if nulls is None else tuple(name for name in nulls.split(",") if name and name != "none")
    plans = tuple(effect.split(",")) if effect else ()
    extra = tuple(observables.split(",")) if observables else ()
    reading = given(text=text, sound=sound, image=image, most=inputs, truncate=truncate, depth=depth or None)
    out = out or Path("runs") / f"observe-{'-'.join(Path(model).name for model in models)}"
    asks = given(stack=stack or None, epsilon=epsilon, nulls=chosen, seed=seed)
    alone: dict[str, Any] = {"compare": compare, "effect": plans}
    if checkpoints:
        alone |= {"step": step, "without": without, "sound": sound, "image": image, "depth": depth}
        asks |= given(view=view, beta=beta or None) | {"observables": extra}
        streamed.observe_checkpoints(models[0], reading, asks, alone, out, overwrite=overwrite)
        return
    if streamed.iterates(depth, step, without):
        alone |= {"view": view, "beta": beta, "observables": extra}
        asks |= given(step=step, without=None if without is None else tuple(without.split(",")))
        streamed.iterate_layers(models[0], reading, asks, alone, out, overwrite=overwrite)
        return
    question = watch.Question(**asks, **given(view=view, beta=beta or None), observables=extra)
    arrays = [model for model in models if watch.holds_arrays(model)]
    runs = any(model not in arrays and not watch.find_observation(model) for model in models)
    if arrays and chosen and not runs:
        raise InputError(f"{arrays[0]} holds arrays: `nulls` are for models that run", field="nulls")

    ignored = next((name for name in ("text", "sound", "image", "depth") if name in reading), None)
    if ignored and not runs and not arrays:  # a file of arrays refuses it itself
        raise InputError(
            f"`{ignored}`: observations are compared as they are, and no model runs", field=ignored
        )

    def asked(model: str) -> watch.Observation:
        reads = {} if model in arrays and runs else reading  # beside models, what they read is theirs
        return watch.Observation(watch.source_named(model, **reads), question, plans)

    writing: dict[str, Any] = {
        "command": command_line(), "resume": not overwrite, "overwrite": overwrite, "draw": draw_report,
    }  # fmt: skip
    if not compare:
        with named_bars("observing") as show:
            name = Path(models[0]).name
            seen = watch.observe_into(asked(models[0]), out, **writing, progress=partial(show, name))
        show_observation(out, seen)
        return
    compare_models(models, asked, out, writing)
