"""Vector fields on tokens: every variant of self-attention as an option of one field, and its energy.

file          what
composed      AttentionField: mask x matrices x kind x scheme x noise x feed-forward
heads         Q, K, V, where a number stands for that multiple of the identity
interactions  one head at work: which engine, and differences first
schemes       where the layer norm sits
hardmax       beta -> infinity
feed          outer s(inner x + bias)
unnormalised  no layer norm
energy        the energy that a field climbs or descends, or why there is none
"""

from spinodal.flows.fields.composed import AttentionField
from spinodal.flows.fields.energy import Energy, energy_of
from spinodal.flows.fields.feed import FeedForward
from spinodal.flows.fields.heads import Head
from spinodal.flows.fields.schemes import NGPT, SCHEMES, Mix, Peri, Post, Pre, Scheme, Sqrt, scheme
from spinodal.flows.fields.unnormalised import UnnormalisedField

__all__ = [
    "NGPT",
    "SCHEMES",
    "AttentionField",
    "Energy",
    "FeedForward",
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
