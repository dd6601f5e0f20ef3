r"""Whisper as CTranslate2 stores it: a file of variables, and the same parameters under the names of transformers.

Weights have 16 bits; the matrices of queries, keys and values of a layer are one matrix.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spinodal.errors import InputError


def whisper_from_ctranslate2(source: Path, made: Path):
    """Writes the model found below `source`, its weights, feature extractor and tokenizer, into `made`."""
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    theirs = variables(
        next(source.rglob("*.part1")).read_bytes() + next(source.rglob("*.part2")).read_bytes()
    )
    config = WhisperConfig(
        vocab_size=51865, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, bos_token_id=50257, eos_token_id=50257,
        pad_token_id=50257, decoder_start_token_id=50258, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    ours = {name: theirs[old] for old, name in WHISPER.items()}
    for side in ("encoder", "decoder"):
        for k in range(6):
            ours |= whisper_layer(theirs, f"{side}/layer_{k}/", f"model.{side}.layers.{k}.", config.d_model)
    missing = model.load_state_dict({k: v.float() for k, v in ours.items()}, strict=False)
    if set(missing.missing_keys) - {"proj_out.weight"} or missing.unexpected_keys:
        raise InputError(f"whisper-base is not as expected: {missing}")
    model.tie_weights()
    model.half().save_pretrained(made)
    WhisperFeatureExtractor().save_pretrained(made)
    fast = PreTrainedTokenizerFast(
        tokenizer_file=str(next(source.rglob("tokenizer.json"))), eos_token="<|endoftext|>"
    )
    fast.save_pretrained(made)


WHISPER = {
    f"{side}/{old}": f"model.{side}.{new}"
    for side, pairs in {
        "encoder": {f"conv{i}/{p}": f"conv{i}.{p}" for i in (1, 2) for p in ("weight", "bias")},
        "decoder": {"embeddings/weight": "embed_tokens.weight"},
    }.items()
    for old, new in {
        **pairs,
        "position_encodings/encodings": "embed_positions.weight",
        "layer_norm/gamma": "layer_norm.weight",
        "layer_norm/beta": "layer_norm.bias",
    }.items()
}


def whisper_layer(theirs: dict[str, Tensor], old: str, new: str, d: int) -> dict[str, Tensor]:
    """The parameters of one layer under the names of transformers; keys have no bias there, and zero here."""
    found = {}

    def linear(source: str, *targets: str):
        for W, b, name in zip(
            theirs[f"{old}{source}/weight"].split(len(theirs[f"{old}{source}/weight"]) // len(targets)),
            theirs[f"{old}{source}/bias"].split(len(theirs[f"{old}{source}/bias"]) // len(targets)),
            targets, strict=True,
        ):  # fmt: skip
            found[f"{new}{name}.weight"] = W
            if not name.endswith("k_proj"):
                found[f"{new}{name}.bias"] = b

    def norm(source: str, target: str):
        found[f"{new}{target}.weight"] = theirs[f"{old}{source}/gamma"]
        found[f"{new}{target}.bias"] = theirs[f"{old}{source}/beta"]

    linear("self_attention/linear_0", *(f"self_attn.{x}_proj" for x in "qkv"))
    linear("self_attention/linear_1", "self_attn.out_proj")
    norm("self_attention/layer_norm", "self_attn_layer_norm")
    if f"{old}attention/linear_0/weight" in theirs:
        linear("attention/linear_0", "encoder_attn.q_proj")
        linear("attention/linear_1", "encoder_attn.k_proj", "encoder_attn.v_proj")
        linear("attention/linear_2", "encoder_attn.out_proj")
        norm("attention/layer_norm", "encoder_attn_layer_norm")
    linear("ffn/linear_0", "fc1")
    linear("ffn/linear_1", "fc2")
    norm("ffn/layer_norm", "final_layer_norm")
    return found


def variables(raw: bytes) -> dict[str, Tensor]:
    """The float16 variables of a CTranslate2 file, version 6: name, shape, type, bytes, one after another."""
    place = 0

    def number(form: str) -> int:
        nonlocal place
        place += struct.calcsize(form)
        return struct.unpack_from(form, raw, place - struct.calcsize(form))[0]

    def text() -> str:
        nonlocal place
        length = number("<H")
        place += length
        return raw[place - length : place - 1].decode()

    if number("<I") != 6:
        raise InputError("the file is not of CTranslate2's version 6")
    text()
    number("<I")
    found = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        kind, size = number("<B"), number("<I")
        if kind == 4:
            found[name] = torch.from_numpy(np.frombuffer(raw, np.float16, size // 2, place).copy()).view(
                shape
            )
        place += size
    return found
