"""report.html: one file that shows a run or a comparison, without a network, on any screen.

Its order: what was run, which model has the lowest loss and whether that is significant, the curves
of training, the tokens inside the models, and last the settings.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from spinodal import figures
from spinodal.report import sections
from spinodal.report.comparison import Arms, table
from spinodal.report.style import CSS
from spinodal.runs import write_text
from spinodal.training import TrainingRun


def write_report(path: Path, arms: Arms) -> None:
    """Writes the page of `arms` (of one run: {"": {model: [run]}}) to `path`, which is replaced atomically.

    InputError where there is no run. The same arms give the same bytes.
    """
    write_text(path, page(arms))


def page(arms: Arms) -> str:
    """The HTML page of a comparison: tables, losses, residuals and phases of the runs of each arm and model."""
    rows = table(arms)
    runs = [run for models in arms.values() for seeds in models.values() for run in seeds]
    colour = figures.colours(dict.fromkeys(row.model for row in rows))
    draw = sections.Drawings()
    body = [
        run_header(runs, list(colour)),
        *(sections.arm(draw, [r for r in rows if r.arm == arm], arms[arm], colour) for arm in arms),
        sections.equilibrium(draw, arms, colour),
        sections.phases(draw, arms),
        sections.cosines(draw, arms, colour),
        settings(arms, colour),
        "<footer>Written by spinodal. This file is whole: it loads nothing.</footer>",
    ]
    return figures.printable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(' · '.join(distinct(runs, 'recipe')))}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(filter(None, body))}\n</main>\n</body>\n</html>\n"
    )


def distinct(runs: Iterable[TrainingRun], key: str) -> list[str]:
    """The values of a key over runs, each once, in order."""
    return list(dict.fromkeys(str(getattr(run, key)) for run in runs))


def run_header(runs: list[TrainingRun], models: list[str]) -> str:
    """The HTML header: command, commit, date, machine, seeds and versions of the runs, and their problems."""
    dates = sorted(run.date[:16].replace("T", " ") for run in runs)
    versions = dict.fromkeys(", ".join(f"{k} {v}" for k, v in run.versions.items()) for run in runs)
    seeds = sorted(distinct(runs, "seed"), key=int)
    facts = {
        "command": [f"<code>{escape(command)}</code>" for command in distinct(runs, "command")],
        "commit": [
            f"<code>{escape(c.rstrip('+'))}</code>" + (" with uncommitted changes" if c.endswith("+") else "")
            for c in distinct(runs, "commit")
        ],
        "date": [" to ".join(dict.fromkeys((dates[0], dates[-1]))) + " UTC"],
        "machine": [escape(machine) for machine in distinct(runs, "machine")],
        "seeds" if len(seeds) > 1 else "seed": [", ".join(seeds)],
        "versions": [escape(line) for line in versions],
    }
    listed = "".join(f"<dt>{name}</dt><dd>{'<br>'.join(lines)}</dd>" for name, lines in facts.items())
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in problems(runs))
    lead = f'<p class="lead">{escape(", ".join(models))}</p>\n' if len(models) > 1 else ""
    return (
        f'<header>\n<p class="eyebrow">spinodal report</p>\n<h1>{escape(", ".join(distinct(runs, "recipe")))}</h1>\n'
        f"{lead}{notes}\n<dl>{listed}</dl>\n</header>"
    )


def problems(runs: list[TrainingRun]) -> list[str]:
    """Sentences that name the runs that did not finish, and the steps from which a loss is not finite."""
    found = []
    for run in runs:
        name = f"{run.name}, seed {run.seed}"
        last = max((row["step"] for row in run.metrics), default=0)
        if not run.finished:
            drawn = f"after step {last} (dashed)" if last else "before its first row"
            found.append(f"{name} is unfinished: it ends {drawn} and is no part of any mean.")
        if (step := figures.first_step_not_finite(run)) is not None:
            found.append(
                f"{name}: the loss is not finite at step {step}, where the curves of its model have a gap."
            )
    return list(dict.fromkeys(found))


def settings(arms: Arms, colour: dict[str, str]) -> str:
    """The HTML section of settings: those in which models or arms differ as a table, the others folded."""
    asked = {
        (arm, model): merged_configuration(runs)
        for arm, models in arms.items()
        for model, runs in models.items()
    }
    keys = list(dict.fromkeys(key for values in asked.values() for key in values if key != "seed"))
    rows = {key: [values.get(key, "–") for values in asked.values()] for key in keys}
    shared = ", ".join(f"{key}={values[0]}" for key, values in rows.items() if len(set(values)) == 1)
    names = "".join(
        f"<th>{sections.model_label(model, colour)}{'<br>' + escape(arm) if arm else ''}</th>"
        for arm, model in asked
    )
    lines = "".join(
        f"<tr><td>{escape(key)}</td>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>\n"
        for key, values in rows.items()
        if len(set(values)) > 1
    )
    differing = (
        '<div class="scroll" tabindex="0">'
        f'<table class="settings">\n<tr><th></th>{names}</tr>\n{lines}</table></div>'
    )
    folded = f"<details><summary>the same for all</summary><p><code>{escape(shared)}</code></p></details>"
    return sections.section("Settings", differing if lines else "", folded)


def merged_configuration(runs: list[TrainingRun]) -> dict[str, str]:
    """{key: text} of the configurations of a model's runs, different values joined by commas."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    return {key: ", ".join(dict.fromkeys(str(run.config.get(key, "–")) for run in runs)) for key in keys}
