"""report.html of iterated layers, and of the checkpoints of a run: whole pages that load nothing."""

from collections.abc import Sequence
from html import escape

import numpy as np

from spinodal.figures import draw as pictures
from spinodal.figures import printable
from spinodal.report.sections import Drawings, grid, section
from spinodal.report.style import CSS
from spinodal.watch import Course, IterationResult, TrainingSeriesResult
from spinodal.watch.training_series import SERIES

READ = {
    "groups": "Falling by steps: tokens join groups. Bands are two standard errors over texts.",
    "mean_cosine": "1 is consensus.",
    "effective_rank": "1 where all tokens are parallel.",
    "residual": "0 is rest. A level that stays is a motion that does not end.",
    "exponents": "Below 0 two near streams draw together; dots are texts, bars their means.",
    "fixed_points": "Above 1 a fixed point is left by the steps that were taken.",
}
SHOWN = 24  # rows of a table of layers


def iteration_page(result: IterationResult) -> str:
    """The page of an iteration; its length does not grow with depth."""
    draw = Drawings()
    drawn = [draw(figure, f"{READ[name]}") for name, figure in pictures(result).items()]
    tables = [section(f"By layer: {name}", _course(course)) for name, course in result.courses.items()]
    return _page(
        result.model,
        "spinodal observe --depth",
        [
            f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in result.summary)}</ul>",
            section("By layer", grid(drawn)),
            section("At the end", _table(ENDS, [_end(name, one) for name, one in result.courses.items()])),
            section("Fixed points", _fixed(result))
            if any(c.fixed_points for c in result.courses.values())
            else "",
            *tables[:4],
        ],
    )


ENDS = (
    "course", "groups", "mean cosine", "step of |x|", "at rest from layer", "Lyapunov exponent, a layer",
    "texts that return", "median period",
)  # fmt: skip


def _end(name: str, course: Course) -> list[str]:
    values = [
        _number(course.mean(key)[-1], course.error(key)[-1]) for key in ("groups", "mean_cosine", "residual")
    ]
    periods = course.periods
    exponent = course.exponent
    return [
        name, *values, "–" if course.rested is None else str(course.rested),
        _number(exponent.mean, np.nan if exponent.error is None else exponent.error, 4),
        f"{len(periods)} of {len(course.returns)}", f"{np.median(periods):g}" if periods else "–",
    ]  # fmt: skip


def _number(mean: float, error: float, digits: int = 3) -> str:
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")


def _course(course: Course) -> str:
    places = np.unique(np.linspace(0, len(course.layers) - 1, min(SHOWN, len(course.layers))).astype(int))
    names = ("groups", "mean_cosine", "effective_rank", "residual")
    rows = [
        [
            str(course.layers[i]),
            *(_number(float(course.mean(name)[i]), float(course.error(name)[i])) for name in names),
        ]
        for i in places
    ]
    return _table(("layer", "groups", "mean cosine", "effective rank", "step of |x|"), rows)


def _fixed(result: IterationResult) -> str:
    rows = [
        [
            name, str(p.text), "yes" if p.converged else "no", f"{p.residual:.1e}", str(p.iterations),
            f"{p.moved:.3f}", "–" if p.groups is None else str(p.groups),
            *("–" if x is None else f"{x:.4f}" for x in (p.multiplier, p.rate)),
        ]
        for name, course in result.courses.items()
        for p in course.fixed_points
    ]  # fmt: skip
    head = (
        "course", "text", "found", "residual", "Newton steps", "moved, of |x|", "groups",
        "largest |eigenvalue| of a step", "largest rate of the field",
    )  # fmt: skip
    return _table(head, rows)


def series_page(result: TrainingSeriesResult) -> str:
    """The page of the checkpoints of a run."""
    draw = Drawings()
    drawn = [
        draw(figure, f"Means over {result.texts} texts, by step of training and layer.")
        for figure in pictures(result).values()
    ]
    rows = [
        [str(step), "–" if np.isnan(result.losses[i]) else f"{result.losses[i]:.3f}"]
        + [_number(getattr(result, name)[i, -1], getattr(result, f"{name}_error")[i, -1]) for name in SERIES]
        for i, step in enumerate(result.steps)
    ]
    head = ("step", "held-out loss", *(name.replace("_", " ") for name in SERIES))
    return _page(
        result.run,
        "spinodal observe --checkpoints",
        [
            f'<p class="lead">{escape(str(result))}</p>',
            section("By step and layer", grid(drawn)),
            section("After the last layer", _table(head, rows)),
        ],
    )


def _page(title: str, eyebrow: str, body: Sequence[str]) -> str:
    return printable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<header>\n<p class="eyebrow">{eyebrow}</p>\n<h1>{escape(title)}</h1>\n</header>\n'
        + "\n".join(filter(None, body))
        + "\n<footer>Written by spinodal. This file is whole: it loads nothing.</footer>\n</main>\n</body>\n</html>\n"
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="scroll" tabindex="0"><table>\n<tr>{head}</tr>\n{lines}</table></div>'
