from .engines.choose import choose_engines, evaluated
from .engines.engine import Engine, Problem, Routine
from .engines.field import field
from .engines.kernel import Kernel
from .engines.law import Drift, Law, law, usa_clock
from .engines.registry import ENGINES
from .engines.span import reduced
from .ensembles import Diagram, DiagramResult, phase_diagram
from .evolution import Evolution, evolve
from .experiment import Simulation
from .fields import AttentionField, FeedForward, Head, UnnormalisedField
from .fields.heads import stacked_heads
from .starts import (
    NAMED_STARTS,
    LatticeStart,
    OrthonormalStart,
    PerturbedStart,
    TokenStart,
    UniformStart,
    named_start,
)
from .time import CONSENSUS, Adaptive, Keeper, Layers, Noisy, Run, simulate

__all__ = [
    "CONSENSUS",
    "ENGINES",
    "NAMED_STARTS",
    "Adaptive",
    "AttentionField",
    "Diagram",
    "DiagramResult",
    "Drift",
    "Engine",
    "Evolution",
    "FeedForward",
    "Head",
    "Keeper",
    "Kernel",
    "LatticeStart",
    "Law",
    "Layers",
    "Noisy",
    "OrthonormalStart",
    "PerturbedStart",
    "Problem",
    "Routine",
    "Run",
    "Simulation",
    "TokenStart",
    "UniformStart",
    "UnnormalisedField",
    "choose_engines",
    "evaluated",
    "evolve",
    "field",
    "law",
    "named_start",
    "phase_diagram",
    "reduced",
    "simulate",
    "stacked_heads",
    "usa_clock",
]
