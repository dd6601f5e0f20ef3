from .arrays import read_trajectory, write_trajectory
from .clock import Clock, effective_clock
from .effect import effects, loss
from .experiment import (
    NULLS,
    Arrays,
    Observation,
    Question,
    Sound,
    Texts,
    TrainedModel,
    observe,
)
from .folder import (
    compare_into,
    distinct_names,
    observe_into,
    observed_in,
    read_comparison,
    read_observation,
    recorded,
)
from .measure import observe_arrays, observe_model
from .nulls import random_weights, shuffled
from .pairs import Portrait, portraits
from .record import VIEWS, record, recording
from .result import (
    Compared,
    Difference,
    Effect,
    Layer,
    LayerNumbers,
    NullComparison,
    Observed,
    Shown,
    StandardErrors,
)
from .sources import source_named
from .stacks import Stack, find_stacks, one_stack
from .subject import Subject, opened, sound_batches, sound_of, text_batches
from .summary import summary
from .weights import Heads, Spectra, effective_beta, heads_of, spectra

__all__ = [
    "NULLS",
    "VIEWS",
    "Arrays",
    "Clock",
    "Compared",
    "Difference",
    "Effect",
    "Heads",
    "Layer",
    "LayerNumbers",
    "NullComparison",
    "Observation",
    "Observed",
    "Portrait",
    "Question",
    "Shown",
    "Sound",
    "Spectra",
    "Stack",
    "StandardErrors",
    "Subject",
    "Texts",
    "TrainedModel",
    "compare_into",
    "distinct_names",
    "effective_beta",
    "effective_clock",
    "effects",
    "find_stacks",
    "heads_of",
    "loss",
    "observe",
    "observe_arrays",
    "observe_into",
    "observe_model",
    "observed_in",
    "one_stack",
    "opened",
    "portraits",
    "random_weights",
    "read_comparison",
    "read_observation",
    "read_trajectory",
    "record",
    "recorded",
    "recording",
    "shuffled",
    "sound_batches",
    "sound_of",
    "source_named",
    "spectra",
    "summary",
    "text_batches",
    "write_trajectory",
]
