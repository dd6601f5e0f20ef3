"""report.html of an observation, and of several side by side: whole pages that load nothing."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from spinodal import explorer
from spinodal.figures import colours, observation, printable
from spinodal.observables import OBSERVABLES
from spinodal.report.sections import Drawings, grid, section
from spinodal.report.style import CSS
from spinodal.report.terminal import energy_text
from spinodal.runs import write_text
from spinodal.watch import Layer, ObservationResult, headline, unlike

NULLS = (
    " Compare with the nulls: what random weights do too was not learned. Dashed: equiangular tokens under the theory, "
    "on the curve that fits the mean cosines best."
)
LINKAGE = (
    "The last layer alone: from the right, words join as the cosine that makes one cluster is lowered. Long lines on "
    "the left are groups that stand apart."
)
SELECTIONS = {
    None: "all tokens that are there",
    "without_first": "without the first token of each input",
    "with_padding": "with padding, in inputs that have any",
}


def write_observation(path: Path, result: ObservationResult) -> None:
    """Writes the page of one observation."""
    write_text(path, observation_page(result))


def write_comparison(path: Path, results: Mapping[str, ObservationResult]) -> None:
    """Writes the page of several observations, side by side."""
    write_text(path, comparison_page(results))


def observation_page(result: ObservationResult) -> str:
    """The page of one observation; without its sphere where the trajectory that is shown is not known."""
    colour = colours(["model", *result.nulls])
    draw = Drawings()
    played = _players([result])
    body = [
        _header(result.model, headline(result)),
        section(
            "Tokens moving through the layers",
            played.elements.replace("<canvas", '<canvas id="sphere-canvas"', 1),
            AXES,
        )
        if played
        else "",
        section("In words", _sentences(result.summary)),
        _facts(result),
        section(
            "Who merges with whom",
            draw(observation.merge_tree_of_words(result), _tree(result), wide=True),
            draw(observation.linkage_of_words(result), LINKAGE),
        ),
        section(
            "Cosines by layer",
            grid([_cosines(draw, result, name, colour["model"]) for name in _selections(result)]),
        ),
        section("By layer, against the nulls", _curves(draw, result, colour)),
        _nulls(result),
        _violations(result),
        _attention(draw, result, colour["model"]),
        section(
            "Every layer",
            _table((*LAYER_COLUMNS, *result.observables), [_layer(layer) for layer in result.layers]),
        ),
    ]
    return _page(result.model, body, played)


def _players(results: Sequence[ObservationResult]) -> explorer.Players | None:
    """Players of the trajectories that are shown, side by side; None where one is not known, or is of one token."""
    if any(result.shown.tokens is None or len(result.shown.words) < 2 for result in results):
        return None
    leads = [" ".join(headline(result)) for result in results]
    return explorer.players([explorer.recording_of(r) for r in results], results[0].epsilon, leads)


AXES = (
    "<p>The first input, up to 2,048 tokens of it: their directions in their three main axes over all layers, less "
    "their mean and scaled to fill the stage. Tokens of one colour are one cluster at the threshold, or the same word; "
    "grey ones are alone.</p>"
)


def comparison_page(
    results: Mapping[str, ObservationResult], origins: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """The page of several observations, side by side; `origins` say of which inputs they are."""
    colour, draw, played = colours(results), Drawings(), _players(list(results.values()))
    several = len({result.beta for result in results.values()}) > 1
    rows = [
        [
            name, result.architecture, str(len(result.layers) - 1),
            *(f"{_last(result, key):.3f}" for key in ("mean_cosine", "above_.9")),
            energy_text(result, several=several),
            f"{_last(result, 'effective_rank'):.1f}",
            _difference(result, "random-weights"),
            f"{result.layers_of_most_falls} of {len(result.layers) - 1}",
            f"{result.clock.residual:.3f}",
        ]
        for name, result in results.items()
    ]  # fmt: skip
    words = "".join(
        f"<h3>{escape(name)}</h3>{_sentences(result.summary)}" for name, result in results.items()
    )
    body = [
        _header(" · ".join(results), []),
        section("Tokens moving through the layers, on one clock", played.elements) if played else "",
        section("In words", words),
        section(
            "At the last layer",
            "".join(f"<p>{escape(line)}</p>" for line in unlike(results, origins)),
            _table(COMPARED_COLUMNS, rows),
        ),
        section(
            "By depth",
            grid(
                [
                    draw(observation.compared_numbers(results, name, colour), OBSERVABLES[name].reading)
                    for name in observation.numbers_drawn(*results.values())
                ]
            ),
        ),
        section(
            "Cosines by layer", grid([_cosines(draw, r, None, colour[name]) for name, r in results.items()])
        ),
    ]
    return _page(" · ".join(results), body, played)


COMPARED_COLUMNS = (
    "model", "architecture", "layers", "mean cosine", "pairs above .9", "energy", "effective rank",
    "mean cosine less random weights’", "layers where the energy falls", "distance from the theory",
)  # fmt: skip
LAYER_COLUMNS = (
    "layer", "mean cosine", "above .9", "above .99", "above .999", "effective rank", "energy", "clusters",
    "time on the ODE’s clock",
)  # fmt: skip


def _page(title: str, body: Sequence[str], played: explorer.Players | None) -> str:
    style, script = (played.style, played.script) if played else ("", "")
    return printable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n<footer>Written by spinodal. This file is whole: it loads nothing.</footer>\n</main>\n"
        + f"{script}</body>\n</html>\n"
    )


def _header(title: str, said: Sequence[str]) -> str:
    lead = f'<p class="lead">{escape(" ".join(said))}</p>\n' if said else ""
    return f'<header>\n<p class="eyebrow">spinodal observe</p>\n<h1>{escape(title)}</h1>\n{lead}</header>'


def _sentences(summary: Sequence[str]) -> str:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in summary)
    return f"<ul>{said}</ul>" if said else ""


def _facts(result: ObservationResult) -> str:
    stack = result.stack
    facts = {
        "model": result.architecture,
        "layers": f"{stack.layers} in {stack.name}" + (", one set of weights" if stack.tied else ""),
        "view": result.view,
        "inputs": f"{result.inputs}, {result.tokens} tokens",
        "beta": f"{result.beta:.3g}, {result.beta_source}",
        **({"sampled": "pairs are those of a sample of the tokens"} if result.sampled else {}),
    }
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
    return f"<dl>{listed}</dl>"


def _tree(result: ObservationResult) -> str:
    words = result.shown.words
    cut = (
        f" The first {observation.WORDS} of {len(words)} tokens are shown."
        if len(words) > observation.WORDS
        else ""
    )
    return (
        f"Lines meet where tokens belong to one cluster (cosine at least {1 - result.epsilon:g}) and part where "
        f"they leave it; faint lines are tokens that are alone.{cut}"
    )


def _selections(result: ObservationResult) -> list[str | None]:
    return [name for name in SELECTIONS if name is None or getattr(result.layers[0], name) is not None]


def _cosines(draw: Drawings, result: ObservationResult, selection: str | None, colour: str) -> str:
    figure = observation.observed_cosines(result, colour, selection=selection)
    return draw(figure, f"{result.model}: {SELECTIONS[selection]}.")


def _curves(draw: Drawings, result: ObservationResult, colour: Mapping[str, str]) -> str:
    bands = " Bands are two standard errors over inputs." if result.inputs > 1 else ""
    return grid(
        [
            draw(
                observation.observed_numbers(result, name, colour), OBSERVABLES[name].reading + NULLS + bands
            )
            for name in observation.numbers_drawn(result)
        ]
    )


def _last(result: ObservationResult, name: str) -> float:
    return float(observation.layer_numbers(result.layers, name)[-1])


def _difference(result: ObservationResult, null: str) -> str:
    if null not in result.nulls:
        return "–"
    found = result.nulls[null].last["mean_cosine"]
    if found.error is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} ± {found.error:.3f}"


def _nulls(result: ObservationResult) -> str:
    if not result.nulls:
        return ""
    rows = [
        [
            null, name, f"{d.mean:+.4f}", "–" if d.error is None else f"{d.error:.4f}",
            {None: "one input cannot tell", True: "yes", False: "no"}[d.beyond_chance],
        ]
        for null, compared in result.nulls.items()
        for name, d in compared.last.items()
    ]  # fmt: skip
    return section(
        "Model less null, at the last layer",
        _table(("null", "number", "difference", "its standard error", "beyond chance (t, 95%)"), rows),
    )


def _violations(result: ObservationResult) -> str:
    rows = [
        [
            str(v.layer), f"{v.share_of_inputs:.0%}", f"{v.mean_drop:.4f}",
            ", ".join(f"{token.text} ({token.share:.0%})" for token in v.tokens),
        ]
        for v in result.violations
    ]  # fmt: skip
    if not rows:
        return section("Where the energy falls", "<p>Nowhere: it rises at every layer of every input.</p>")
    return section(
        "Where the energy falls", _table(("layer", "inputs", "mean fall", "by which tokens"), rows)
    )


def _attention(draw: Drawings, result: ObservationResult, colour: str) -> str:
    if not result.attention:
        return ""
    keys = (
        "effective_beta",
        "symmetry",
        "alignment",
        "positive_share_QK",
        "positive_share_V",
        "spectral_radius_QK",
        "spectral_radius_V",
    )
    rows = [
        [str(layer.layer), *("–" if (x := getattr(layer, key)) is None else f"{x:.3f}" for key in keys)]
        for layer in result.attention
    ]
    names = (
        "layer",
        "effective beta",
        "symmetry of QᵀK",
        "alignment with V",
        "eigenvalues > 0, QᵀK",
        "eigenvalues > 0, V",
        "radius, QᵀK",
        "radius, V",
    )
    return section(
        "What the attention’s weights say",
        "<p>A gradient flow needs both to be 1. A negative beta: a head that looks away from what is alike.</p>",
        draw(
            observation.attention_by_layer(result, colour),
            "From queries and keys as attention is called with them; biases of positions are left out.",
        ),
        _table(names, rows),
    )


def _layer(layer: Layer) -> list[str]:
    time = layer.effective_time
    return [
        str(layer.index), f"{layer.mean_cosine:.4f}", *(f"{mass:.4f}" for mass in layer.mass_above.values()),
        f"{layer.effective_rank:.2f}", f"{layer.energy:.4f}", f"{layer.clusters:.1f}",
        "–" if time is None else f"{time:.3f}",
        *("–" if value is None else f"{value:.4g}" for value in layer.observables.values()),
    ]  # fmt: skip


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="scroll" tabindex="0"><table>\n<tr>{head}</tr>\n{lines}</table></div>'
