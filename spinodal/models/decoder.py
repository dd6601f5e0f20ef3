r"""The decoder: blocks with causal mixers, run on whole texts in training and token by token in generation.

    x_0 = embedding(ids);  x_{l+1} = block_l(x_l [, encoder outputs]);  y = norm(x_depth)

With a `StateCache` the tokens given are those that follow it, one or many, and each block goes on from its
state: the parallel and the step form are one function, `Mixer.extend`, at different lengths.
"""

import warnings
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.generation import GenerationConfig
from transformers.generation.utils import GenerationMode
from transformers.modeling_outputs import ModelOutput
from transformers.utils.output_capturing import capture_outputs

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, Source
from spinodal.models.arguments import WITHOUT_USE, place_offset, require_known
from spinodal.models.blocks import Block, require_memory, require_sizes
from spinodal.models.configuration import SpinodalConfig, part_name
from spinodal.models.encoder import SpinodalPreTrainedModel, averaged, embedded, of_kind, validity
from spinodal.models.state_cache import StateCache
from spinodal.models.versions import CACHE, CachedOutput, one_cache
from spinodal.types import Mixed


@dataclass
class HiddenState(ModelOutput):
    """The base of outputs whose first field is the last hidden state [b n d]."""

    last_hidden_state: Float[Tensor, "b n d"] | None = None


@dataclass
class DecoderOutput(CachedOutput, HiddenState):
    """Normalised tokens, the cache after them; layers and residuals if asked for."""

    hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


class SpinodalGenerativeModel(SpinodalPreTrainedModel):
    """The base class of models that `generate` with a `StateCache`: its beginning, and its limits."""

    _skip_keys_device_placement = [CACHE]

    @property
    def _is_stateful(self) -> bool:
        """Whether some mixer cannot forget its last tokens, as assisted generation asks of it."""
        return not self.decoder_network().croppable

    def decoder_network(self) -> "SpinodalDecoder":
        """The decoder inside this model."""
        raise NotImplementedError

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """The configuration of `generate` and the keywords of `forward`, without those that mean nothing here.

        InputError for output_attentions: there are no attention weights to return.
        """
        library: Any = super()  # whose method is that of GenerationMixin
        config, found = library._prepare_generation_config(generation_config, **kwargs)
        if config.output_attentions:
            raise InputError("output_attentions=True: these models return no attention weights")
        return config, {name: value for name, value in found.items() if name not in WITHOUT_USE}

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict,
        generation_mode: GenerationMode,
        batch_size: int,
        max_cache_length: int,
    ):
        """Puts the cache that `generate` starts from into `model_kwargs`.

        InputError for more tokens than the mixers take, for a `cache_implementation`, and for a cache of
        another decoder.
        """
        decoder = self.decoder_network()
        limit = decoder.longest
        if limit is not None and max_cache_length > limit:
            raise InputError(
                f"prompt and new tokens come to {max_cache_length + 1}, but "
                f"{part_name(decoder.config.mixer)} mixes at most {limit} tokens: "
                "shorten the prompt or lower max_new_tokens"
            )
        if generation_config.cache_implementation is not None:
            raise InputError(
                f"cache_implementation={generation_config.cache_implementation}: this model has one cache, its own"
            )
        given = one_cache(model_kwargs.pop("cache", None), model_kwargs.pop("past_key_values", None))
        if given is not None:
            states = require_cache(given, decoder, batch_size)
            states._is_user_defined = True
            model_kwargs[CACHE] = states
        elif generation_config.use_cache is not False:
            model_kwargs[CACHE] = decoder.state_cache()


def require_cache(cache: Cache, decoder: "SpinodalDecoder", sequences: int) -> StateCache:
    """The cache, if it is this decoder's and holds so many sequences; else InputError."""
    if not isinstance(cache, StateCache):
        raise InputError(
            f"cache is a {type(cache).__name__}; this model takes the cache that it returned itself"
        )
    cache.require(decoder, sequences)
    return cache


class SpinodalDecoder(SpinodalPreTrainedModel):
    """Normalised hidden states [b n d] of token ids [b n], whole texts or those that follow a cache.

    With `reads` every block also reads the output of an encoder.
    """

    def __init__(self, config: SpinodalConfig, *, reads: bool = False):
        require_sizes(config)
        require_memory(config, causal=True, reads=reads)
        super().__init__(config if reads else of_kind(config, "is_decoder"))
        self.reads = reads
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, causal=True, reads=reads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, bias=False)
        self.post_init()

    @property
    def longest(self) -> int | None:
        """The most tokens that the mixers can hold, None if any number."""
        mixers = [part for part in self.modules() if isinstance(part, Mixer)]
        return min((mixer.length for mixer in mixers if mixer.length is not None), default=None)

    @property
    def croppable(self) -> bool:
        """Whether every mixer can forget its last tokens."""
        return all(cast(Block, block).croppable for block in self.blocks)

    @property
    def caches(self) -> bool:
        """Whether a cache is returned where the caller does not say: in evaluation, never in an exported graph."""
        exported = torch.compiler.is_exporting() or torch.jit.is_tracing()
        return self.config.use_cache and not self.training and not exported

    @property
    def recomputes(self) -> bool:
        """Whether the blocks of this call are computed again in a backward pass."""
        return self.training and torch.is_grad_enabled() and self.is_gradient_checkpointing

    def state_cache(self) -> StateCache:
        """An empty cache, for the argument `cache`."""
        return StateCache(self, len(self.blocks), croppable=self.croppable)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding):
        self.embedding = value

    @capture_outputs
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Float[Tensor, "b n d"] | None = None,
        *,
        past_key_values: Cache | None = None,
        source: Source | None = None,
        position_ids: Int[Tensor, "..."] | None = None,
        use_cache: bool | None = None,
        output_residuals: bool = False,
        **kwargs,
    ) -> DecoderOutput:
        """Hidden states of ids or of embeddings; `attention_mask` is [b n], or [b past+n] with a cache.

        `past_key_values` is another name of `cache`. Where `use_cache` is None the configuration decides, and
        a new cache is returned only in evaluation, without residuals, and not in an exported graph.
        """
        cache = one_cache(cache, past_key_values)
        if (source is None) == self.reads:
            raise InputError("a decoder that reads a source needs one, and one that does not takes none")
        require_known(kwargs, decodes=True)
        if output_residuals and (use_cache or cache is not None):
            raise InputError("residuals belong to whole sequences: ask for them without use_cache")
        x = embedded(self.embedding, input_ids, inputs_embeds)
        if attention_mask is not None and cache is not None:
            attention_mask = attention_mask[:, -x.shape[1] :]
        valid = validity(attention_mask, x)
        offset = place_offset(position_ids, x, valid, counted=True)
        if use_cache is None:
            use_cache = self.caches and not output_residuals
        elif use_cache and self.recomputes:
            warnings.warn("use_cache=True beside gradient checkpoints: no cache is returned", stacklevel=2)
            use_cache = False
        if cache is not None and self.recomputes:
            raise InputError(
                "gradient checkpoints compute a text twice, which a cache takes in once: give no cache"
            )
        if cache is None and not use_cache:
            layers = []
            for block in self.blocks:
                mixed = Mixed(
                    *block(x, valid, source, residuals=output_residuals)
                )  # re-entrant checkpoints return a plain tuple
                x = mixed.tokens
                layers.append(mixed.reported)
            return DecoderOutput(self.norm(x), residuals=averaged(layers) if output_residuals else None)
        states = self.state_cache() if cache is None else require_cache(cache, self, x.shape[0])
        states.place(offset, x, valid)
        for block, layer in zip(self.blocks, states.layers, strict=True):
            x = block(x, valid, source, past=layer).tokens
        return DecoderOutput(self.norm(x), states)
