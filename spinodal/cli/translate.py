"""translate: texts in another language."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from spinodal.cli._defaults import default
from spinodal.cli._options import Beams, Run, Seed, Temperature, TopK, TopP
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("translate")(translate_command)


def translate_command(
    run: Run,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to translate.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A file with one text a line, empty lines left out; - for standard input."),
    ] = None,
    temperature: Temperature = default("inference.GREEDY.temperature"),
    top_k: TopK = default("inference.Sampling.top_k"),
    top_p: TopP = default("inference.Sampling.top_p"),
    beams: Beams = default("inference.Sampling.beams"),
    seed: Seed = default("inference.Sampling.seed"),
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
        text = standard_input() if str(file) == "-" else file_text(file)
        texts = texts + [line for line in text.split("\n") if line.strip()]
    if not texts:
        raise InputError("there is nothing to translate: give a text, or --file with one a line")
    return texts


def standard_input() -> str:
    """All of it, decoded as a file is; text as it stands where a caller put text in its place."""
    from spinodal.data import decode_text

    buffer = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if buffer is None else decode_text(buffer.read(), "standard input")
