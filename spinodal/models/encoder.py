r"""The encoder, a stack of blocks of any mixers, and the base class of all models of `spinodal.models`.

    x_0 = embedding(ids);  x_{l+1} = block_l(x_l);  y = norm(x_depth);  logits = y E^T + b

Position enters through the mixers alone (rotary angles, decays, filters). The residuals of all
blocks are averaged by name and returned beside the logits; a training loop may add them to its loss.
"""

import copy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.utils.output_capturing import capture_outputs

from spinodal.errors import InputError
from spinodal.mixers.ops.tracing import traced
from spinodal.models.arguments import place_offset, require_known
from spinodal.models.blocks import Block, require_memory, require_sizes
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.remote_code import auto_map, write_remote_code
from spinodal.types import Mixed


@dataclass
class EncoderOutput(ModelOutput):
    """Normalised tokens, the tokens of every layer if asked for, residuals by name if asked for."""

    last_hidden_state: Float[Tensor, "b n d"] | None = None
    hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


class SpinodalPreTrainedModel(PreTrainedModel):
    """The base class of all models of `spinodal.models`: loading, saving and initialisation."""

    config: SpinodalConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]
    _can_record_outputs = {"hidden_states": Block}

    @classmethod
    def register_for_auto_class(cls, auto_class="AutoModel"):
        """Does nothing: `remote_code` says where a saved model's class is, and no source is copied."""

    def save_pretrained(self, save_directory: str | PathLike, *args: Any, **kwargs: Any):
        """Saves as transformers does, with a file by which Auto classes find this library."""
        self.config.auto_map = auto_map(type(self).__name__)
        super().save_pretrained(save_directory, *args, **kwargs)
        write_remote_code(Path(save_directory))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        """Calls the layer's `reset_parameters`, unless all its parameters were loaded; embeddings are normal.

        Where some were loaded, transformers' guard on `nn.init` leaves those as they are.
        """
        loaded = all(getattr(p, "_is_hf_initialized", False) for p in module.parameters(recurse=False))
        reset = getattr(module, "reset_parameters", None)
        if loaded or reset is None:
            return
        reset()
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)


class SpinodalModel(SpinodalPreTrainedModel):
    """The encoder without a head: normalised hidden states [b n d] of token ids [b n]."""

    def __init__(self, config: SpinodalConfig):
        if config.is_decoder or config.is_encoder_decoder:
            raise InputError(
                "this is the configuration of a model that writes text: AutoModelForCausalLM or AutoModelForSeq2SeqLM "
                "loads it, and AutoModel its network without a head"
            )
        require_sizes(config)
        require_memory(config)
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding):
        self.embedding = value

    @capture_outputs
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "b n d"] | None = None,
        *,
        position_ids: Int[Tensor, "..."] | None = None,
        output_residuals: bool = False,
        **kwargs,
    ) -> EncoderOutput:
        """Hidden states of ids or of embeddings; `attention_mask` [b n] is nonzero on valid tokens."""
        require_known(kwargs)
        x = embedded(self.embedding, input_ids, inputs_embeds)
        valid = validity(attention_mask, x)
        place_offset(position_ids, x, valid, counted=False)
        layers = []
        for block in self.blocks:
            mixed = Mixed(
                *block(x, valid, residuals=output_residuals)
            )  # re-entrant checkpoints return a plain tuple
            x = mixed.tokens
            layers.append(mixed.reported)
        return EncoderOutput(self.norm(x), residuals=averaged(layers) if output_residuals else None)


def embedded(
    embedding: nn.Embedding, ids: Int[Tensor, "b n"] | None, embeds: Float[Tensor, "b n d"] | None
) -> Float[Tensor, "b n d"]:
    """The embeddings of tokens; InputError unless ids or embeddings are given, of one token or more."""
    if (ids is None) == (embeds is None):
        raise InputError("give exactly one of input_ids and inputs_embeds")
    x = embedding(ids) if embeds is None else embeds
    if x.shape[1] == 0:
        raise InputError("an empty text: every sequence needs one token or more to be read")
    return x


def validity(attention_mask: Tensor | None, x: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n"] | None:
    """The mask as Bool [b n], or None where every token is there."""
    if attention_mask is None:
        return None
    if attention_mask.shape != x.shape[:2]:
        raise InputError(f"attention_mask is {tuple(attention_mask.shape)}, tokens are {tuple(x.shape[:2])}")
    valid = attention_mask.bool()
    return None if not traced() and valid.all() else valid


def averaged(layers: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each residual over the layers that have it."""
    names = dict.fromkeys(name for layer in layers for name in layer)
    return {name: torch.stack([layer[name] for layer in layers if name in layer]).mean() for name in names}


def changed(config: SpinodalConfig, **values: Any) -> SpinodalConfig:
    """A deep copy of the configuration with these values set."""
    other = copy.deepcopy(config)
    for name, value in values.items():
        setattr(other, name, value)
    return other


def of_kind(config: SpinodalConfig, kind: str) -> SpinodalConfig:
    """The configuration with this flag of is_decoder and is_encoder_decoder set alone: itself or a copy."""
    flags = {name: name == kind for name in ("is_decoder", "is_encoder_decoder")}
    same = all(getattr(config, name) == value for name, value in flags.items())
    return config if same else changed(config, **flags)
