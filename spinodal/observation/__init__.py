"""Observation: what a researcher asks of the tokens of a trained model, and what chance would answer.

subject  a model and its inputs                pairs    every number of one sequence, in one pass
observe  inputs go by, tallies stay            nulls    random weights, shuffled tokens
weights  temperature and spectra of attention  clock    layers on the theory's clock
tally    means, errors, violations             summary  the result in plain words
effect   what a plug-in does to clusters and to the model's own loss
"""

from spinodal.observation.clock import Clock, effective_clock
from spinodal.observation.nulls import random_weights, shuffled
from spinodal.observation.observe import (
    NULLS,
    Observation,
    Question,
    Shown,
    observe,
    observe_arrays,
    sphere_coordinates,
)
from spinodal.observation.pairs import Portrait, portraits
from spinodal.observation.subject import Subject, opened, sound_batches, sound_of, text_batches
from spinodal.observation.summary import summary
from spinodal.observation.weights import Heads, Spectra, effective_beta, heads_of, spectra

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
