"""The shape of a model: which mixers, how many, how wide. One configuration for every class of this room."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from spinodal.errors import InputError

# What transformers writes into the configurations of files and no class declares
FOREIGN = {"auto_map", "quantization_config"}


@strict
class SpinodalConfig(PreTrainedConfig):
    """What a model is made of; PET and the Transformer baseline differ only here.

    `mixer` moves information between tokens and `channel` acts on the features of each
    (`spinodal.models.MIXERS` and `CHANNELS` list the names). `fused` puts both behind one
    residual, as the PET paper draws its block; otherwise each has its own. `hidden` is the inner
    size of the channel mixer, `kernel` the short convolution before the token mixer (0 for none).
    `phases`, `reactions`, `pathway` and `reading` shape the partition channels, `length` those
    mixers that need to know the number of tokens. `flow_steps`, `coupling` and `threshold` are those of
    the graph mixer; with a `block_size` it is sparse, each block looking at `top_blocks` others beside its
    neighbours, after `dense_steps` of training in which it looked at all; with several `levels` it looks at
    neighbours alone, on each of them.

    An encoder-decoder has `encoder_mixer` in its encoder, for sources of up to `source_length` tokens, and
    `cross` (`spinodal.models.CROSSES`) brings what it read into every block of the decoder.

    `is_decoder` and `is_encoder_decoder` are set by the classes that write text. InputError for a name that is
    unknown, in a file too.
    """

    model_type = "spinodal"
    attribute_map = {
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "hidden",
    }

    vocab_size: int = 2048
    width: int = 96
    depth: int = 4
    heads: int = 4
    mixer: str = "retention"
    channel: str = "competition"
    hidden: int = 26
    phases: int = 16
    reactions: int = 2
    pathway: str = "none"
    reading: str = "token"
    fused: bool = False
    kernel: int = 4
    length: int = 128
    encoder_mixer: str = "retention"
    cross: str = "attention"
    source_length: int = 128
    flow_steps: int = 4
    coupling: str = "sin"
    threshold: float = 0.0
    block_size: int = 0
    top_blocks: int = 4
    dense_steps: int = 0
    levels: int = 1
    dropout: float = 0.0
    initializer_range: float = 0.02
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    mask_token_id: int | None = None
    tie_word_embeddings: bool = True
    is_decoder: bool = False

    def __post_init__(self, **kwargs: Any):
        super().__post_init__(**kwargs)
        new = kwargs.keys() & vars(self).keys() - FOREIGN
        if unknown := {name for name in new if not hasattr(type(self), name) and not name.startswith("_")}:
            raise InputError(
                f"unknown name {', '.join(sorted(unknown))} in a configuration of spinodal: the names are "
                f"{', '.join(SpinodalConfig.__annotations__)}"
            )
