"""The sections with figures: tables and losses, distances from equilibrium, phases and cosines of tokens."""

from collections.abc import Callable
from html import escape
from itertools import count

import numpy as np
from matplotlib.figure import Figure

from spinodal import figures
from spinodal.figures import Runs
from spinodal.report.comparison import Arms, Row, cells, columns
from spinodal.training import TrainingRun

Colours = dict[str, str]

MAP_TOKENS, MAP_ROWS = 120, 64  # of a phase map, so that it stays a picture
BANDS = "Lines are means over seeds, bands run from the best seed to the worst. "
NO_BANDS = "One seed, so there is no band: a gap between models may be chance. "
LOOK = {
    "F": "Zero is phase equilibrium. Read it together with the spread of log K: F also vanishes when all "
    "phases become the same.",
    "spread": "It should stay well above zero. At zero every K is 1 and the phases are copies of each other, "
    "however small F is.",
    "g1": "Zero where every reaction is at its equilibrium constant.",
    "g2": "Zero where the signs of compositions and of equilibrium constants agree.",
}


class Drawings:
    """Turns figures into <figure> elements, each with an id of its own in the page."""

    def __init__(self):
        self.numbers = count(1)

    def __call__(self, figure: Figure, caption: str, *, wide: bool = False) -> str:
        drawing = figures.svg(figure, f"figure{next(self.numbers)}", title=caption)
        kind = ' class="wide"' if wide else ""
        return (
            f'<figure{kind}><div class="scroll" tabindex="0">{drawing}</div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )


def section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(filter(None, parts)) + "\n</section>"


def grid(drawn: list[str]) -> str:
    return f'<div class="figures">\n{chr(10).join(drawn)}\n</div>'


def model_label(model: str, colour: Colours) -> str:
    """The HTML of a model's name behind a dot of its colour."""
    return (
        f'<span class="model" style="--dot:{figures.colour_variable(colour[model])}">{escape(model)}</span>'
    )


def arm(draw: Drawings, rows: list[Row], runs: Runs, colour: Colours) -> str:
    """The HTML section of one arm: a sentence, its table, and figures of losses and speeds."""
    names = "".join(f"<th>{escape(name)}</th>" for name in columns(rows))
    lines = ""
    for model, *line in cells(rows):
        lines += f"<tr><td>{model_label(model, colour)}</td>{''.join(f'<td>{escape(c)}</td>' for c in line)}</tr>\n"
    written = f'<div class="scroll" tabindex="0"><table>\n<tr>{names}</tr>\n{lines}</table></div>'
    if not any(run.metrics for seeds in runs.values() for run in seeds):
        return section(title(rows), written, "<p>There are no metrics to draw yet.</p>")
    several = max(row.loss.seeds for row in rows) > 1
    bands = BANDS if several else NO_BANDS
    steps = "The first descent may leave the frame. "
    clock = "The same against the clock. "
    if len(runs) > 1:
        steps += "Look for curves that part by more than their bands." if several else ""
        clock += "Fewer steps a second move a curve to the right."
    drawn = [
        draw(figures.loss_over_steps(runs, colour), bands + steps),
        draw(figures.loss_over_time(runs, colour), bands + clock),
    ]
    if several:
        mixed = "A dot a seed, a bar at the mean. Where the dots of two models mix, call it a tie."
        noise = "A dot a seed. By as much as they differ in a row the machine was busy with something else."
        drawn.append(draw(figures.final_losses(runs, colour), mixed))
        drawn.append(draw(figures.speeds(runs, colour), noise))
    return section(title(rows), verdict(rows), written, grid(drawn))


def title(rows: list[Row]) -> str:
    return rows[0].arm[:1].upper() + rows[0].arm[1:] or "Training"


def verdict(rows: list[Row]) -> str:
    """A sentence on the model with the lowest loss and those that tie with it; "" for a single model."""
    behind = {r.model: r.behind.tie for r in rows if r.behind}
    if not behind:
        return ""
    best = next(r.model for r in rows if r.behind is None and np.isfinite(r.loss.mean))
    parts = [f"{best} has the lowest held-out loss"]
    for verdicts, one, many in (
        (True, "ties with it", "tie with it"),
        (False, "is behind by more than chance", "are behind by more than chance"),
        (None, "cannot be told from it with one seed", "cannot be told from it with one seed"),
    ):
        if names := [model for model, tie in behind.items() if tie is verdicts]:
            parts.append(f"{' and '.join(names)} {one if len(names) == 1 else many}")
    test = " Models tie where the 95% interval of the difference of their losses (Welch’s t) contains zero."
    if None in behind.values():
        test = ""
    return f'<p class="lead">{escape("; ".join(parts))}.{test}</p>'


def first_with(arms: Arms, has: Callable[[TrainingRun], object]) -> tuple[str, Runs]:
    """(HTML that names the arm, {model: runs}) of the first arm with runs for which `has` is true."""
    for name, models in arms.items():
        kept = {model: [run for run in seeds if has(run)] for model, seeds in models.items()}
        if any(kept.values()):
            source = f"<p>From the runs at {escape(name)}.</p>" if name else ""
            return source, {model: seeds for model, seeds in kept.items() if seeds}
    return "", {}


def equilibrium(draw: Drawings, arms: Arms, colour: Colours) -> str:
    source, runs = first_with(arms, lambda run: figures.residual_names([run]))
    names = figures.residual_names(run for seeds in runs.values() for run in seeds)
    if not names:
        return ""
    look = {name: LOOK.get(name, f"{name}, as the mixers report it.") for name in names}
    drawn = [draw(figures.residual_curves(runs, colour, name), look[name]) for name in names]
    return section("Distance from equilibrium", source, grid(drawn))


def phases(draw: Drawings, arms: Arms) -> str:
    source, runs = first_with(arms, figures.mapped_layers)
    drawn = [phase_figure(draw, seeds[0]) for seeds in runs.values()]
    return section("Where the tokens of a sentence go", source, *drawn) if drawn else ""


def phase_figure(draw: Drawings, run: TrainingRun) -> str:
    """The map of one run, thinned to MAP_TOKENS tokens and MAP_ROWS rows, which its caption then says."""
    tokens = figures.require_probe(run).tokens
    L = {k: fractions[:MAP_TOKENS] for k, fractions in figures.phase_fractions(run).items()}
    known = list(L)
    p = max(fractions.shape[1] for fractions in L.values())
    most = min(len(known), max(2, MAP_ROWS // p))
    layers = [known[round(i)] for i in np.linspace(0, len(known) - 1, most)]
    shown = np.concatenate([L[k].ravel() for k in layers])
    caption = (
        f"{run.name}, seed {run.seed}. A group of rows is a layer, a row in it a phase, bright where much of "
        f"the token is in that phase. Look for words of a kind that light the same row. Fractions run from "
        f"{shown.min():.2f} to {shown.max():.2f}."
    )
    if most < len(known):
        caption += f" {most} of {len(known)} layers with phases are shown."
    if len(tokens) > MAP_TOKENS:
        caption += f" The first {MAP_TOKENS} of {len(tokens)} tokens are shown."
    return draw(figures.phase_map(run, layers=layers, tokens=MAP_TOKENS), caption, wide=True)


def cosines(draw: Drawings, arms: Arms, colour: Colours) -> str:
    source, runs = first_with(arms, lambda run: run.probe)
    drawn = [cosine_figure(draw, seeds[0], colour[model]) for model, seeds in runs.items()]
    return section("How alike tokens become with depth", source, grid(drawn)) if drawn else ""


def cosine_figure(draw: Drawings, run: TrainingRun, colour: str) -> str:
    first, *_, last = (figures.number(mean) for mean in figures.require_probe(run).mean_cosine)
    caption = (
        f"{run.name}: mean cosine {first:.2f} at the embedding, {last:.2f} after the last layer. A ridge that "
        f"moves to 1 with depth is tokens that cluster; two peaks are clusters that have not merged."
    )
    return draw(figures.cosine_histograms(run, colour), caption)
