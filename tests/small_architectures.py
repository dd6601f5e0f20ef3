"""Every architecture of the installed transformers that can be built small from its configuration, and its inputs."""

import functools
import warnings
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

MOST_PARAMETERS = 3_000_000
SIZES: dict[str, Any] = {
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embed_dim", "embedding_size", "word_embed_proj_dim"), 32
    ),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
         "num_decoder_layers", "num_encoder_layers"), 3
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads",
         "attention_heads"), 4
    ),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "d_ff", "d_inner", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim",
         "feed_forward_hidden_size", "dff"), 48
    ),
    **dict.fromkeys(("vocab_size", "n_vocab", "vocab_size_per_layer_input"), 60),
    **dict.fromkeys(("head_dim", "d_kv", "d_head", "kv_channels", "v_head_dim", "hidden_size_per_layer_input"), 8),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_target_positions", "sliding_window",
         "local_window_size"), 64
    ),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank",
                     "query_pre_attn_scalar", "bottleneck"), 16),
    **dict.fromkeys(("patch_size", "rotary_dim", "qk_rope_head_dim", "qk_nope_head_dim"), 4),
    "hidden_dim": 64, "num_key_value_heads": 2, "num_experts_per_tok": 2, "type_vocab_size": 2, "image_size": 16,
    "num_channels": 3, "num_mel_bins": 8, "max_source_positions": 10, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "rms_norm_eps": 1e-5, "dropout": 0.0,
}  # fmt: skip


WINDOWS = ("sliding_window", "local_window_size", "attention_chunk_size", "local_attention", "window_size")


def windows_of(kind: str) -> tuple[str, ...]:
    """The names under which a model type's configuration says how far tokens look."""
    usual = getattr(transformers, CONFIG_MAPPING_NAMES[kind])()
    return tuple(name for name in WINDOWS if hasattr(usual, name))


def small_architecture(kind: str, *, window: int | None = None) -> nn.Module:
    """The bare model of a model type, three layers of width 32, in evaluation mode; ValueError for a large one.

    A `window` is that of every layer that has one.
    """
    config, model = CONFIG_MAPPING_NAMES[kind], MODEL_MAPPING_NAMES[kind]
    class_ = getattr(transformers, config)
    made = class_(**_sizes(class_, {} if window is None else dict.fromkeys(WINDOWS, window)))
    made_of = getattr(transformers, model if isinstance(model, str) else model[0])
    with torch.device("meta"):
        parameters = sum(p.numel() for p in made_of(made).parameters())
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{parameters / 1e6:.0f} million parameters at the smallest")
    torch.manual_seed(0)
    found = made_of(made).eval()
    with torch.no_grad():
        for name, p in found.named_parameters():
            if p.ndim == 1:  # gains and shifts that a norm of ones would hide
                p.add_(0.3 * torch.rand_like(p))
            elif p.ndim == 2 and "embed" not in name:
                p.copy_(torch.randn_like(p) / p.shape[1] ** 0.5)
    return found


def _sizes(class_: Any, windows: dict[str, int]) -> dict[str, Any]:
    usual, others = class_(), getattr(class_, "attribute_map", {})
    sizes = SIZES | windows
    found = {key: value for key, value in sizes.items() if hasattr(usual, key) and key not in others}
    for key in list(found):
        own = getattr(class_, key, None)
        if isinstance(own, property) and own.fset is None:
            del found[key]
    if kinds := getattr(usual, "layer_types", None):
        found["layer_types"] = [*kinds[:2], *kinds[-1:]][:3]
    return found


def inputs_of_architecture(model: Any, *, b: int = 2, n: int = 12) -> dict[str, Tensor]:
    """What the model takes: ids, an image, sound."""
    torch.manual_seed(1)
    name, channels = model.main_input_name, getattr(model.config, "num_channels", 3)
    ids = torch.randint(3, 60, (b, n))
    shapes = {"pixel_values": (b, channels, 16, 16), "input_values": (b, 1600), "input_features": (b, 8, 20)}
    found = {name: torch.randn(*shapes[name])} if name in shapes else {"input_ids": ids}
    return found | ({"decoder_input_ids": ids[:, :6]} if model.config.is_encoder_decoder else {})


@functools.cache
def shared_architecture(kind: str) -> Any:
    """`small_architecture`, built once for all who leave it as it was."""
    return small_architecture(kind)


@functools.cache
def buildable() -> tuple[tuple[str, ...], dict[str, str]]:
    """The model types that are built small and run, and why the others are not."""
    found, others = [], {}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for kind in sorted(MODEL_MAPPING_NAMES):
            try:
                model = shared_architecture(kind)
                model(**inputs_of_architecture(model))
                found.append(kind)
            except Exception as error:  # the library's own refusals have no one class
                others[kind] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return tuple(found), others
