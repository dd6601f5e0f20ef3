"""Figures of runs: every function takes runs as read from run.json and returns one matplotlib Figure.

Colours are handed in, so that a model has one colour in all figures of a page. A figure draws what
there is: a model without a curve is left out, and a number that is not finite leaves a gap.
"""

from spinodal.figures.cosines import cosine_histograms
from spinodal.figures.curves import final_losses, loss_over_steps, loss_over_time, residual_curves, speeds
from spinodal.figures.phases import mapped_layers, phase_map
from spinodal.figures.runs import Run, Runs, finished, number, readable, residual_names, stopped_being_finite
from spinodal.figures.style import colours, css_colours, svg, themed

__all__ = [
    "Run",
    "Runs",
    "colours",
    "cosine_histograms",
    "css_colours",
    "final_losses",
    "finished",
    "loss_over_steps",
    "loss_over_time",
    "mapped_layers",
    "number",
    "phase_map",
    "readable",
    "residual_curves",
    "residual_names",
    "speeds",
    "stopped_being_finite",
    "svg",
    "themed",
]
