"""Three skeletons that take any mixer, their Hugging Face classes, and attention functions for other models."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from spinodal.models.attention_functions import (
    INTERACTIONS,
    Calls,
    GraphFlow,
    Interaction,
    SinFlow,
    Temperature,
    Threshold,
    Unnormalised,
    interaction,
    register_interaction,
    replaced_attention,
)
from spinodal.models.blocks import Block
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.encoder import SpinodalModel
from spinodal.models.language import SpinodalForCausalLM, SpinodalForSeq2SeqLM
from spinodal.models.state_cache import StateCache
from spinodal.models.tasks import (
    SpinodalForMaskedLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
)

AutoConfig.register("spinodal", SpinodalConfig)
AutoModel.register(SpinodalConfig, SpinodalModel)
AutoModelForMaskedLM.register(SpinodalConfig, SpinodalForMaskedLM)
AutoModelForCausalLM.register(SpinodalConfig, SpinodalForCausalLM)
AutoModelForSeq2SeqLM.register(SpinodalConfig, SpinodalForSeq2SeqLM)
AutoModelForSequenceClassification.register(SpinodalConfig, SpinodalForSequenceClassification)
AutoModelForTokenClassification.register(SpinodalConfig, SpinodalForTokenClassification)

__all__ = [
    "INTERACTIONS",
    "Block",
    "Calls",
    "GraphFlow",
    "Interaction",
    "SinFlow",
    "SpinodalConfig",
    "SpinodalForCausalLM",
    "SpinodalForMaskedLM",
    "SpinodalForSeq2SeqLM",
    "SpinodalForSequenceClassification",
    "SpinodalForTokenClassification",
    "SpinodalModel",
    "StateCache",
    "Temperature",
    "Threshold",
    "Unnormalised",
    "interaction",
    "register_interaction",
    "replaced_attention",
]
