from .cosines import cosine_histograms
from .curves import final_losses, loss_over_steps, loss_over_time, residual_curves, speeds
from .phases import mapped_layers, phase_map
from .pictures import draw
from .runs import Run, Runs, finished, number, readable, residual_names, stopped_being_finite
from .style import colours, css_colours, svg, themed

__all__ = [
    "Run",
    "Runs",
    "colours",
    "cosine_histograms",
    "css_colours",
    "draw",
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
