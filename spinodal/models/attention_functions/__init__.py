"""Attention functions: a physical interaction inside an existing model, in place of softmax attention.

interactions  weights and outputs of each interaction, and its name with parameters
couplings     exponents, biases and masks of a call of attention, and the calls that are refused
own_code      layers that an interaction does not reach
replace       the functions that transformers calls, under names that configurations keep
"""

from spinodal.models.attention_functions.interactions import (
    INTERACTIONS,
    GraphFlow,
    Interaction,
    SinFlow,
    Temperature,
    Threshold,
    Unnormalised,
    interaction,
    interaction_text,
)
from spinodal.models.attention_functions.own_code import Calls
from spinodal.models.attention_functions.replace import (
    AttentionFunction,
    register_interaction,
    replaced_attention,
)

__all__ = [
    "INTERACTIONS",
    "AttentionFunction",
    "Calls",
    "GraphFlow",
    "Interaction",
    "SinFlow",
    "Temperature",
    "Threshold",
    "Unnormalised",
    "interaction",
    "interaction_text",
    "register_interaction",
    "replaced_attention",
]
