"""Figures: their numbers against closed forms, their colours under colour blindness, their SVG in a page."""

import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from example_runs import loss_at, record, run
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from typed import present

from spinodal import figures
from spinodal.errors import InputError
from spinodal.figures import phases, runs, style
from spinodal.training import training_run

BLUE = {"pet": figures.colours(["pet"])["pet"]}


def thick(figure) -> list:
    """The lines of held-out losses, which are thicker than those of training."""
    return [line for line in figure.axes[0].lines if line.get_linewidth() > 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.01, 0.3))
def test_labels_move_apart_as_little_as_they_can(heights, gap):
    """Against scipy's solver of the same quadratic programme."""
    y = np.sort(heights)
    found = style.spread_labels(y, gap)
    assert (np.diff(found) >= gap - 1e-9).all()
    rules = [{"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - gap} for i in range(len(y) - 1)]
    start = gap * np.arange(len(y), dtype=float)
    known = optimize.minimize(lambda x: ((x - y) ** 2).sum(), start, constraints=rules, method="SLSQP")
    assert ((found - y) ** 2).sum() <= known.fun + 1e-6


def test_numbers_that_are_none_become_gaps_and_the_last_of_a_repeated_step_counts():
    rows = [(20, None), (10, 2.0), (30, math.inf), (40, math.nan), (50, 1.0), (10, 3.0)]
    c = runs.curve(
        training_run(record() | {"metrics": [{"step": s, "seconds": s / 2, "loss": y} for s, y in rows]}),
        "loss",
    )
    np.testing.assert_array_equal(c.steps, [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(c.seconds, [5, 10, 15, 20, 25])
    np.testing.assert_array_equal(c.values, [3.0, np.nan, np.nan, np.nan, 1.0])


def test_the_mean_of_runs_of_unequal_length_ends_at_the_mean_of_their_ends():
    """Losses affine in the share of work: their mean is affine too, whatever the steps."""
    ends = {60: 1.0, 100: 2.0, 140: 6.0}
    seeds = []
    for last, end in ends.items():
        steps = np.arange(20.0, last + 1, 20)
        seeds.append(runs.Curve(steps, steps / 4, 9 - (9 - end) * steps / last))
    b = runs.band(seeds)
    share = b.steps / 100
    np.testing.assert_allclose(b.mean, 9 - (9 - 3) * share, rtol=1e-13)
    np.testing.assert_allclose(b.low, 9 - (9 - 1) * share, rtol=1e-13)
    np.testing.assert_allclose(b.high, 9 - (9 - 6) * share, rtol=1e-13)
    np.testing.assert_allclose(b.seconds, b.steps / 4, rtol=1e-13)
    assert b.steps[-1] == 100


def test_thinning_keeps_the_integral_and_the_gap():
    x = np.arange(960.0)
    y = np.sin(x / 50)
    thin = runs.thin_curve(runs.Curve(x, x, y))
    assert len(thin.steps) == 240
    np.testing.assert_allclose(thin.values.mean(), y.mean(), atol=1e-15)
    y[500] = np.nan
    assert np.isnan(runs.thin_curve(runs.Curve(x, x, y)).values).sum() == 1


def test_residuals_are_what_is_no_counter_and_no_multiplier():
    assert figures.residual_names([run(), run(phases=2)]) == ["F", "spread", "entropy"]


def test_a_loss_that_is_not_finite_is_found():
    broken = run()
    assert figures.first_step_not_finite(broken) is None
    broken.metrics[7]["held_out_loss"] = math.nan
    assert figures.first_step_not_finite(broken) == 40


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" be", "·be"), ("\n", "⏎"), ("\t", "⇥"), ("\x00", "\ufffd"), ("", "∅"), ("<s>", "<s>")],
)
def test_tokens_show_their_white_space(token, shown):
    assert figures.readable(token) == shown


# linear RGB seen without one kind of cone, [Machado, Oliveira and Fernandes 2009], severity 1
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}  # fmt: skip


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]]
    )  # fmt: skip
    opponents = np.array(
        [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.808675766]]
    )  # fmt: skip
    return opponents @ np.cbrt(cones @ rgb.clip(0, 1))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_models_are_told_apart_by_every_kind_of_sight_and_are_read_as_text(scheme):
    colours = [linear(pair[scheme]) for pair in style.MODELS.values()]
    for sight in SIGHT.values():
        seen = [oklab(np.array(sight) @ c) for c in colours]
        assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) >= 0.09
    luminance = [
        0.05 + c @ [0.2126, 0.7152, 0.0722] for c in [linear(style.PAPER["--page"][scheme]), *colours]
    ]
    assert min(max(luminance[0] / y, y / luminance[0]) for y in luminance[1:]) >= 4.5


def test_the_curve_ends_at_the_mean_of_the_seeds_and_the_band_spans_them():
    seeds = [run(seed=seed, final=3.0 + 0.1 * seed, steps=100 + 20 * seed) for seed in range(3)]
    figure = figures.loss_over_steps({"pet": seeds}, BLUE)
    (line,) = thick(figure)
    ends = [r.final["held_out_loss"] for r in seeds]
    assert line.get_ydata()[-1] == pytest.approx(np.mean(ends), rel=1e-14)
    assert line.get_xdata()[-1] == 120
    corners = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)
    assert {min(ends), max(ends)} <= set(corners[corners[:, 0] == 120, 1])


def test_one_seed_has_no_band_and_an_unfinished_one_is_dashed_and_in_no_mean():
    part = run(seed=1, final=9.0)
    part = replace(part, finished=False, final={}, metrics=part.metrics[:8])
    figure = figures.loss_over_steps({"pet": [run(), part]}, BLUE)
    dashed, whole = thick(figure)
    assert dashed.get_linestyle() == "--"
    assert whole.get_linestyle() == "-"
    assert dashed.get_xdata()[-1] == 40
    np.testing.assert_allclose(whole.get_ydata(), [loss_at(s, 3.0) for s in range(10, 101, 10)], rtol=1e-14)
    assert not figure.axes[0].collections


def test_a_loss_that_is_not_finite_leaves_a_gap():
    broken = run()
    broken.metrics[11]["held_out_loss"] = math.nan
    (line,) = thick(figures.loss_over_steps({"pet": [broken]}, BLUE))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(line.get_ydata())), [5])


def test_what_diverges_leaves_the_frame():
    wild = run(final=3.0)
    wild.metrics[-1]["held_out_loss"] = 1e6
    assert figures.loss_over_steps({"pet": [wild]}, BLUE).axes[0].get_ylim()[1] < 10


@pytest.mark.parametrize(
    ("factor", "unit", "end"), [(1, "seconds", 10), (60, "minutes", 10), (7200, "hours", 20)]
)
def test_time_is_in_a_unit_that_it_fills(factor, unit, end):
    slow = run()
    for row in slow.metrics:
        row["seconds"] *= factor
    figure = figures.loss_over_time({"pet": [slow]}, BLUE)
    assert figure.axes[0].get_xlabel() == f"{unit} of training"
    assert thick(figure)[0].get_xdata()[-1] == pytest.approx(end)


def test_final_values_are_a_dot_a_seed_and_their_mean():
    seeds = [run(seed=seed, final=3.0 + seed) for seed in range(3)]
    for figure, key, unit in (
        (figures.final_losses({"pet": seeds}, BLUE), "held_out_loss", 1),
        (figures.speeds({"pet": seeds}, BLUE), "tokens_per_second", 1e-3),
    ):
        each, mean = (np.asarray(line.get_xdata()) for line in figure.axes[0].lines)
        np.testing.assert_allclose(each, [unit * r.final[key] for r in seeds])
        np.testing.assert_allclose(mean, [each.mean()])


def test_residuals_are_logarithmic_unless_nothing_is_positive():
    some, none = run(phases=2), run(phases=2)
    for row in none.metrics:
        row.update(dict.fromkeys({"F"} & row.keys(), 0.0))
    axes = figures.residual_curves({"pet": [some], "other": [run()]}, BLUE | {"other": "#000000"}, "F").axes[
        0
    ]
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata()), [1 / s for s in range(10, 101, 10)])
    assert [text.get_text() for text in axes.texts] == ["pet"]  # who reports none has no label
    assert figures.residual_curves({"pet": [none]}, BLUE, "F").axes[0].get_yscale() == "linear"


def test_the_phase_map_paints_every_fraction_where_its_token_stands():
    r = run(phases=4)
    figure = figures.phase_map(r, layers=[3])
    image = present(figure.axes[0].images[0].get_array())
    L = np.array(present(present(r.probe).phase_fractions)[2])
    widths = [phases.width(figures.readable(t)) for t in present(r.probe).tokens]
    widths[6] = phases.LONGEST + 1  # forty letters, cut
    middles = (phases.PIXELS * (np.cumsum(widths) - np.array(widths) / 2)).astype(int)
    np.testing.assert_array_equal(np.ma.filled(image[:, middles], -1), L.T)
    assert len(figure.axes[0].images) == 2  # one line of one layer, and the scale


def test_layers_without_phases_are_left_out_and_cannot_be_asked_for():
    r = run(phases=4)
    assert figures.mapped_layers(r) == [1, 3]
    names = [text.get_text() for text in figures.phase_map(r).axes[0].texts]
    assert [name for name in names if name.startswith("layer")] == ["layer 1", "layer 3"]
    with pytest.raises(InputError, match=r"layers=\[2\]: the layers with phases of pet are \[1, 3\]"):
        figures.phase_map(r, layers=[2])
    with pytest.raises(InputError, match=r"are \[\]"):
        figures.phase_map(run())


@given(st.lists(st.integers(1, 20), min_size=1, max_size=200))
def test_lines_hold_every_token_once_in_order_and_are_full(widths):
    lines = phases.break_lines(widths)
    assert [i for line in lines for i in line] == list(range(len(widths)))
    lengths = [sum(widths[i] for i in line) for line in lines]
    assert max(lengths) <= phases.COLUMNS
    assert all(a + widths[below[0]] > phases.COLUMNS for a, below in zip(lengths, lines[1:], strict=False))


def test_ridges_rise_from_their_layer_in_proportion_to_the_counts():
    r = run(layers=2)
    axes = figures.cosine_histograms(r, BLUE["pet"]).axes[0]
    counts = np.array(present(r.probe).cosine_counts)
    for k in range(3):
        height = k - np.asarray(axes.lines[k].get_ydata())
        np.testing.assert_allclose(height / height.max(), counts[k] / counts[k].max())
    np.testing.assert_allclose(np.asarray(axes.lines[3].get_xdata()), [0, 0.1, 0.2])
    with pytest.raises(InputError, match="pet, seed 0: there is no probe"):
        figures.cosine_histograms(replace(r, probe=None), BLUE["pet"])


def test_svg_is_text_with_ids_of_its_own_and_colours_of_the_page():
    colour = figures.colours(["a<b", "$x$", "#2246ae"])
    models = {name: [run(name)] for name in colour}
    first, again = (
        figures.svg(figures.loss_over_steps(models, colour), "one", title='a "t"') for _ in range(2)
    )
    assert first == again
    other = figures.svg(figures.loss_over_steps(models, colour), "two", title="t")
    ids = [set(re.findall(r'\bid="([^"]*)"', drawing)) for drawing in (first, other)]
    assert not ids[0] & ids[1]
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', first)
    assert used
    assert {a or b for a, b in used} <= ids[0]
    root = ElementTree.fromstring(first)
    assert root.get("aria-label") == 'a "t"'
    assert set(colour) <= {
        "".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")
    }
    assert not set(re.findall("#[0-9a-f]{6}", re.sub(">[^<]*<", "><", first)))


def test_svg_draws_tokens_that_our_fonts_lack_without_a_warning():
    drawing = figures.svg(figures.phase_map(run(phases=32), tokens=5), "map", title="map")
    assert "·日本" in drawing
    assert "&lt;mask&gt;" in drawing
    assert "$x_1$" in drawing


def test_colours_are_one_a_model_in_order():
    colour = figures.colours(["a", "b", "c"])
    assert list(colour) == ["a", "b", "c"]
    assert len(set(colour.values())) == 3
    assert figures.colour_variable(colour["b"]) == "var(--model-1)"
    assert figures.colour_variable("#123456") == "#123456"
    for variable in style.MODELS | style.PAPER:
        assert figures.css_colours().count(f"{variable}:#") == 2
