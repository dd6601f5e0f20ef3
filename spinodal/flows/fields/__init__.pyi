from .composed import AttentionField
from .depth import Piecewise, Resampled
from .drive import Drive
from .energy import Energy, energy_of
from .feed import FeedForward
from .function import FunctionField
from .heads import Head
from .schemes import NGPT, SCHEMES, Mix, Peri, Post, Pre, Scheme, Sqrt, scheme
from .unnormalised import UnnormalisedField

__all__ = [
    "NGPT",
    "SCHEMES",
    "AttentionField",
    "Drive",
    "Energy",
    "FeedForward",
    "FunctionField",
    "Head",
    "Mix",
    "Peri",
    "Piecewise",
    "Post",
    "Pre",
    "Resampled",
    "Scheme",
    "Sqrt",
    "UnnormalisedField",
    "energy_of",
    "scheme",
]
