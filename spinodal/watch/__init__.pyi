from .ablations import PARTS, without
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
from .fixed_points import FixedPoint, fixed_point, newton_krylov
from .folder import (
    compare_into,
    distinct_names,
    find_observation,
    observe_into,
    read_comparison,
    read_observation,
    without_trajectory,
)
from .iterate import iterate, iterate_model
from .iteration import Course, FlowDistance, Iteration, IterationResult
from .layer_field import LayerField, field_of_layer, layer_field
from .layer_map import LayerMap, LayerMaps, layer_maps
from .lyapunov import Exponent, Tangents, sequence_exponent
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
from .returns import Return, nearest_return
from .saving import run_into
from .sound import sound_batches, sound_of
from .sources import holds_arrays, source_named
from .stacks import Stack, find_stacks, one_stack
from .subject import Subject, open_model, text_batches
from .summary import headline, summary, unlike
from .training_series import TrainingSeries, TrainingSeriesResult, observe_training
from .weights import (
    AttentionCall,
    HeadBiases,
    Heads,
    Selections,
    Spectra,
    attention_call,
    biases_of,
    effective_beta,
    heads_of,
    spectra,
)

__all__ = [
    "NULLS",
    "PARTS",
    "VIEWS",
    "Arrays",
    "AttentionCall",
    "Clock",
    "Course",
    "Difference",
    "Effect",
    "Exponent",
    "FixedPoint",
    "FlowDistance",
    "HeadBiases",
    "Heads",
    "Image",
    "Iteration",
    "IterationResult",
    "Layer",
    "LayerCall",
    "LayerField",
    "LayerMap",
    "LayerMaps",
    "LayerNumbers",
    "NullComparison",
    "Observation",
    "ObservationComparison",
    "ObservationResult",
    "PairStatistics",
    "Question",
    "Return",
    "Selections",
    "ShownInput",
    "Sound",
    "Spectra",
    "Stack",
    "StandardErrors",
    "Subject",
    "Tangents",
    "Texts",
    "TrainedModel",
    "TrainingSeries",
    "TrainingSeriesResult",
    "attention_call",
    "attention_calls",
    "attention_layers",
    "biases_of",
    "compare_into",
    "distinct_names",
    "effective_beta",
    "effective_clock",
    "effects",
    "field_of_layer",
    "find_observation",
    "find_stacks",
    "fixed_point",
    "headline",
    "heads_of",
    "holds_arrays",
    "iterate",
    "iterate_model",
    "layer_field",
    "layer_maps",
    "loss",
    "nearest_return",
    "newton_krylov",
    "observe",
    "observe_arrays",
    "observe_into",
    "observe_model",
    "observe_training",
    "one_stack",
    "open_model",
    "pair_statistics",
    "random_weights",
    "read_comparison",
    "read_observation",
    "read_trajectory",
    "record",
    "recording",
    "run_into",
    "sequence_exponent",
    "shuffle_tokens",
    "sound_batches",
    "sound_of",
    "source_named",
    "spectra",
    "summary",
    "text_batches",
    "unlike",
    "without",
    "without_trajectory",
    "write_trajectory",
]
