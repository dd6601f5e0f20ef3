from .composed import AttentionField
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
    "Energy",
    "FeedForward",
    "FunctionField",
    "Head",
    "Mix",
    "Peri",
    "Post",
    "Pre",
    "Scheme",
    "Sqrt",
    "UnnormalisedField",
    "energy_of",
    "scheme",
]
