from .clock import Clock, effective_clock
from .measure import (
    NULLS,
    Observation,
    Question,
    Shown,
    observe_arrays,
    observe_model,
    sphere_coordinates,
)
from .nulls import random_weights, shuffled
from .pairs import Portrait, portraits
from .subject import Subject, opened, sound_batches, sound_of, text_batches
from .summary import summary
from .weights import Heads, Spectra, effective_beta, heads_of, spectra

__all__ = [
    "NULLS",
    "Clock",
    "Heads",
    "Observation",
    "Portrait",
    "Question",
    "Shown",
    "Spectra",
    "Subject",
    "effective_beta",
    "effective_clock",
    "heads_of",
    "observe_arrays",
    "observe_model",
    "opened",
    "portraits",
    "random_weights",
    "shuffled",
    "sound_batches",
    "sound_of",
    "spectra",
    "sphere_coordinates",
    "summary",
    "text_batches",
]
