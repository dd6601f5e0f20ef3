"""Opening saved models, without running code that comes with them; the reason of a failure in one line."""

from pickle import UnpicklingError
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from spinodal.models.attention_functions.replace import is_name


def plain_config(place: str, **options: Any) -> Any:
    """The configuration of a saved model, without its choice of an attention implementation.

    Code of a hub or a package (a kernel, flash attention) computes what the model computes in torch as well.
    An interaction of this library is kept. `options` are those of `AutoConfig.from_pretrained`.
    """
    config = AutoConfig.from_pretrained(place, **options)
    _forget_code(config)
    return config


def _forget_code(config: PreTrainedConfig) -> None:
    """Removes the choice of an attention implementation, unless it is an interaction, also in its parts."""
    if not is_name(config._attn_implementation):
        config._attn_implementation_internal = None  # the name without "internal" is passed on to every part
    for part in (getattr(config, key, None) for key in config.sub_configs):
        if isinstance(part, PreTrainedConfig):
            _forget_code(part)


def unreadable_reason(error: Exception) -> str:
    """The reason in one line; code and pickles that come with a model are never run, and it says so."""
    said = str(error)
    if isinstance(error, UnpicklingError):
        return "its weights are a pickle that is damaged or holds more than arrays; nothing of it was run"
    if "trust_remote_code" in said:
        return "it needs code that comes with it, which is never run; a model that you open yourself can be observed"
    if "ignore_mismatched_sizes" in said:
        return "its weights have other shapes than its configuration says"
    return " ".join((said or type(error).__name__).split())[:400]
