"""Tokens as particles on a sphere: their fields, the engines that evaluate them, and time."""

from spinodal.flows.engines.automatic import evaluated, field
from spinodal.flows.engines.law import Drift, Law, law, usa_clock
from spinodal.flows.engines.span import reduced
from spinodal.flows.fields import AttentionField, FeedForward, Head, UnnormalisedField

__all__ = [
    "AttentionField",
    "Drift",
    "FeedForward",
    "Head",
    "Law",
    "UnnormalisedField",
    "evaluated",
    "field",
    "law",
    "reduced",
    "usa_clock",
]
