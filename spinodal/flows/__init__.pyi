from .certainty import MergeCertainty, certify
from .differentiable import TorchFeedForward, TorchField, torch_flow
from .engines.choose import choose_engines, unchecked_drift
from .engines.engine import Engine, Problem, Routine
from .engines.field import field
from .engines.kernel import Kernel
from .engines.law import Drift, Law, law, usa_clock
from .engines.registry import ENGINES
from .engines.span import reduce_to_span
from .ensembles import (
    Diagram,
    DiagramResult,
    EnsembleResult,
    LifetimesResult,
    ensemble,
    lifetimes,
    phase_diagram,
)
from .evolution import Evolution, evolve
from .experiment import Simulation, named_method
from .fields import (
    AttentionField,
    Drive,
    FeedForward,
    FunctionField,
    Head,
    Piecewise,
    Positions,
    Resampled,
    Source,
    UnnormalisedField,
)
from .fields.feed import named_feed_forward
from .fields.heads import stack_heads
from .fields.matrices import named_matrix
from .fields.positions import named_positions
from .fields.source import named_source
from .points import CubeStart, NormalStart, PointStart
from .probes import lyapunov_exponents, probe_array, probe_pairs
from .starts import (
    NAMED_STARTS,
    LatticeStart,
    OrthonormalStart,
    PerturbedStart,
    TokenStart,
    UniformStart,
    named_start,
)
from .time import CONSENSUS, Adaptive, CheckpointPolicy, Layers, Noisy, SimulationResult, simulate

__all__ = [
    "CONSENSUS",
    "ENGINES",
    "NAMED_STARTS",
    "Adaptive",
    "AttentionField",
    "CheckpointPolicy",
    "CubeStart",
    "Diagram",
    "DiagramResult",
    "Drift",
    "Drive",
    "Engine",
    "EnsembleResult",
    "Evolution",
    "FeedForward",
    "FunctionField",
    "Head",
    "Kernel",
    "LatticeStart",
    "Law",
    "Layers",
    "LifetimesResult",
    "MergeCertainty",
    "Noisy",
    "NormalStart",
    "OrthonormalStart",
    "PerturbedStart",
    "Piecewise",
    "PointStart",
    "Positions",
    "Problem",
    "Resampled",
    "Routine",
    "Simulation",
    "SimulationResult",
    "Source",
    "TokenStart",
    "TorchFeedForward",
    "TorchField",
    "UniformStart",
    "UnnormalisedField",
    "certify",
    "choose_engines",
    "ensemble",
    "evolve",
    "field",
    "law",
    "lifetimes",
    "lyapunov_exponents",
    "named_feed_forward",
    "named_matrix",
    "named_method",
    "named_positions",
    "named_source",
    "named_start",
    "phase_diagram",
    "probe_array",
    "probe_pairs",
    "reduce_to_span",
    "simulate",
    "stack_heads",
    "torch_flow",
    "unchecked_drift",
    "usa_clock",
]
