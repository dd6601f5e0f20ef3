"""fill, generate and translate: what a trained model says."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from spinodal.cli.output import console
from spinodal.errors import InputError

Run = Annotated[Path, typer.Argument(help="Folder of a run, or of a saved model.")]
Temperature = Annotated[
    float, typer.Option(help="0 takes the most probable token, 1 draws as the model says.")
]
TopK = Annotated[int, typer.Option(help="Draw among this many tokens; 0 for all.")]
TopP = Annotated[float, typer.Option(help="Draw among the most probable tokens of this total probability.")]
Beams = Annotated[
    int, typer.Option(help="Keep this many texts and end with the best; no chance, no streaming.")
]
Seed = Annotated[int, typer.Option(help="The same seed draws the same text.")]


def add_to(app: typer.Typer) -> None:
    app.command("fill")(fill_command)
    app.command("generate")(generate_command)
    app.command("translate")(translate_command)


def fill_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a saved model.")],
    text: Annotated[str, typer.Argument(help='Text with one <mask> or more: "to be or <mask> to be".')],
    top: Annotated[int, typer.Option(help="How many words to show for each mask.")] = 5,
):
    """Fill in masked words: `spinodal fill runs/pet-mlm-seed0 "to be or <mask> to be"`."""
    from spinodal.inference import fillings

    for number, filling in enumerate(fillings(run, text, top=top), start=1):
        table = Table(f"mask {number}", "probability", "text")
        for candidate in filling:
            table.add_row(candidate.token, f"{candidate.probability:.3f}", candidate.text)
        console.print(table)


def generate_command(
    run: Run,
    prompt: Annotated[str, typer.Option(help="The text to go on with.")],
    tokens: Annotated[int, typer.Option(help="New tokens at most.")] = 128,
    temperature: Annotated[
        float, typer.Option(help="0 takes the most probable token, 1 draws as the model says.")
    ] = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    beams: Beams = 1,
    seed: Seed = 0,
):
    """Go on with a text, token by token: `spinodal generate runs/pet-lm-seed0 --prompt "To be, or"`.

    Tokens appear as they come. With a linear mixer each costs the same, however long the text is.
    """
    from spinodal.inference import Sampling, continuation

    sampling = Sampling(temperature, top_k, top_p, beams, seed)
    text = continuation(run, prompt, tokens=tokens, sampling=sampling, stream=True)
    if beams > 1:
        print(text)


def translate_command(
    run: Run,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to translate.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A file with one text a line, empty lines left out; - for standard input."),
    ] = None,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    beams: Beams = 1,
    seed: Seed = 0,
):
    """Translate texts: `spinodal translate runs/pet-translate-seed0 "In the beginning" --beams 4`."""
    from spinodal.inference import Sampling, translations

    for said in translations(
        run, sources(texts or [], file), sampling=Sampling(temperature, top_k, top_p, beams, seed)
    ):
        print(said, flush=True)


def sources(texts: list[str], file: Path | None) -> list[str]:
    """The texts of the command line and of the file; InputError if there is none."""
    from spinodal.data import file_text

    if file is not None:
        try:
            lines = sys.stdin.read() if str(file) == "-" else file_text(file)
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8 text: {error}") from error
        texts = texts + [line for line in lines.split("\n") if line.strip()]
    if not texts:
        raise InputError("there is nothing to translate: give a text, or --file with one a line")
    return texts
