"""Tokens as particles on a sphere: their fields, the engines that evaluate them, and time."""

from spinodal.flows.engines.automatic import evaluated, field
from spinodal.flows.engines.law import Drift, Law, law, usa_clock
from spinodal.flows.engines.span import reduced
from spinodal.flows.fields import AttentionField, FeedForward, Head, UnnormalisedField
from spinodal.flows.time import CONSENSUS, Adaptive, Keeper, Layers, Noisy, Run, simulate

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
