"""Figures as files for papers, slides and dark pages: fonts, sizes, colours, and the numbers beside them."""

import csv
import html
import io
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spinodal
from marks import slow_but
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from test_draw import DIAGRAM, MADE

from spinodal import explorer, figures, flows, graphs
from spinodal.errors import InputError
from spinodal.figures import claims, fitting, look, particles_time, style
from spinodal.figures.flow import continuous_angles

FLOW = graphs.integrate_flow(graphs.GradientFlow(graphs.build_system("cycle:4"), time=1.0, points=5))


def energy() -> Figure:
    return FLOW.plot()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_vectors_hold_text_in_fonts_and_the_same_figure_is_the_same_file(tmp_path: Path):
    for kind in ("pdf", "svg"):
        one, other = (
            figures.save(energy(), tmp_path / f"{name}.{kind}", style="paper", columns=1)[0] for name in "ab"
        )
        assert one.read_bytes() == other.read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert re.search(rb"/MediaBox \[ ?0 0 243 ", pdf)  # 3.375 inches
    assert "energy" in "".join(re.findall("<text.*?</text>", (tmp_path / "a.svg").read_text(), re.DOTALL))


@pytest.mark.parametrize(("columns", "inches"), [(1, 3.375), (2, 7.0), (1.5, 5.1875)])
def test_a_width_is_in_columns_of_text(columns: float, inches: float, tmp_path: Path):
    figure = energy()
    width, height = figure.get_size_inches()
    file, _ = figures.save(figure, tmp_path / "a.png", columns=columns)
    with Image.open(file) as image:
        assert image.width == pytest.approx(inches * 150, abs=1)
    ratio = inches / width
    expected = ratio if ratio > 1 else ratio**0.5  # labels need their room in a narrow one
    assert figure.get_size_inches()[1] == pytest.approx(height * expected)


def test_text_and_lines_have_the_sizes_of_a_style():
    plain = energy()
    for name, (text, lines) in look.SIZES.items():
        figure = energy()
        look.dress(figure, look.Look(style=name))
        figure.draw_without_rendering()
        plain.draw_without_rendering()
        pairs = zip(figure.findobj(Text), plain.findobj(Text), strict=True)
        assert all(a.get_fontsize() == pytest.approx(float(b.get_fontsize()) * text) for a, b in pairs)
        curves = [part.axes[0].lines[0].get_linewidth() for part in (figure, plain)]
        assert curves[0] == pytest.approx(curves[1] * lines)


def colours_of(figure: Figure) -> set[str]:
    figure.draw_without_rendering()
    texts = {to_hex(part.get_color()) for part in figure.findobj(Text) if part.get_text()}
    lines = {to_hex(line.get_color()) for axes in figure.axes for line in axes.get_lines()}
    grid = {to_hex(line.get_color()) for axes in figure.axes for line in axes.get_ygridlines()}
    return texts | lines | grid | {to_hex(figure.get_facecolor())}


DRAWN = {kind: compute for kind, (_, compute, _) in MADE.items()} | {
    "circle": lambda: flows.evolve(
        flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(6, 2), 1.0, times=4)
    ),
    "sphere": lambda: flows.evolve(
        flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(6, 3), 1.0, times=4)
    ),
    "phase-diagram": lambda: flows.phase_diagram(DIAGRAM),
}


@pytest.mark.parametrize("kind", slow_but(DRAWN, "graph-flow", "phase-diagram"))
def test_every_picture_is_saved_dark_with_the_colours_of_the_dark_palette(kind: str, tmp_path: Path):
    light = {colour for colour, dark in (style.PAPER | style.MODELS).values() if colour != dark}
    for picture, figure in figures.draw(DRAWN[kind]()).items():
        figures.save(figure, tmp_path / f"{picture}.svg", style="dark")
        assert not colours_of(figure) & light, picture
        assert to_hex(figure.get_facecolor()) == style.PAPER["--page"][1]
        assert (
            (tmp_path / f"{picture}.csv").read_text().startswith("panel,series,x label,x,y label,y,value\n")
        )


def test_the_numbers_of_a_figure_stand_beside_it(tmp_path: Path):
    _, file = figures.save(energy(), tmp_path / "a.pdf")
    found = rows(file.read_text())
    assert {(row["panel"], row["x label"]) for row in found} == {("energy on cycle:4", "time")}
    curve = [row for row in found if row["series"] == found[0]["series"]]
    np.testing.assert_array_equal([float(row["x"]) for row in curve], FLOW.times)
    np.testing.assert_array_equal([float(row["y"]) for row in curve], FLOW.energies)


def test_dots_segments_and_maps_are_numbers_too_and_lines_across_are_none():
    figure = Figure()
    axes = figure.add_subplot()
    axes.set(title="A", xlabel="x, in m")
    axes.scatter([1.0, 2.0], [3.0, 4.0], label="seen")
    axes.vlines([5.0], 0.0, 1.0)
    axes.pcolormesh([0.0, 1.0, 2.0], [0.0, 2.0], [[7.0, 8.0]])
    axes.axhline(9.0)
    found = [
        (row["panel"], row["series"], row["x"], row["y"], row["value"])
        for row in rows(figures.figure_table(figure))
    ]
    assert found == [
        ("A", "seen", "1.0", "3.0", ""), ("A", "seen", "2.0", "4.0", ""),
        ("A", "segments 2: 1", "5.0", "0.0", ""), ("A", "segments 2: 1", "5.0", "1.0", ""),
        ("A", "map 3", "0.5", "1.0", "7.0"), ("A", "map 3", "1.5", "1.0", "8.0"),
    ]  # fmt: skip


def test_what_is_no_format_style_or_width_is_refused(tmp_path: Path):
    refused: list[tuple[dict[str, Any], str]] = [
        ({"format": "jpg"}, "`format` jpg: one of png, pdf, svg"),
        ({"style": "poster"}, "`style` poster: one of paper, talk, dark"),
        ({"columns": 0.0}, "`columns` 0: a width from 0 to 10 columns"),
        ({"columns": float("nan")}, "`columns` nan"),
    ]
    for values, match in refused:
        with pytest.raises(InputError, match=match):
            look.Look(**values)
    with pytest.raises(InputError, match="`format` of no name"):
        figures.save(energy(), tmp_path / "a")
    assert figures.current_look() == look.Look()


def test_commands_save_as_they_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "flow"
    asked = ["graph", "flow", "--graph", "cycle:4", "--time", "1", "--points", "5", "--out", out]
    assert not spinodal(monkeypatch, *asked, "--format", "pdf", "--style", "talk", "--columns", "2")
    assert {path.name for path in out.glob("energy.*")} == {"energy.pdf", "energy.csv"}
    assert not spinodal(monkeypatch, *asked, "--overwrite")
    assert {path.name for path in out.glob("energy.*")} == {"energy.png"}, (
        "what an earlier look wrote is gone"
    )
    assert not spinodal(monkeypatch, "draw", out, "--format", "svg")
    assert {path.name for path in (out / "pictures").iterdir()} == {"energy.svg", "energy.csv"}
    capsys.readouterr()
    assert spinodal(monkeypatch, "draw", out, "--format", "svg") == 2
    assert "energy.svg already: --overwrite draws it again" in capsys.readouterr().err
    assert spinodal(monkeypatch, "draw", out, "--quick") == 2
    assert "--quick are for recipes" in capsys.readouterr().err
    assert spinodal(monkeypatch, *asked, "--overwrite", "--format", "jpg") == 2
    assert "--format jpg: one of png, pdf, svg" in capsys.readouterr().err
    assert (out / "energy.png").exists()


def test_a_notebook_plays_the_tokens_of_an_evolution():
    result = flows.evolve(flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(6, 3), 1.0, times=4))
    shown = result._repr_html_()
    table, frame = shown[: shown.index("<iframe")], shown[shown.index("<iframe") :]
    assert "<td>tokens</td>" in table
    page = explorer.explorer_page(explorer.recording_of(result))
    source = re.search('srcdoc="([^"]*)"', frame)
    assert source is not None
    assert html.unescape(source[1]) == page
    many = flows.evolve(
        flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(2049, 2), 0.01, times=2)
    )
    assert "<p>there are 2049 tokens: the explorer plays from 2 to 2,048" in many._repr_html_()
    assert "iframe" not in FLOW._repr_html_()


def panels_side_by_side(count: int) -> Figure:
    """As claims are drawn: a long title, a title and a legend each, and curves that fill their panels."""
    t = np.linspace(0, 1, 50)
    each = [
        claims.Panel(
            f"distance from the mean, root mean square, panel {k}",
            "t",
            lines={f"start {n}": (t, n * t) for n in range(6)},
        )
        for k in range(count)
    ]
    return claims.draw_claim(
        each, title="SA on the circle, n = 32, β = 4, a title that is longer than a column"
    )


def inside(figure: Figure, part: Text) -> bool:
    box = part.get_window_extent()
    return box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1


@pytest.mark.slow
def test_no_panel_of_a_narrow_figure_is_without_room_and_no_title_is_cut():
    """Side by side in one column three panels had no width at all, and their titles ran over each other."""
    waits = particles_time.long_waits(*WAITS, title="SA, n = 5")
    for figure, size in ((panels_side_by_side(2), "talk"), (waits, "paper")):
        look.dress(figure, look.Look(style=size, columns=1))
        figure.draw_without_rendering()
        places = [axes.get_window_extent() for axes in figure.axes]
        assert min(place.width for place in places) / figure.dpi > 1.2
        assert min(place.height for place in places) / figure.dpi > 0.6
        assert [
            part for part, _ in fitting.limited_texts(figure) if part.get_text() and not inside(figure, part)
        ] == []
        for axes in figure.axes:
            legend = axes.get_legend()
            assert (
                legend is None or not fitting.covers(legend.get_window_extent(), axes) or below(legend, axes)
            )
        assert "\n" not in "".join(row["panel"] for row in rows(figures.figure_table(figure)))


def below(legend: Any, axes: Any) -> bool:
    return legend.get_window_extent().y1 < axes.get_window_extent().y0


def test_names_of_curves_stand_a_line_apart_in_larger_text():
    figure, axes = style.panel(4.8, 3.0)
    names = [f"model {k}" for k in range(5)]
    style.label_ends(axes, dict.fromkeys(names, 0.5), dict.fromkeys(names, style.INK))
    look.dress(figure, look.Look(style="talk", columns=1))
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 5
    assert all(upper.y0 >= lower.y0 + 0.8 * lower.height for lower, upper in itertools.pairwise(boxes))


def test_dark_ticks_are_seen_and_what_stands_on_a_map_stays():
    """Ticks of a scale of colours and small ticks of logarithms were black on the dark page."""
    figure, axes = style.panel(4.0, 3.0)
    mesh = axes.pcolormesh([0.0, 1.0, 2.0], [0.0, 2.0], [[7.0, 8.0]])
    (line,) = axes.plot([0.5, 1.5], [1, 1], color=style.MAP_PAGE)
    bar = style.colour_bar(figure, mesh, axes, label="value")
    logarithm = figure.add_subplot(2, 1, 2)
    logarithm.plot([1, 3], [1, 3], label="a")
    logarithm.set_yscale("log")
    logarithm.tick_params(which="both", colors=style.MUTED)
    legend = logarithm.legend(edgecolor="none", framealpha=0.85)
    look.dress(figure, look.Look(style="dark"))
    figure.draw_without_rendering()
    for axis in (bar.yaxis, axes.xaxis, logarithm.yaxis):
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            assert to_hex(tick.label1.get_color()) == style.PAPER["--muted"][1]
    assert to_hex(line.get_color()) == style.MAP_PAGE
    assert to_rgba(legend.get_frame().get_edgecolor())[3] == 0


def test_numbers_of_a_short_logarithmic_axis_are_written_out():
    figure, axes = style.panel(4.0, 3.0)
    for values, scientific in (([0.02, 0.09], False), ([2.83737, 2.83744], False), ([1e-6, 1], True)):
        axes.cla()
        axes.plot([0, 1], values)
        axes.set_yscale("log")
        style.plain_log_ticks(axes.yaxis)
        figure.draw_without_rendering()
        shown = [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks()]
        assert sum(map(bool, shown)) >= 2
        assert any("10^" in text for text in shown) == scientific


def test_tokens_that_meet_at_the_end_meet_in_the_picture():
    """Two clusters that merge across the angle pi ended a full turn apart."""
    t = np.linspace(0, 1, 40)
    angles = np.stack([2.0 + t * 1.5, 4.9 - t * 1.4, -3.0 + t * 0.2168], 1)
    angles[-1] = 3.5
    found = continuous_angles(np.stack([np.cos(angles), np.sin(angles)], 2))
    assert np.ptp(found[-1]) < 1e-12
    assert np.abs(np.diff(found, axis=0)).max() < 0.5
    np.testing.assert_allclose(np.cos(found), np.cos(angles), atol=1e-12)


WAITS: Any = (
    np.geomspace(0.1, 1000, 30),
    np.linspace(-3, 3, 90).reshape(30, 3),
    np.array([18.0, 36.0]),
    {"start 0": np.array([[2.0, 33.0, 33.0, 160.0], [3.0, 300.0, 300.0, 200.0]])},
)
