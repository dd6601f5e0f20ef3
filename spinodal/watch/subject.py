"""Subjects: a model that someone trained, with what it reads, and inputs made for it.

A folder or a hub's name is opened as the class that its configuration names, so that its own loss is there too.
"""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
import torch
import transformers
from huggingface_hub import constants
from jaxtyping import Float
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer

from spinodal.errors import InputError
from spinodal.models import UNREADABLE, unreadable_reason

HEADS = {
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForPreTraining": "AutoModelForMaskedLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "ForSeq2SeqLM": "AutoModelForSeq2SeqLM",
    "ForSpeechSeq2Seq": "AutoModelForSpeechSeq2Seq",
}
LIMITS = ("max_position_embeddings", "n_positions", "max_target_positions")
MOSTLY = 0.2  # of the tokens: more of them unknown is another text than the model's
Inputs = dict[str, Tensor]


class Subject(NamedTuple):
    """A model in evaluation mode, its name, and its tokenizer (None where it reads no text).

    `fresh` names the weights that its files lack, which are random: those of a head that was not trained.
    """

    name: str
    model: nn.Module
    tokenizer: Any
    fresh: tuple[str, ...] = ()

    @property
    def config(self) -> Any:
        return getattr(self.model, "config", None)


def open_model(place: str | Path, *, name: str | None = None, depth: int | None = None) -> Subject:
    """The model of a folder (a run of ours, or what `save_pretrained` wrote) or of a hub's name, in float32.

    `depth` iterates a model with tied layers to another depth. InputError where nothing can be loaded, where the folder
    lacks weights of the layers, and for a depth that would need layers that were never trained.
    """
    path = Path(place)
    where = str(path / "model" if (path / "model" / "config.json").is_file() else place)
    near = {"local_files_only": path.exists() or not hub_answers(), "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(where, **near)
        class_ = getattr(transformers, _auto_class(config))
        changes = {} if depth is None else {"num_hidden_layers": depth}
        model, loading = class_.from_pretrained(
            where, dtype=torch.float32, output_loading_info=True, **near, **changes
        )
    except UNREADABLE as error:
        why = unreadable_reason(error)
        if near["local_files_only"] and not path.exists():
            why = "there is no such folder, none of that name has come from the hub, and the hub cannot be reached"
        raise InputError(f"{place} cannot be opened as a model: {why}") from error
    # a number in a name is a place in a list of layers; a head that is missing is another matter
    if missing := sorted(k for k in loading["missing_keys"] if any(map(str.isdigit, k.split(".")))):
        why = (
            "the files are of another model, and its layers would be random"
            if depth is None
            else f"depth={depth}: only tied layers can be iterated deeper than they were trained"
        )
        raise InputError(f"{place}: {type(model).__name__} has no weights for {missing[0]}; {why}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **near)
    except (OSError, ValueError, KeyError, TypeError):
        tokenizer = None
    return Subject(name or str(place), model.eval(), tokenizer, tuple(sorted(loading["missing_keys"])))


def hub_answers() -> bool:
    """Whether the hub can be there at all: without a network its client tries again for half a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _auto_class(config: Any) -> str:
    architecture = next(iter(config.architectures or []), "")
    if architecture.startswith("Whisper"):
        return HEADS["ForSpeechSeq2Seq"]
    named = next((auto for ending, auto in HEADS.items() if architecture.endswith(ending)), "AutoModel")
    known = type(config) in getattr(transformers, named)._model_mapping
    return named if known else "AutoModel"


def limit(subject: Subject) -> int:
    """The most tokens that the model takes at once; 10^6 where it does not say."""
    own = (getattr(subject.config, name, None) for name in LIMITS)
    stated = [value for value in (*own, getattr(subject.tokenizer, "model_max_length", None)) if value]
    return int(min([10**6, *stated]))


def text_batches(
    subject: Subject, texts: Sequence[str], *, batch: int = 16, truncate: bool = False
) -> list[Inputs]:
    """Ids and masks of texts, batches of like length, padded; an encoder-decoder writes the text that it reads.

    InputError for a model without a tokenizer, and for a text of fewer than two tokens or of more than the model takes
    (which `truncate` cuts).
    """
    if subject.tokenizer is None:
        raise InputError(f"{subject.name} has no tokenizer: it reads no text")
    if not texts:
        raise InputError("there is no text to observe")
    most = limit(subject)
    rows = []
    for text in texts:
        ids = subject.tokenizer(text, truncation=truncate, max_length=most if truncate else None)["input_ids"]
        if len(ids) > most:
            raise InputError(
                f"{text[:40]!r}... is {len(ids)} tokens, {subject.name} takes {most}: shorten it, or ask to truncate"
            )
        if len(ids) < 2:
            raise InputError(f"{text[:40]!r} is {len(ids)} token: cosines need at least two")
        rows.append(ids)
    rows = [rows[0], *sorted(rows[1:], key=len)]  # the first stays first: it is the one that is shown
    fixed = getattr(subject.config, "exact_length", None) or 0
    return [_padded(subject, rows[a : a + batch], fixed) for a in range(0, len(rows), batch)]


def _padded(subject: Subject, rows: list[list[int]], fixed: int) -> Inputs:
    n = max(fixed, *map(len, rows))
    pad = subject.tokenizer.pad_token_id or 0
    ids = torch.tensor([row + [pad] * (n - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (n - len(row)) for row in rows])
    found = {"input_ids": ids, "attention_mask": mask}
    if getattr(subject.config, "is_encoder_decoder", False):
        found |= {"decoder_input_ids": ids, "decoder_attention_mask": mask}
    return found


def sound_of(path: Path) -> Float[np.ndarray, " t"]:
    """The sound of a .wav file as one channel of 16,000 numbers a second in [-1, 1]. InputError for another file."""
    try:
        rate, samples = wavfile.read(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no .wav file: {error}") from error
    scale = np.iinfo(samples.dtype).max if np.issubdtype(samples.dtype, np.integer) else 1.0
    mono = samples.reshape(len(samples), -1).mean(1) / scale
    return resample_poly(mono, 16_000, rate) if rate != 16_000 else mono


SOUND_START = "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


@torch.no_grad()
def sound_batches(
    subject: Subject, waves: Sequence[Float[np.ndarray, " t"]], features: Any, *, most: int = 64
) -> list[Inputs]:
    """A batch a recording (16 kHz, mono): its features, a mask over sound that is not padding, and the words heard.

    The decoder reads what the model itself writes, greedily, up to `most` tokens.
    """
    model: Any = subject.model
    start = subject.tokenizer(SOUND_START, add_special_tokens=False)["input_ids"]
    found = []
    for wave in waves:
        made = features(wave, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
        inputs = {"input_features": made["input_features"], "attention_mask": made["attention_mask"]}
        ids = torch.tensor([start])
        encoded = model.get_encoder()(inputs["input_features"])
        for _ in range(most):
            logits = model(encoder_outputs=encoded, decoder_input_ids=ids).logits[0, -1]
            following = int(logits.argmax())
            if following == subject.tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, torch.tensor([[following]])], dim=1)
        found.append(inputs | {"decoder_input_ids": ids})
    return found


def warning(subject: Subject, batches: Sequence[Inputs]) -> str:
    """What a reader must know first: a text that the tokenizer does not know, a head that was not trained."""
    return " ".join(filter(None, (_unknown(subject, batches), _fresh_head(subject))))


def _unknown(subject: Subject, batches: Sequence[Inputs]) -> str:
    unknown = getattr(subject.tokenizer, "unk_token_id", None)
    if unknown is None:
        return ""
    count = total = 0
    for inputs in batches:
        if (ids := inputs.get("input_ids")) is not None:
            there = inputs.get("attention_mask", torch.ones_like(ids)).bool()
            count, total = count + int(((ids == unknown) & there).sum()), total + int(there.sum())
    if count <= MOSTLY * total:
        return ""
    return (
        f"{count} of {total} tokens are {subject.tokenizer.unk_token}: the tokenizer does not know this text, and what "
        f"follows is not about it."
    )


def _fresh_head(subject: Subject) -> str:
    if not has_head(subject) or not subject.fresh:
        return ""
    return f"The head is not trained: the files have no {subject.fresh[0]}, and no loss is the model's own."


def has_head(subject: Subject) -> bool:
    """Whether the model's class predicts tokens."""
    return type(subject.model).__name__.endswith(
        ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    )


def words(
    subject: Subject, inputs: Mapping[str, Tensor], sequence: int, *, decoder: bool, n: int
) -> list[str]:
    """The text of each token of one sequence; a number where a token is no text."""
    ids = inputs.get("decoder_input_ids" if decoder else "input_ids")
    if ids is None or ids.shape[1] > n or subject.tokenizer is None:
        return [str(i) for i in range(n)]
    beyond = [str(i) for i in range(ids.shape[1], n)]  # what the model itself fills up
    return [subject.tokenizer.decode([i]).strip() or "␣" for i in ids[sequence].tolist()] + beyond
