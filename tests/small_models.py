"""Small models of many architectures with random weights, made from configurations: no network."""

import math
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from typed import of_kind

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}
SPEECH = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 50, "num_mel_bins": 8, "max_source_positions": 10,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": [],
    "begin_suppress_tokens": [],
}  # fmt: skip
KINDS = {
    "BertForMaskedLM": ("BertConfig", {}),
    "AlbertForMaskedLM": ("AlbertConfig", {"embedding_size": 8}),
    "LlamaForCausalLM": ("LlamaConfig", {"num_key_value_heads": 1}),
    "GPT2LMHeadModel": ("GPT2Config", {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 50}),
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 2}
        | {"vocab_size": 50},
    ),
    "WhisperForConditionalGeneration": ("WhisperConfig", SPEECH),
    "ViTModel": ("ViTConfig", {"image_size": 16, "patch_size": 4}),
    "DebertaV2ForMaskedLM": ("DebertaV2Config", {}),
    "MambaForCausalLM": ("MambaConfig", {"state_size": 4}),
}  # fmt: skip


def small(kind: str, **changes) -> PreTrainedModel:
    """A model of this class, in evaluation mode; weights ten times the usual, so that tokens do move."""
    config, shape = KINDS[kind]
    shape = ({} if kind[:2] in ("T5", "GP", "Wh") else SMALL) | shape
    if kind.startswith("ViT"):
        shape = {key: value for key, value in shape.items() if key != "vocab_size"}
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**shape | changes))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 2 and "embed" not in name:
                p.copy_(torch.randn_like(p) / math.sqrt(p.shape[1]))
    return of_kind(model.eval(), PreTrainedModel)


def inputs_of(kind: str, *, b: int = 2, n: int = 7) -> dict[str, Tensor]:
    """Inputs that a model of this class takes."""
    torch.manual_seed(1)
    ids = torch.randint(3, 50, (b, n))
    if kind.startswith("ViT"):
        return {"pixel_values": torch.randn(b, 3, 16, 16)}
    if kind.startswith("Whisper"):
        return {"input_features": torch.randn(b, 8, 20), "decoder_input_ids": ids}
    if kind.startswith("T5"):
        return {"input_ids": ids, "decoder_input_ids": ids[:, :4]}
    return {"input_ids": ids}
