from .engines.automatic import evaluated, field
from .engines.law import Drift, Law, law, usa_clock
from .engines.span import reduced
from .fields import AttentionField, FeedForward, Head, UnnormalisedField
from .time import CONSENSUS, Adaptive, Keeper, Layers, Noisy, Run, simulate

__all__ = [
    "CONSENSUS",
    "Adaptive",
    "AttentionField",
    "Drift",
    "FeedForward",
    "Head",
    "Keeper",
    "Law",
    "Layers",
    "Noisy",
    "Run",
    "UnnormalisedField",
    "evaluated",
    "field",
    "law",
    "reduced",
    "simulate",
    "usa_clock",
]
