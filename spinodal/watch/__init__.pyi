from .arrays import read_trajectory, write_trajectory
from .attention import attention_layers
from .calls import LayerCall, attention_calls
from .clock import Clock, effective_clock
from .effect import effects, loss
from .experiment import (
    NULLS,
    Arrays,
    Image,
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
    find_observation,
    observe_into,
    read_comparison,
    read_observation,
    without_trajectory,
)
from .measure import observe_arrays, observe_model
from .nulls import random_weights, shuffle_tokens
from .pairs import PairStatistics, pair_statistics
from .record import VIEWS, record, recording
from .result import (
    Difference,
    Effect,
    Layer,
    LayerNumbers,
    NullComparison,
    ObservationComparison,
    ObservationResult,
    ShownInput,
    StandardErrors,
)
from .sound import sound_batches, sound_of
from .sources import holds_arrays, source_named
from .stacks import Stack, find_stacks, one_stack
from .subject import Subject, open_model, text_batches
from .summary import headline, summary, unlike
from .weights import (
    AttentionCall,
    Heads,
    Selections,
    Spectra,
    attention_call,
    effective_beta,
    heads_of,
    spectra,
)

__all__ = [
    "NULLS",
    "VIEWS",
    "Arrays",
    "AttentionCall",
    "Clock",
    "Difference",
    "Effect",
    "Heads",
    "Image",
    "Layer",
    "LayerCall",
    "LayerNumbers",
    "NullComparison",
    "Observation",
    "ObservationComparison",
    "ObservationResult",
    "PairStatistics",
    "Question",
    "Selections",
    "ShownInput",
    "Sound",
    "Spectra",
    "Stack",
    "StandardErrors",
    "Subject",
    "Texts",
    "TrainedModel",
    "attention_call",
    "attention_calls",
    "attention_layers",
    "compare_into",
    "distinct_names",
    "effective_beta",
    "effective_clock",
    "effects",
    "find_observation",
    "find_stacks",
    "headline",
    "heads_of",
    "holds_arrays",
    "loss",
    "observe",
    "observe_arrays",
    "observe_into",
    "observe_model",
    "one_stack",
    "open_model",
    "pair_statistics",
    "random_weights",
    "read_comparison",
    "read_observation",
    "read_trajectory",
    "record",
    "recording",
    "shuffle_tokens",
    "sound_batches",
    "sound_of",
    "source_named",
    "spectra",
    "summary",
    "text_batches",
    "unlike",
    "without_trajectory",
    "write_trajectory",
]
