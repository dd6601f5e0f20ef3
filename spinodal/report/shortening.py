"""report.html of a transcription: both transcripts of every sound, and a map of the tokens computed."""

from collections.abc import Sequence
from html import escape

from spinodal.report.sections import section
from spinodal.report.style import CSS
from spinodal.shorten import Transcript, TranscriptionResult

WINDOW = 30.0  # seconds
MAP = """
.tokens{position:relative;height:1.1rem;background:var(--model-1);margin:.5rem 0 .2rem;max-width:44rem}
.tokens i{position:absolute;top:0;bottom:0;background:var(--rule)}
.tokens b{position:absolute;top:-.2rem;bottom:-.2rem;width:1px;background:var(--ink)}
"""
READ = (
    "A bar is the window of 30 s that Whisper reads. Coloured: tokens that were computed one by one. Grey: tokens of "
    "silence that coincide, of which one was computed for every few, with their mass. The line is where the sound ends."
)


def transcription_page(result: TranscriptionResult) -> str:
    """The page of a transcription."""
    body = [
        f'<header><p class="eyebrow">spinodal shorten</p><h1>{escape(result.model)}</h1>'
        f'<p class="lead">{escape(result.summary)}</p></header>',
        section("Which seconds were merged", f"<p>{escape(READ)}</p>", *map(_sound, result.sounds)),
        section("Every sound", _table(HEAD, [_row(sound) for sound in result.sounds])),
    ]
    if result.tried:
        rows = [[str(t.size), str(t.margin), f"{t.word_difference:.2%}"] for t in result.tried]
        body.append(section("Sizes that were tried", _table(("size", "margin", "words that differ"), rows)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(result.model)}</title><style>{CSS}{MAP}</style></head>\n"
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


HEAD = ("sound", "seconds", "tokens", "computed", "CPU s, full", "CPU s, shortened", "text")


def _row(sound: Transcript) -> list[str]:
    return [
        sound.name, f"{sound.seconds:.1f}", f"{sound.tokens:,}", f"{sound.kept:,}", f"{sound.full_cpu:.2f}",
        f"{sound.short_cpu:.2f}", "the same" if sound.full == sound.short else "another",
    ]  # fmt: skip


def _sound(sound: Transcript) -> str:
    said = f"<p>{escape(sound.full)}</p>"
    if sound.short != sound.full:
        said += f'<p class="note">Shortened: {escape(sound.short)}</p>'
    return f"<h3>{escape(sound.name)}</h3>{_map(sound)}{said}"


def _map(sound: Transcript) -> str:
    if sound.seconds > WINDOW:
        return f"<p>{sound.tokens // 1500} windows: no map.</p>"
    spans = "".join(
        f'<i style="left:{100 * a / WINDOW:.2f}%;width:{100 * (b - a) / WINDOW:.2f}%"></i>'
        for a, b in sound.merged
    )
    end = f'<b style="left:{100 * sound.seconds / WINDOW:.2f}%"></b>'
    told = ", ".join(f"{a:.2f} s to {b:.2f} s" for a, b in sound.merged) or "none"
    return f'<div class="tokens" role="img" aria-label="merged: {told}">{spans}{end}</div>'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="scroll"><table>\n<tr>{head}</tr>\n{lines}</table></div>'
