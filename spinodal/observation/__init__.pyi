from .clock import Clock, effective_clock
from .nulls import random_weights, shuffled
from .observe import (
    NULLS,
    Observation,
    Question,
    Shown,
    observe,
    observe_arrays,
    sphere_coordinates,
)
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
    "observe",
    "observe_arrays",
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
