"""Subjects: a model that someone trained, with what it reads, and inputs made for it.

A folder or a hub's name is opened as the class that its configuration names, so that its own loss is there too.
"""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
import transformers
from huggingface_hub import constants
from torch import Tensor, nn
from transformers import AutoTokenizer

from spinodal.errors import InputError
from spinodal.models import plain_config, unreadable_reason
from spinodal.watch.stacks import Stack, plain_attention, tokens_of

WRITES = ("AutoModelForSpeechSeq2Seq", "AutoModelForSeq2SeqLM")
HEADS = {
    "ForMaskedLM": ("AutoModelForMaskedLM",),
    "ForPreTraining": ("AutoModelForMaskedLM",),
    "ForCausalLM": ("AutoModelForCausalLM",),
    "LMHeadModel": ("AutoModelForCausalLM",),
    "ForConditionalGeneration": WRITES,
    "ForSeq2SeqLM": WRITES,
    "ForSpeechSeq2Seq": WRITES,
}
LIMITS = ("max_position_embeddings", "n_positions", "max_target_positions")
MOSTLY = 0.2  # of the tokens: more of them unknown is another text than the model's
Inputs = dict[str, Tensor]


class Subject(NamedTuple):
    """A model in evaluation mode, its name, and its tokenizer (None where it reads no text).

    `fresh` names the weights that its files lack, which are random: those of a head that was not trained.
    `no_tokenizer` says why there is none where its files should have held one.
    """

    name: str
    model: nn.Module
    tokenizer: Any
    fresh: tuple[str, ...] = ()
    no_tokenizer: str = ""

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
        config = plain_config(where, **near, **({} if depth is None else {"num_hidden_layers": depth}))
        class_ = getattr(transformers, _auto_class(config))
        model, loading = class_.from_pretrained(
            where, config=config, dtype=torch.float32, output_loading_info=True, **near
        )
    except Exception as error:  # a damaged folder makes the libraries raise nearly anything
        why = unreadable_reason(error)
        if near["local_files_only"] and not path.exists():
            why = "there is no such folder, none of that name has come from the hub, and the hub cannot be reached"
        raise InputError(f"{place} cannot be opened as a model: {why}") from error
    # a number in a name is a place in a list of layers; a head that is missing is another matter
    if missing := sorted(k for k in loading["missing_keys"] if any(map(str.isdigit, k.split(".")))):
        why = (
            "the files are of another model, and its layers would be random"
            if depth is None
            else f"depth={depth}: only tied layers can be iterated deeper than they were trained; with `step` 1 "
            "each is iterated by itself"
        )
        raise InputError(f"{place}: {type(model).__name__} has no weights for {missing[0]}; {why}")
    fresh = tuple(sorted(loading["missing_keys"]))
    try:
        tokenizer, why = AutoTokenizer.from_pretrained(where, **near), ""
    except Exception as error:  # as above; a model of images or sound has none
        tokenizer, why = None, unreadable_reason(error)
    return Subject(name or str(place), model.eval(), tokenizer, fresh, why)


def refuse_random_stream(subject: Subject, inputs: Mapping[str, Any], stack: Stack) -> None:
    """InputError where the output of the layers depends on weights that the files lack, which are random."""
    missing = {name: p for name, p in subject.model.named_parameters() if name in subject.fresh}
    if not missing:
        return
    returned: list[Tensor | None] = []
    hook = stack.modules[-1].register_forward_hook(lambda module, args, y: returned.append(tokens_of(y)))
    try:
        with torch.enable_grad(), plain_attention():
            subject.model(**inputs)
    finally:
        hook.remove()
    if not returned or returned[-1] is None:
        return
    slopes = torch.autograd.grad(returned[-1].sum(), list(missing.values()), allow_unused=True)
    read = [name for name, slope in zip(missing, slopes, strict=True) if slope is not None]
    if read:
        raise InputError(
            f"{subject.name}: its files have no {read[0]}, and what its layers return would be made of random weights"
        )


def hub_answers() -> bool:
    """Whether the hub's name resolves or a proxy is set; without a network its client retries for 30 s."""
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
    architecture = str(next(iter(config.architectures or []), ""))
    named = next((autos for ending, autos in HEADS.items() if architecture.endswith(ending)), ())
    return next(
        (auto for auto in named if type(config) in getattr(transformers, auto)._model_mapping), "AutoModel"
    )


def limit(subject: Subject) -> int:
    """The most tokens that the model takes at once; 10^6 where it does not say."""
    own = (getattr(subject.config, name, None) for name in LIMITS)
    stated = [value for value in (*own, getattr(subject.tokenizer, "model_max_length", None)) if value]
    return int(min([10**6, *(value for value in stated if value > 0)]))  # XLNet says -1: no limit


def text_batches(
    subject: Subject, texts: Sequence[str], *, batch: int = 16, truncate: bool = False
) -> list[Inputs]:
    """Padded batches of ids and masks of texts, sorted by length; a decoder is given its encoder's text.

    InputError for a model without a tokenizer, and for a text of fewer than two tokens or of more than the model takes
    (which `truncate` cuts).
    """
    if subject.tokenizer is None:
        why = f" ({subject.no_tokenizer})" if subject.no_tokenizer else ""
        raise InputError(f"{subject.name} has no tokenizer: it reads no text{why}")
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


def warning(subject: Subject, batches: Sequence[Inputs]) -> str:
    """Sentences that warn of a text that the tokenizer does not know and of a head without weights, or ""."""
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
