r"""The encoder-decoder: an encoder, and a decoder every block of which reads the encoder's output.

    y = decoder(target, source = encoder(ids))

They share their embedding. Hidden states of all layers, where they are asked for, are those of both.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.utils.generic import can_return_tuple

from spinodal.errors import InputError
from spinodal.mixers.base import Source
from spinodal.mixers.ops.tracing import traced
from spinodal.models.arguments import require_known
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.decoder import HiddenState, SpinodalDecoder
from spinodal.models.encoder import (
    EncoderOutput,
    SpinodalModel,
    SpinodalPreTrainedModel,
    changed,
    of_kind,
    validity,
)
from spinodal.models.versions import CachedOutput, one_cache


def encoder_config(config: SpinodalConfig) -> SpinodalConfig:
    """The configuration of the encoder inside an encoder-decoder."""
    own = {"mixer": config.encoder_mixer, "length": config.source_length, "is_encoder_decoder": False}
    return changed(config, **own)


@dataclass
class EncoderDecoderOutput(CachedOutput, HiddenState):
    """Normalised tokens of the target and the cache after them; what the encoder made of the source."""

    decoder_hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None
    encoder_last_hidden_state: Float[Tensor, "b m d"] | None = None
    encoder_hidden_states: tuple[Float[Tensor, "b m d"] | None, ...] | None = None


class TwoStacks(SpinodalPreTrainedModel):
    """The base class of encoder-decoders, with a head or without."""

    def decoder_network(self) -> SpinodalDecoder:
        """The decoder inside this model."""
        raise NotImplementedError

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ):
        """Lets the backward pass compute blocks again, to save memory.

        InputError for re-entrant checkpoints: they lose the source, whose gradient all blocks of a decoder share.
        """
        if (gradient_checkpointing_kwargs or {}).get("use_reentrant"):
            raise InputError(
                "checkpoints of an encoder-decoder take gradient_checkpointing_kwargs use_reentrant=False"
            )
        super().gradient_checkpointing_enable(gradient_checkpointing_kwargs, **kwargs)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any
    ) -> nn.Embedding:
        """The embedding of the source, once it, the target's and the output are resized, tied or not."""
        embedding = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        decoder = self.decoder_network()
        if decoder.embedding.num_embeddings != embedding.num_embeddings:
            decoder.resize_token_embeddings(embedding.num_embeddings)
        return embedding


class SpinodalEncoderDecoder(TwoStacks):
    """The encoder-decoder without a head: normalised hidden states [b n d] of a target, given a source."""

    _tied_weights_keys = {"decoder.embedding.weight": "encoder.embedding.weight"}

    def __init__(self, config: SpinodalConfig):
        super().__init__(of_kind(config, "is_encoder_decoder"))
        self.encoder = SpinodalModel(encoder_config(self.config))
        self.decoder = SpinodalDecoder(self.config, reads=True)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embedding

    def set_input_embeddings(self, value: nn.Embedding):
        self.encoder.embedding = value

    def decoder_network(self) -> SpinodalDecoder:
        return self.decoder

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b m"] | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Int[Tensor, "b n"] | None = None,
        decoder_attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        *,
        past_key_values: Cache | None = None,
        encoder_outputs: Any = None,
        inputs_embeds: Float[Tensor, "b m d"] | None = None,
        decoder_inputs_embeds: Float[Tensor, "b n d"] | None = None,
        position_ids: Int[Tensor, "..."] | None = None,
        decoder_position_ids: Int[Tensor, "..."] | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_residuals: bool = False,
        **kwargs: Any,
    ) -> EncoderDecoderOutput:
        """Hidden states of the target; source and target are ids or embeddings.

        `encoder_outputs` replace a source that was encoded before. InputError where the decoder has nothing to read.
        """
        require_known(kwargs)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise InputError(
                "the decoder has nothing to read: give decoder_input_ids, or labels to make them of. Where Trainer "
                "smooths labels it keeps them: DataCollatorForSeq2Seq(tokenizer, model=model) adds the ids"
            )
        layers = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        asked = dict(output_hidden_states=layers, output_residuals=output_residuals)
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids, attention_mask, inputs_embeds, position_ids=position_ids, **asked
            )
        elif isinstance(encoder_outputs, tuple):
            encoder_outputs = EncoderOutput(*encoder_outputs)
        source = encoder_outputs.last_hidden_state
        valid = validity(attention_mask, source)
        if valid is not None and not traced() and not valid.any(1).all():
            raise InputError("an empty source: every sequence needs one token or more that is no padding")
        out = self.decoder(
            decoder_input_ids, decoder_attention_mask, one_cache(cache, past_key_values), decoder_inputs_embeds,
            source=Source(source, valid), position_ids=decoder_position_ids, use_cache=use_cache, **asked,
        )  # fmt: skip
        both = [found for found in (getattr(encoder_outputs, "residuals", None), out.residuals) if found]
        names = dict.fromkeys(name for found in both for name in found)
        residuals = {n: torch.stack([f[n] for f in both if n in f]).mean() for n in names}
        return EncoderDecoderOutput(
            out.last_hidden_state, out.cache, out.hidden_states, residuals if output_residuals else None,
            source, encoder_outputs.hidden_states,
        )  # fmt: skip
