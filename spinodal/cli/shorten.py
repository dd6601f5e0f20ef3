"""shorten: speech recognition on fewer tokens, beside the full model."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer import Option

from spinodal.cli._defaults import default
from spinodal.cli._output import REPORT, command_line, console, drawing, given, named_bars, print_json

if TYPE_CHECKING:
    from spinodal.shorten import TranscriptionResult


def add_to(app: typer.Typer) -> None:
    app.command("shorten")(shorten_command)


def shorten_command(
    model: Annotated[str, typer.Argument(help="A Whisper: whisper-base, a folder, or a hub's name.")],
    sound: Annotated[
        list[str] | None, Option(help="A file of sound (.wav, FLAC), or a folder of them; several times for more.")
    ] = None,
    size: Annotated[
        int, Option(help="Tokens of silence that become one; searched with --tolerance.")
    ] = default("shorten.Transcription.size"),
    margin: Annotated[
        int, Option(help="Tokens at the start of a silence that stay as they are, 50 to the second.")
    ] = default("shorten.Transcription.margin"),
    tolerance: Annotated[
        float | None, Option(help="Search the largest size whose words differ by no more than this share.")
    ] = None,
    language: Annotated[str | None, Option(help="en, de, ...; the model detects it if not given.")] = None,
    windows: Annotated[bool, Option("--windows", help="Read sounds longer than 30 s window by window.")] = False,
    json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
    out: Annotated[Path | None, Option(help="Folder for run.json and report.html, with a map of the tokens.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Write over a run that is there.")] = False,
):  # fmt: skip
    """Transcribe with silence merged and without: `spinodal shorten whisper-base --sound speech.wav`.

    Whisper pads every sound to 30 s; tokens of silence coincide, and one is computed for every few, with their mass.
    Prints both texts, CPU seconds and tokens. `--tolerance 0.01` searches the largest size for your own sounds.
    """
    from transformers.utils import logging

    from spinodal.runs import open_run
    from spinodal.shorten import Transcription, transcribe

    logging.set_verbosity_error()  # its own generate tells of arguments that it gives itself

    asked = Transcription(
        model,
        tuple(sound or ()),
        size,
        margin,
        **given(tolerance=tolerance, language=language),
        windows=windows,
    )
    writing: dict[str, Any] = {
        "kind": "shorten", "config": asked, "owned": (REPORT,), "resume": None, "overwrite": overwrite,
        "label": {"command": command_line()},
    }  # fmt: skip
    with nullcontext() if out is None else open_run(out, **writing) as folder:
        with named_bars("transcribing") as show:
            found = transcribe(asked, progress=None if json else lambda done, of: show(model, done, of))
        if folder is not None:
            folder.finish(found)
            draw_report(folder, found)
            folder.finish(found)
    if json:
        print_json(found)
    else:
        show_transcripts(found)
        if out is not None:
            console.print(f"report: {out / REPORT}", highlight=False, soft_wrap=True)


def draw_report(folder: Any, found: "TranscriptionResult") -> None:
    """Writes the page of a transcription into its folder."""
    from spinodal.report.shortening import transcription_page

    with drawing(folder, "the same command with --overwrite", what="page"):
        folder.write_text(REPORT, transcription_page(found))


def show_transcripts(found: "TranscriptionResult") -> None:
    """Both texts of every sound, where they differ, and what each cost."""
    table = Table("sound", "seconds", "tokens", "CPU s", "text")
    for one in found.sounds:
        same = one.full == one.short
        table.add_row(one.name, f"{one.seconds:.1f}", f"{one.tokens:,}", f"{one.full_cpu:.2f}", one.full)
        table.add_row("", "", f"{one.kept:,}", f"{one.short_cpu:.2f}", "the same" if same else one.short)
    console.print(table)
    for trial in found.tried:
        console.print(
            f"size {trial.size}, margin {trial.margin}: {trial.word_difference:.2%} of the words differ",
            highlight=False,
        )
    console.print(found.summary, highlight=False, soft_wrap=True)
