r"""Text out: the decoder as a causal language model, and with an encoder before it as a translator.

    causal        p(x_{i+1} | x_1 ... x_i) = softmax(E y_i + b)
    translation   p(y_{i+1} | y_1 ... y_i, source), y_0 the beginning-of-text token

Both generate by the library's `generate` (greedy, beams, sampling, streaming) with a `StateCache`. One matrix E
is the embedding of source and target and the output's too, by default.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.generation import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from spinodal.errors import InputError
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.decoder import SpinodalDecoder, SpinodalGenerativeModel
from spinodal.models.encoder import of_kind
from spinodal.models.encoder_decoder import SpinodalEncoderDecoder, TwoStacks
from spinodal.models.tasks import IGNORED, cross_entropy
from spinodal.models.versions import CACHE, CachedOutput, one_cache


@dataclass
class LossAndLogits(ModelOutput):
    """The base of outputs whose first fields are loss and logits."""

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "..."] | None = None


@dataclass
class LanguageOutput(CachedOutput, LossAndLogits):
    """Loss (given labels), logits and cache."""

    hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


@dataclass
class TranslationOutput(CachedOutput, LossAndLogits):
    """Loss (given labels), logits and cache; what the encoder made of the source."""

    decoder_hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None
    encoder_last_hidden_state: Float[Tensor, "b m d"] | None = None
    encoder_hidden_states: tuple[Float[Tensor, "b m d"] | None, ...] | None = None

    @property
    def hidden_states(self) -> tuple[Float[Tensor, "b n d"] | None, ...] | None:
        """`decoder_hidden_states` under the name that other outputs have."""
        return self.decoder_hidden_states


class LanguageHead(SpinodalGenerativeModel):
    """The base of models with logits over the vocabulary: the output matrix, and the loss given labels."""

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
        scored_only: bool,
        items: Tensor | int | None,
    ) -> tuple[Float[Tensor, ""] | None, Float[Tensor, "..."]]:
        """(loss, logits); `scored_only` forms logits at labelled positions alone."""
        if labels is None:
            return None, self.output(hidden)
        if scored_only:
            chosen = labels != IGNORED
            hidden, labels = hidden[chosen], labels[chosen]
        logits = self.output(hidden)
        return cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), items), logits


def kept(hidden: Float[Tensor, "b n d"], places: int | Tensor) -> Float[Tensor, "b k d"]:
    """The last `places` tokens, all of them for 0; those at these indices where `places` is a tensor."""
    return hidden[:, -places:] if isinstance(places, int) else hidden[:, places]


class SpinodalForCausalLM(LanguageHead, GenerationMixin):
    """A causal language model: logits of the next token at every position."""

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
        logits_to_keep: int | Tensor = 0,
        scored_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> LanguageOutput:
        """Logits and, given labels, the loss; labels are the ids, -100 where ignored, and are shifted here.

        The keyword `shift_labels` gives labels that are already shifted, one for each token. `logits_to_keep`
        restricts logits to the last so many tokens or to its indices, `scored_only` to tokens with a label.
        """
        # by its name in the signature Trainer would take it for a label that every batch must have
        shift_labels = kwargs.pop("shift_labels", None)
        out = self.model(input_ids, attention_mask, one_cache(cache, past_key_values), **kwargs)
        hidden = out.last_hidden_state
        if shift_labels is not None:
            loss, logits = self.scored(
                hidden, shift_labels, scored_only=scored_only, items=num_items_in_batch
            )
        elif labels is None:
            loss, logits = None, self.output(kept(hidden, logits_to_keep))
        elif scored_only:
            loss, logits = self.scored(
                hidden[:, :-1], self.targets(labels), scored_only=True, items=num_items_in_batch
            )
        else:
            logits = self.output(hidden)
            loss = cross_entropy(
                logits[:, :-1].flatten(0, 1), self.targets(labels).flatten(), num_items_in_batch
            )
        return LanguageOutput(loss, logits, out.cache, out.hidden_states, out.residuals)

    def _sample(
        self,
        input_ids: Int[Tensor, "b n"],
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        streamer: BaseStreamer | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """The result of `generate` without beams; for one sequence by compiled steps where there are any."""
        from spinodal.models import step  # here, since it loads numba

        whole = generation_config.return_dict_in_generate or generation_config.is_assistant or synced_gpus
        one = None
        if not whole and len(input_ids) == 1:
            one = step.compiled_step(self, model_kwargs.get(CACHE))
        library: Any = super()  # whose methods are declared for models with attributes that few have
        if one is None:
            return library._sample(
                input_ids,
                logits_processor,
                stopping_criteria,
                generation_config,
                synced_gpus,
                streamer,
                **model_kwargs,
            )
        read = library._prefill(input_ids, generation_config, model_kwargs)
        one.begin(read[CACHE])
        rules = step.Rules(logits_processor, stopping_criteria, sample=generation_config.do_sample)
        return step.continue_text(one, read.logits[:, -1], input_ids, rules, streamer=streamer)


class SpinodalForSeq2SeqLM(TwoStacks, LanguageHead, GenerationMixin):
    """An encoder-decoder model: logits of the next token at every position of a target, given a source."""

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

    def generate(self, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Any:
        """transformers' `generate`, without `labels`, which Seq2SeqTrainer passes with every batch."""
        library: Any = super()  # whose method is declared for models with attributes that few have
        return library.generate(*args, **kwargs)

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
        decoder_inputs_embeds: Float[Tensor, "b n d"] | None = None,
        encoder_outputs: Any = None,
        logits_to_keep: int | Tensor = 0,
        scored_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> TranslationOutput:
        """Logits and, given labels, the loss; the decoder's input is made from labels unless it is given.

        `encoder_outputs` replace a source that was encoded before.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        out = self.model(
            input_ids, attention_mask, decoder_input_ids, cache=one_cache(cache, past_key_values),
            encoder_outputs=encoder_outputs, decoder_inputs_embeds=decoder_inputs_embeds, **kwargs,
        )  # fmt: skip
        hidden = out.last_hidden_state if labels is not None else kept(out.last_hidden_state, logits_to_keep)
        loss, logits = self.scored(hidden, labels, scored_only=scored_only, items=num_items_in_batch)
        return TranslationOutput(
            loss, logits, out.cache, out.decoder_hidden_states, out.residuals,
            out.encoder_last_hidden_state, out.encoder_hidden_states,
        )  # fmt: skip
