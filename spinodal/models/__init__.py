"""Three skeletons that take any mixer, and the Hugging Face classes around them."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from spinodal.models.blocks import CHANNELS, MIXERS, Block
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.encoder import SpinodalModel
from spinodal.models.tasks import (
    SpinodalForMaskedLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
)

AutoConfig.register("spinodal", SpinodalConfig)
AutoModel.register(SpinodalConfig, SpinodalModel)
AutoModelForMaskedLM.register(SpinodalConfig, SpinodalForMaskedLM)
AutoModelForSequenceClassification.register(SpinodalConfig, SpinodalForSequenceClassification)
AutoModelForTokenClassification.register(SpinodalConfig, SpinodalForTokenClassification)

__all__ = [
    "CHANNELS",
    "MIXERS",
    "Block",
    "SpinodalConfig",
    "SpinodalForMaskedLM",
    "SpinodalForSequenceClassification",
    "SpinodalForTokenClassification",
    "SpinodalModel",
]
