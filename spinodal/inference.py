"""Inference with a trained model: filling masks, continuing a text, translating."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    TextStreamer,
    set_seed,
)

from spinodal.data import encode_prompt
from spinodal.data.tokenizers import refuse_encoding, refuse_unknown
from spinodal.errors import InputError
from spinodal.models import plain_config, unreadable_reason


class Candidate(NamedTuple):
    """A token for one mask, its probability, and the text with it in place."""

    token: str
    probability: float
    text: str


KINDS: dict[str, tuple[Any, str]] = {
    "ForMaskedLM": (AutoModelForMaskedLM, "fills masks: spinodal fill"),
    "ForCausalLM": (AutoModelForCausalLM, "goes on with a text: spinodal generate"),
    "ForSeq2SeqLM": (AutoModelForSeq2SeqLM, "translates: spinodal translate"),
}


def load_model(run: Path, kind: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model and tokenizer of a run's folder, or of a folder that `save_pretrained` wrote; `kind` is a key of KINDS.

    InputError where there is none, or where it is damaged or of another kind.
    """
    folder = run / "model" if (run / "model").is_dir() else run
    if not (folder / "config.json").is_file():
        raise InputError(f"{run} holds no model: give the folder of a finished run, or of a saved model")
    try:
        config = PreTrainedConfig.get_config_dict(folder)[0]
        own = next((name for name in config.get("architectures") or [] if not name.endswith(kind)), None)
        if own:
            use = next(
                (use for known, (_, use) in KINDS.items() if own.endswith(known)), "does something else"
            )
            raise InputError(f"{run} holds a {own}, which {use}")
        if network := config.get("network"):
            raise InputError(
                f"{run} holds a network of others, {network}: load its weights, {folder / 'model.safetensors'}, there"
            )
        near = {"local_files_only": True, "trust_remote_code": False}
        model, found = KINDS[kind][0].from_pretrained(
            folder, config=plain_config(str(folder), **near), output_loading_info=True, **near
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, **near)
        if found["missing_keys"]:
            raise InputError(f"{folder} lacks weights: {', '.join(sorted(found['missing_keys']))}")
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the libraries raise nearly anything
        raise InputError(f"{folder} cannot be loaded: {unreadable_reason(error)}") from error
    return model.eval(), tokenizer


class Sampling(NamedTuple):
    """How tokens are chosen: the most probable (temperature 0), by chance, or the best of several beams."""

    temperature: float = 0.8
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    beams: int = 1
    seed: int = 0

    def check(self) -> "Sampling":
        """This sampling, unchanged. InputError for the first value that is out of its range."""
        for name, fair, want in (
            (
                "temperature",
                self.temperature == 0 or 1e-3 <= self.temperature <= 1e3,
                "from 0.001 to 1000, or 0 (always the most probable)",
            ),
            ("top_k", self.top_k >= 0, "at least 0 (0: all tokens)"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("beams", self.beams >= 1, "at least 1"),
            ("seed", 0 <= self.seed < 2**32, f"from 0 to {2**32 - 1}"),
        ):
            if not fair:
                raise InputError(f"{name}={getattr(self, name)}: `{name}` must be {want}", field=name)
        return self

    def arguments(self) -> dict[str, Any]:
        """These values as the keywords of `generate`."""
        if self.beams > 1 or self.temperature == 0:
            return {"do_sample": False, "num_beams": self.beams}
        return {
            "do_sample": True, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p,
        }  # fmt: skip


GREEDY = Sampling(temperature=0.0)


@torch.no_grad()
def continuation(
    run: Path, prompt: str, *, tokens: int = 128, sampling: Sampling | None = None, stream: bool = False
) -> str:
    """The prompt and up to `tokens` tokens after it; `stream` writes them out as they come (not with beams).

    InputError for an empty prompt, one with characters that the model's tokenizer does not know, and one that
    is too long for a model of fixed length.
    """
    sampling = (sampling or Sampling()).check()
    if tokens < 1:
        raise InputError(f"tokens={tokens}: `tokens` is at least one", field="tokens")
    model, tokenizer = load_model(run, "ForCausalLM")
    ids = encode_prompt(tokenizer, prompt)[None]
    set_seed(sampling.seed)
    streamer = TextStreamer(tokenizer, skip_special_tokens=True) if stream and sampling.beams == 1 else None
    found = model.generate(ids, max_new_tokens=tokens, streamer=streamer, **sampling.arguments())
    return str(tokenizer.decode(found[0], skip_special_tokens=True))


def translations(run: Path, texts: Sequence[str], *, sampling: Sampling | None = None) -> Iterator[str]:
    """The translation of each text, one after another, greedily unless `sampling` says otherwise.

    InputError, before the first is translated, for an empty text, for unknown characters, and for a text longer than
    the sources that the model read in training.
    """
    sampling = (sampling or GREEDY).check()
    model, tokenizer = load_model(run, "ForSeq2SeqLM")
    sources = []
    for number, text in enumerate(texts, start=1):
        try:
            ids = torch.cat([encode_prompt(tokenizer, text), torch.tensor([tokenizer.eos_token_id])])
        except InputError as error:
            raise InputError(f"text {number}: {error}") from None
        if len(ids) > model.config.source_length:
            raise InputError(
                f"text {number}, {text[:40]!r}..., has {len(ids)} tokens; this model reads sources of up to "
                f"{model.config.source_length}"
            )
        sources.append(ids)
    set_seed(sampling.seed)
    return (translate(model, tokenizer, ids, sampling) for ids in sources)


@torch.no_grad()
def translate(
    model: Any, tokenizer: PreTrainedTokenizerBase, source: Int64[Tensor, " n"], sampling: Sampling
) -> str:
    """The translation of one source, given as tokens."""
    found = model.generate(
        source[None], attention_mask=torch.ones_like(source[None]), max_new_tokens=model.config.length,
        **sampling.arguments(),
    )  # fmt: skip
    return str(tokenizer.decode(found[0], skip_special_tokens=True))


@torch.no_grad()
def fillings(run: Path, text: str, *, top: int = 5) -> list[list[Candidate]]:
    """For each mask of the text, the `top` most probable tokens, best first.

    Masks are filled independently of one another: each text shows one mask filled. InputError for a text without a
    mask, and as `continuation` for one that is not Unicode or holds what the tokenizer does not know.
    """
    if top < 1:
        raise InputError(f"top={top}: `top` is at least one word a mask", field="top")
    model, tokenizer = load_model(run, "ForMaskedLM")
    exact = getattr(model.config, "exact_length", None)
    refuse_encoding(text)
    inputs = tokenizer(
        text,
        return_tensors="pt",
        return_offsets_mapping=bool(tokenizer.is_fast),
        return_token_type_ids=False,
        padding="max_length" if exact else False,
        max_length=exact,
    )
    ids, offsets = inputs["input_ids"], inputs.pop("offset_mapping", None)
    refuse_unknown(tokenizer, text, ids[0].tolist(), None if offsets is None else offsets[0].tolist())
    where = (ids[0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
    if not where:
        raise InputError(f"no {tokenizer.mask_token} in {text!r}: put one where a word is to be filled in")
    found = []
    for position in where:
        best = model(**inputs).logits[0, position].softmax(-1).topk(min(top, len(tokenizer)))
        candidates = []
        for probability, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            filled = ids[0].clone()
            filled[position] = token
            words = str(tokenizer.decode(filled[inputs["attention_mask"][0].bool()]))
            candidates.append(Candidate(str(tokenizer.decode([token])), probability, words))
        found.append(candidates)
    return found
