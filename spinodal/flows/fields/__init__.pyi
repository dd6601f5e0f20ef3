from .composed import AttentionField
from .depth import Piecewise, Resampled
from .drive import Drive
from .energy import Energy, energy_of
from .feed import FeedForward
from .function import FunctionField
from .heads import Head
from .positions import Positions
from .schemes import NGPT, SCHEMES, Mix, NoNorm, Peri, Post, Pre, Rescaled, Scheme, Sqrt, scheme
from .source import Source
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
    "NoNorm",
    "Peri",
    "Piecewise",
    "Positions",
    "Post",
    "Pre",
    "Resampled",
    "Rescaled",
    "Scheme",
    "Source",
    "Sqrt",
    "UnnormalisedField",
    "energy_of",
    "scheme",
]
