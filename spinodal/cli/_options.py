"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, no_type_check

import typer

from spinodal.limits import unlimited


@no_type_check  # the context that Typer gives is of a class that it keeps to itself
def lift_limits(context: typer.Context, asked: bool) -> bool:
    """Lifts every limit until the command ends."""
    if asked:
        context.with_resource(unlimited())
    return asked


@no_type_check
def set_look(context: typer.Context, option: typer.CallbackParam, value: object) -> object:
    """Saves figures in this format, style or width until the command ends."""
    if value is not None:
        from spinodal.figures import saved_as

        context.with_resource(saved_as(**{option.name: value}))
    return value


# How pictures are saved; with any of the three a .csv beside each has its numbers
Format = Annotated[
    str | None,
    typer.Option(
        callback=set_look, help="Of pictures: pdf, svg, or png if not given; with their numbers as .csv."
    ),
]
Style = Annotated[str | None, typer.Option(callback=set_look, help="Of pictures: paper, talk or dark.")]
Columns = Annotated[
    float | None,
    typer.Option(callback=set_look, help="Width of pictures in columns of text, 3.375 inches each."),
]
FeedForwardText = Annotated[
    str | None,
    typer.Option(
        help="ACTIVATION:K:SEED, such as tanh:16:0, or inner, outer, bias as .npz.", show_default=False
    ),
]
Rotations = Annotated[
    str | None, typer.Option(help="Antisymmetric matrices that turn tokens, [d d] or [n d d] as .npy.")
]
Pulls = Annotated[str | None, typer.Option(help="A pull on all tokens, [d], or on each, [n d], as .npy.")]
Resample = Annotated[
    bool, typer.Option("--resample", help="Draw --q, --k, --v of random:SEED anew in every layer.")
]
PositionsText = Annotated[
    str | None,
    typer.Option(
        help="Scores of fixed positions 0, 1, ...: distance:S, gaussian:S, product:S:FILE, or [n n] as .npy.",
        show_default=False,
    ),
]
SourceFile = Annotated[
    str | None,
    typer.Option(
        help="Tokens to read in the place of each other, [m d] as .npy, tokens and weights as .npz, or a run, "
        "whose tokens move.",
        show_default=False,
    ),
]
Share = Annotated[
    float | None,
    typer.Option(help="Read --source beside each other, in one softmax, with this share of the mass."),
]
Probes = Annotated[
    str | None,
    typer.Option(
        help="Points without mass that are carried along: how many, or [m d] as .npy.", show_default=False
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        help="Record W2 to uniform, dirac:X,Y (a direction), modes:FILE as of --start, or tokens [m d] as .npy."
    ),
]
CausalDensity = Annotated[
    bool, typer.Option("--causal", help="Tokens read those before them: with usa, a density at each index.")
]
Slices = Annotated[
    int | None, typer.Option(help="With --causal and usa: how many indices have a density (8).")
]
Origin = Annotated[
    str | None,
    typer.Option(
        "--from", help="The attention of a trained layer, from its tokens: a model, or a run's folder."
    ),
]
OriginLayer = Annotated[int | None, typer.Option(help="The layer of --from, 1 the first.")]
LayerText = Annotated[str | None, typer.Option(help="What the model of --from reads.")]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name of `spinodal list`.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values to change: steps=1000 phases=8 corpus=my.txt."),
]
Run = Annotated[Path, typer.Argument(help="Folder of a run, or of a saved model.")]
Temperature = Annotated[
    float, typer.Option(help="0 takes the most probable token, 1 draws as the model says.")
]
TopK = Annotated[int, typer.Option(help="Draw among this many tokens; 0 for all.")]
TopP = Annotated[float, typer.Option(help="Draw among the most probable tokens of this total probability.")]
Beams = Annotated[
    int, typer.Option(help="Keep this many texts and end with the best; no chance, no streaming.")
]
Unlimited = Annotated[
    bool,
    typer.Option(
        "--unlimited",
        callback=lift_limits,
        is_eager=True,
        help="Do what takes more time or memory than the limits.",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed draws the same text.")]
