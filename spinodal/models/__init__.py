"""Encoder, decoder and encoder-decoder of any mixers, as Hugging Face models; attention for other models."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from spinodal.models.attention_functions import (
    INTERACTIONS,
    AttentionFunction,
    Calls,
    GraphFlow,
    Interaction,
    SinFlow,
    Temperature,
    Threshold,
    Unnormalised,
    interaction,
    interaction_text,
    register_interaction,
    replaced_attention,
)
from spinodal.models.auto import SpinodalNetwork
from spinodal.models.blocks import Block
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.decoder import SpinodalDecoder
from spinodal.models.encoder import SpinodalModel
from spinodal.models.encoder_decoder import SpinodalEncoderDecoder
from spinodal.models.language import SpinodalForCausalLM, SpinodalForSeq2SeqLM
from spinodal.models.opening import plain_config, unreadable_reason
from spinodal.models.state_cache import StateCache
from spinodal.models.tasks import (
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
)

AutoConfig.register("spinodal", SpinodalConfig)
AutoModel.register(SpinodalConfig, SpinodalNetwork)
AutoModelForMaskedLM.register(SpinodalConfig, SpinodalForMaskedLM)
AutoModelForCausalLM.register(SpinodalConfig, SpinodalForCausalLM)
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["spinodal"] = (
    "SpinodalForCausalLM"  # by it Trainer's label smoother shifts labels
)
AutoModelForSeq2SeqLM.register(SpinodalConfig, SpinodalForSeq2SeqLM)
AutoModelForSequenceClassification.register(SpinodalConfig, SpinodalForSequenceClassification)
AutoModelForQuestionAnswering.register(SpinodalConfig, SpinodalForQuestionAnswering)
AutoModelForTokenClassification.register(SpinodalConfig, SpinodalForTokenClassification)

__all__ = [
    "INTERACTIONS",
    "AttentionFunction",
    "Block",
    "Calls",
    "GraphFlow",
    "Interaction",
    "SinFlow",
    "SpinodalConfig",
    "SpinodalDecoder",
    "SpinodalEncoderDecoder",
    "SpinodalForCausalLM",
    "SpinodalForMaskedLM",
    "SpinodalForQuestionAnswering",
    "SpinodalForSeq2SeqLM",
    "SpinodalForSequenceClassification",
    "SpinodalForTokenClassification",
    "SpinodalModel",
    "SpinodalNetwork",
    "StateCache",
    "Temperature",
    "Threshold",
    "Unnormalised",
    "interaction",
    "interaction_text",
    "plain_config",
    "register_interaction",
    "replaced_attention",
    "unreadable_reason",
]
