from .engines.choose import choose_engines, evaluated
from .engines.engine import Engine, Problem, Routine
from .engines.field import field
from .engines.kernel import Kernel
from .engines.law import Drift, Law, law, usa_clock
from .engines.registry import ENGINES
from .engines.span import reduced
from .fields import AttentionField, FeedForward, Head, UnnormalisedField
from .time import CONSENSUS, Adaptive, Keeper, Layers, Noisy, Run, simulate

__all__ = [
    "CONSENSUS",
    "ENGINES",
    "Adaptive",
    "AttentionField",
    "Drift",
    "Engine",
    "FeedForward",
    "Head",
    "Keeper",
    "Kernel",
    "Law",
    "Layers",
    "Noisy",
    "Problem",
    "Routine",
    "Run",
    "UnnormalisedField",
    "choose_engines",
    "evaluated",
    "field",
    "law",
    "reduced",
    "simulate",
    "usa_clock",
]
