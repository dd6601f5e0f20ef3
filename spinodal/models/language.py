r"""Text out: the decoder as a causal language model, and with an encoder before it as a translator.

    causal        p(x_{i+1} | x_1 ... x_i) = softmax(E y_i + b)
    translation   p(y_{i+1} | y_1 ... y_i, source), y_0 the beginning-of-text token

Both generate by the library's `generate` (greedy, beams, sampling, streaming) with a `StateCache`. One matrix E
is the embedding of source and target and the output's too, by default.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from spinodal.errors import InputError
from spinodal.mixers.base import Source
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.decoder import DecoderOutput, SpinodalDecoder, SpinodalGenerativeModel
from spinodal.models.encoder import SpinodalModel, SpinodalPreTrainedModel, validity
from spinodal.models.tasks import IGNORED, cross_entropy
from spinodal.models.versions import CachedOutput, one_cache


@dataclass
class LossAndLogits(ModelOutput):
    """The first fields of an output that may be scored."""

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "..."] | None = None


@dataclass
class LanguageOutput(CachedOutput, LossAndLogits):
    """Loss (given labels), logits and cache; with an encoder, what it made of the source."""

    hidden_states: tuple[Float[Tensor, "b n d"], ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None
    encoder_last_hidden_state: Float[Tensor, "b m d"] | None = None
    encoder_hidden_states: tuple[Float[Tensor, "b m d"], ...] | None = None


class LanguageHead(SpinodalGenerativeModel):
    """What both models share: the output matrix, and a loss formed where there is a label."""

    output: nn.Linear

    def get_output_embeddings(self) -> nn.Linear:
        return self.output

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.output = new_embeddings

    def scored(
        self,
        hidden: Float[Tensor, "b n d"],
        labels: Int[Tensor, "b n"] | None,
        *,
        labelled_only: bool,
        items: Tensor | int | None,
    ) -> tuple[Float[Tensor, ""] | None, Float[Tensor, "..."]]:
        """(loss, logits); `labelled_only` forms logits at labelled positions alone."""
        if labels is None:
            return None, self.output(hidden)
        if labelled_only:
            chosen = labels != IGNORED
            hidden, labels = hidden[chosen], labels[chosen]
        logits = self.output(hidden)
        return cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), items), logits


def of_kind(config: SpinodalConfig, kind: str) -> SpinodalConfig:
    """The configuration with is_decoder or is_encoder_decoder set; itself where it is."""
    return config if getattr(config, kind) else SpinodalConfig.from_dict({**config.to_dict(), kind: True})


class SpinodalForCausalLM(LanguageHead, GenerationMixin):
    """The next token at every position."""

    _tied_weights_keys = {"output.weight": "model.embedding.weight"}

    def __init__(self, config: SpinodalConfig):
        super().__init__(of_kind(config, "is_decoder"))
        self.model = SpinodalDecoder(self.config)
        self.output = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def decoder_network(self) -> SpinodalDecoder:
        return self.model

    @staticmethod
    def targets(labels: Int[Tensor, "b n"]) -> Int[Tensor, "b k"]:
        """The labels that are predicted: position i predicts label i + 1."""
        return labels[:, 1:]

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b n"] | None = None,
        cache: Cache | None = None,
        *,
        past_key_values: Cache | None = None,
        logits_to_keep: int = 0,
        labelled_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> LanguageOutput:
        """Labels are the ids themselves, -100 where they count for nothing: the shift is made here.

        `logits_to_keep` forms the last so many logits alone, `labelled_only` those that have a label to predict.
        """
        out = self.model(input_ids, attention_mask, one_cache(cache, past_key_values), **kwargs)
        hidden = out.last_hidden_state
        if labels is None:
            loss, logits = None, self.output(hidden[:, -logits_to_keep:])
        elif labelled_only:
            loss, logits = self.scored(
                hidden[:, :-1], self.targets(labels), labelled_only=True, items=num_items_in_batch
            )
        else:
            logits = self.output(hidden)
            loss = cross_entropy(
                logits[:, :-1].flatten(0, 1), self.targets(labels).flatten(), num_items_in_batch
            )
        return LanguageOutput(loss, logits, out.cache, out.hidden_states, out.residuals)


def encoder_config(config: SpinodalConfig) -> SpinodalConfig:
    """The configuration of the encoder inside an encoder-decoder."""
    own = {"mixer": config.encoder_mixer, "length": config.source_length, "is_encoder_decoder": False}
    return SpinodalConfig.from_dict({**config.to_dict(), **own})


@dataclass
class EncoderDecoderOutput(DecoderOutput):
    """The decoder's output with the encoder's beside it."""

    encoder: Any = None


class SpinodalEncoderDecoder(SpinodalPreTrainedModel):
    """An encoder, and a decoder every block of which reads what it made; they share their embedding."""

    _tied_weights_keys = {"decoder.embedding.weight": "encoder.embedding.weight"}

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.encoder = SpinodalModel(encoder_config(config))
        self.decoder = SpinodalDecoder(config, reads=True)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embedding

    def set_input_embeddings(self, value: nn.Embedding):
        self.encoder.embedding = value

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
        use_cache: bool = False,
        output_hidden_states: bool = False,
        output_residuals: bool = False,
    ) -> EncoderDecoderOutput:
        """The source as ids, or as `encoder_outputs` where it has been read; the target as ids."""
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids, attention_mask, output_hidden_states=output_hidden_states, output_residuals=output_residuals
            )  # fmt: skip
        memory = encoder_outputs.last_hidden_state
        valid = validity(attention_mask, memory)
        if valid is not None and not valid.any(1).all():
            raise InputError("an empty source: every sequence needs one token or more that is no padding")
        out = self.decoder(
            decoder_input_ids, decoder_attention_mask, one_cache(cache, past_key_values), source=Source(memory, valid),
            use_cache=use_cache, output_hidden_states=output_hidden_states, output_residuals=output_residuals,
        )  # fmt: skip
        both = [found for found in (encoder_outputs.residuals, out.residuals) if found]
        names = dict.fromkeys(name for found in both for name in found)
        residuals = {n: torch.stack([f[n] for f in both if n in f]).mean() for n in names}
        return EncoderDecoderOutput(
            out.last_hidden_state, out.cache, out.hidden_states,
            residuals if output_residuals else None, encoder_outputs,
        )  # fmt: skip


class SpinodalForSeq2SeqLM(LanguageHead, GenerationMixin):
    """The next token of a target, given a source."""

    _tied_weights_keys = {
        "model.decoder.embedding.weight": "model.encoder.embedding.weight",
        "output.weight": "model.encoder.embedding.weight",
    }

    def __init__(self, config: SpinodalConfig):
        super().__init__(of_kind(config, "is_encoder_decoder"))
        self.model = SpinodalEncoderDecoder(self.config)
        self.output = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def decoder_network(self) -> SpinodalDecoder:
        return self.model.decoder

    @staticmethod
    def targets(labels: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """The labels that are predicted: all of them."""
        return labels

    def prepare_decoder_input_ids_from_labels(self, labels: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """The labels one place to the right, behind the token that begins a text; padding for -100."""
        if self.config.bos_token_id is None or self.config.pad_token_id is None:
            raise InputError(
                "labels alone are not enough: the configuration has no bos_token_id or pad_token_id"
            )
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = self.config.bos_token_id
        return shifted.masked_fill(shifted == IGNORED, self.config.pad_token_id)

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b m"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b n"] | None = None,
        cache: Cache | None = None,
        *,
        past_key_values: Cache | None = None,
        decoder_input_ids: Int[Tensor, "b n"] | None = None,
        logits_to_keep: int = 0,
        labelled_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> LanguageOutput:
        """Given labels, the decoder's input is made from them unless it is given too."""
        if labels is not None and decoder_input_ids is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if unknown := set(kwargs) - KNOWN:
            raise InputError(
                f"unknown argument {', '.join(sorted(unknown))}: known are {', '.join(sorted(KNOWN))}"
            )
        kwargs.pop("output_attentions", None)
        cache = one_cache(cache, past_key_values)
        out = self.model(input_ids, attention_mask, decoder_input_ids, cache=cache, **kwargs)
        hidden = out.last_hidden_state if labels is not None else out.last_hidden_state[:, -logits_to_keep:]
        loss, logits = self.scored(hidden, labels, labelled_only=labelled_only, items=num_items_in_batch)
        return LanguageOutput(
            loss, logits, out.cache, out.hidden_states, out.residuals,
            out.encoder.last_hidden_state, out.encoder.hidden_states,
        )  # fmt: skip


KNOWN = {
    "decoder_attention_mask", "encoder_outputs", "use_cache", "output_attentions", "output_hidden_states",
    "output_residuals",
}  # fmt: skip
