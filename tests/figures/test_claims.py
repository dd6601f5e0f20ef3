"""Panels of a claim: measured points with bars of two standard errors, and theory dashed in the same axes."""

import numpy as np
import pytest

from spinodal.figures.claims import Panel, draw_claim, labelled


def test_a_panel_draws_what_was_measured_beside_the_theory():
    x = np.array([1.0, 2.0, 3.0])
    panel = Panel(
        "a title",
        "β",
        points={"measured": (x, 2 * x, 0.1 * x)},
        lines={"a run": (x, x, 0.5 * np.ones(3))},
        theory=labelled("2 β", [(x, 2 * x), (x, 3 * x)]),
        marks={"β = 2": 2.0},
        scales=("linear", "log"),
        limits=(0.1, 20.0),
    )
    figure = draw_claim([panel, panel], title="the claim")
    first = figure.axes[0]
    assert (first.get_xlabel(), first.get_title(loc="left"), first.get_yscale()) == ("β", "a title", "log")
    legend = first.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"a run", "measured", "2 β", "β = 2"}
    (bars,) = first.containers
    ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
    assert ends == pytest.approx(np.stack([1.8 * x, 2.2 * x], 1))
    (band,) = [c for c in first.collections if c not in bars[2]]
    y = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (y.min(), y.max()) == (0.0, 4.0)
    dashed = [line for line in first.lines if line.get_linestyle() == "--"]
    drawn = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in dashed]
    assert [y.tolist() for x, y in drawn if len(x) == 3][:2] == [
        [2, 4, 6],
        [3, 6, 9],
    ]
