from .cosines import cosine_histograms
from .curves import final_losses, loss_over_steps, loss_over_time, residual_curves, speeds
from .files import figure_table, save, save_picture, write_picture
from .look import Look, current_look, saved_as
from .phases import mapped_layers, phase_fractions, phase_map
from .pictures import draw
from .runs import Runs, finished_runs, first_step_not_finite, number, readable, require_probe, residual_names
from .style import colour_variable, colours, css_colours, printable, svg

__all__ = [
    "Look",
    "Runs",
    "colour_variable",
    "colours",
    "cosine_histograms",
    "css_colours",
    "current_look",
    "draw",
    "figure_table",
    "final_losses",
    "finished_runs",
    "first_step_not_finite",
    "loss_over_steps",
    "loss_over_time",
    "mapped_layers",
    "number",
    "phase_fractions",
    "phase_map",
    "printable",
    "readable",
    "require_probe",
    "residual_curves",
    "residual_names",
    "save",
    "save_picture",
    "saved_as",
    "speeds",
    "svg",
    "write_picture",
]
