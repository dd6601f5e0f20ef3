"""The configuration of every class of `spinodal.models`: which mixers, how many, how wide."""

import warnings
from collections.abc import Mapping
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from spinodal.errors import InputError
from spinodal.mixers import registry
from spinodal.mixers.entry import Shape, near
from spinodal.models.adapters import register_targets
from spinodal.models.parts import NONE, PARTS, is_old, is_option, read_parts, unread_sizes

# What transformers writes into the configurations of files and no class declares
FOREIGN = {"auto_map", "quantization_config", "torch_dtype"}


@strict
class SpinodalConfig(PreTrainedConfig):
    """The mixers and sizes of a model; PET and the Transformer baseline differ in this configuration alone.

    `mixer` moves information between tokens and `channel` acts on the features of each. An encoder-decoder has
    `encoder_mixer` in its encoder, and by `cross` each block of the decoder reads its output. Each is a name,
    or a dictionary with the name and options of that mixer, {"name": "graph", "levels": 3}; `spinodal list mixers`
    shows them. An option may also stand by itself, `levels=3`, and goes to every chosen mixer that reads it. Sizes that
    several mixers have, `hidden` and `phases`, may stand there unread, as `length` may.

    `is_decoder` and `is_encoder_decoder` are set by the classes that write text. InputError for a name that is
    unknown and for an option that no chosen mixer reads; of a saved folder an unknown name is kept, with a warning.
    """

    model_type = "spinodal"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]
    attribute_map = {
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "hidden",
    }

    vocab_size: int = 2048  # tokens that the embedding knows
    width: int = 96  # features of a token
    depth: int = 4  # blocks
    heads: int = 4  # groups of features that mix apart from each other
    mixer: str | dict[str, Any] = "retention"  # moves information between tokens; none for a channel alone
    channel: str | dict[str, Any] = "competition"  # acts on the features of each token
    fused: bool = (
        False  # both behind one residual, as the PET paper draws its block; otherwise each has its own
    )
    kernel: int = 4  # tokens of the short convolution before the token mixer; 0 for none
    length: int = 128  # tokens of a text, for mixers that need to know
    encoder_mixer: str | dict[str, Any] = "retention"  # the token mixer of the encoder
    cross: str | dict[str, Any] = "attention"  # how a decoder reads what the encoder made
    source_length: int = 128  # tokens of a source, for mixers that need to know
    dropout: float = 0.0  # share of features that training drops behind each mixer
    initializer_range: float = 0.02  # standard deviation of embeddings at the start
    pad_token_id: int | None = None  # the token that fills a row where its text is shorter
    bos_token_id: int | None = None  # the token before a text; a translation begins with it
    eos_token_id: int | None = None  # the token that ends a text, and generation
    mask_token_id: int | None = None  # the token in the place of one that is to be filled in
    tie_word_embeddings: bool = True  # the output's matrix is the embedding
    is_decoder: bool = False  # tokens read those before them alone
    use_cache: bool = True  # a decoder returns its cache in evaluation

    def __post_init__(self, **kwargs: Any):
        given = {self.attribute_map.get(name, name): value for name, value in kwargs.items()}
        options = {name: given.pop(name) for name in list(given) if is_option(name)}
        parts = {part: getattr(self, part) for part in PARTS}
        for part, value in read_parts(parts, options, unread=unread_sizes(options)).items():
            setattr(self, part, value)
        super().__post_init__(**given)
        names = [*SpinodalConfig.__annotations__, *registry.options()]
        new = given.keys() & vars(self).keys() - FOREIGN
        if unknown := {name for name in new if not hasattr(type(self), name) and not name.startswith("_")}:
            hint = near(min(unknown), names).rstrip()
            raise InputError(
                f"unknown name {', '.join(sorted(unknown))} in a configuration of spinodal: "
                f"the names are {', '.join(names)}{hint and '; ' + hint}"
            )

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The configuration of a file; an old one (`parts.is_old`) may hold options that nobody reads.

        A name that is unknown there is kept, with a warning: other libraries and users write on configurations.
        """
        values = dict(config_dict)
        if is_old(values):
            defaults = {part: getattr(cls, part) for part in PARTS}
            options = {name: values.pop(name) for name in list(values) if is_option(name)}
            values |= read_parts(
                {part: values.get(part, defaults[part]) for part in PARTS}, options, drop=True
            )
        values |= {name: kwargs.pop(name) for name in list(kwargs) if name in PARTS or is_option(name)}
        foreign = {name: values.pop(name) for name in list(values) if not cls.declares(name)}
        made = super().from_dict(values, **kwargs)
        config = made[0] if isinstance(made, tuple) else made
        for name, value in foreign.items():
            setattr(config, name, value)
        if foreign:
            warnings.warn(
                f"unknown name {', '.join(sorted(foreign))} in a saved configuration of spinodal: kept, and without "
                f"effect here",
                stacklevel=2,
            )
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name. PEFT asks for it before it looks for default targets, which it then has."""
        register_targets()
        return super().to_dict()

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig"):
        """Does nothing: a saved folder's `auto_map` names this library, and no source of it is copied."""

    @classmethod
    def declares(cls, name: str) -> bool:
        """Whether a name in a file is known: a field, a mixer's option, or one that transformers writes."""
        known = FOREIGN | cls.attribute_map.keys()
        return hasattr(cls, name) or name in known or name.startswith("_") or is_option(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets a field, or an option in all mixers that read it. InputError for an option that none reads."""
        name = self.attribute_map.get(name, name)
        if name in ("mixer", "channel") or not is_option(name):
            super().__setattr__(name, value)
            return
        parts = read_parts({part: getattr(self, part) for part in PARTS}, {name: value})
        for part, held in parts.items():
            super().__setattr__(part, held)

    @property
    def hidden(self) -> int:
        """The inner size of the channel mixer."""
        channel = self.channel
        if isinstance(channel, Mapping) and "hidden" in channel:
            return channel["hidden"]
        raise AttributeError(f"channel={part_name(channel)} has no inner size")

    @property
    def exact_length(self) -> int | None:
        """The number of tokens that a text must have, None for a model that takes any."""
        exact = False
        for part in ("mixer", "channel"):
            name = part_name(getattr(self, part))
            exact |= name != NONE and registry.find_entry(PARTS[part], name).exact_length
        return self.length if exact else None

    def shape(self, *, causal: bool) -> Shape:
        """The `Shape` of this model, for which its mixers are built."""
        return Shape(
            self.width,
            heads=self.heads,
            causal=causal,
            length=self.length,
            source_length=self.source_length,
            kernel=self.kernel,
        )


# Every name of a configuration but the one that only shows an option
registry.reserve({*dir(SpinodalConfig), *SpinodalConfig.attribute_map, *FOREIGN} - {"hidden"})


def part_name(value: str | Mapping[str, Any]) -> str:
    """The name of the mixer that a part of a configuration holds."""
    return value if isinstance(value, str) else value["name"]
