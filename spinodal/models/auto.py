"""The network without a head for `AutoModel`: encoder, decoder or encoder-decoder, by configuration."""

from typing import Any

from spinodal.models.configuration import SpinodalConfig
from spinodal.models.decoder import SpinodalDecoder
from spinodal.models.encoder import SpinodalModel, SpinodalPreTrainedModel
from spinodal.models.language import SpinodalEncoderDecoder


def network_class(config: SpinodalConfig) -> type[SpinodalPreTrainedModel]:
    """The class of the network that a configuration describes."""
    if config.is_encoder_decoder:
        return SpinodalEncoderDecoder
    return SpinodalDecoder if config.is_decoder else SpinodalModel


class SpinodalNetwork(SpinodalModel):
    """The class of a `SpinodalConfig` in AutoModel; its class methods return networks of `network_class`."""

    @classmethod
    def _from_config(cls, config: SpinodalConfig, **kwargs: Any) -> SpinodalPreTrainedModel:
        return network_class(config)._from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, config: Any = None, **kwargs: Any):
        """The network of a saved folder, with or without its head."""
        if not isinstance(config, SpinodalConfig):
            config = SpinodalConfig.from_pretrained(config or name)
        return network_class(config).from_pretrained(name, *args, config=config, **kwargs)
