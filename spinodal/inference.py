"""What a trained model says: words for the masks of a text."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from spinodal.errors import InputError


class Candidate(NamedTuple):
    """A token for one mask, its probability, and the text with it in place."""

    token: str
    probability: float
    text: str


def loaded(run: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a run's folder, or of a folder that `save_pretrained` wrote.

    InputError where there is none, or where it is damaged or of another kind.
    """
    folder = run / "model" if (run / "model").is_dir() else run
    if not (folder / "config.json").is_file():
        raise InputError(f"{run} holds no model: give the folder of a finished run, or of a saved model")
    try:
        model = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} cannot be loaded: {error}") from error
    return model.eval(), tokenizer


@torch.no_grad()
def fillings(run: Path, text: str, *, top: int = 5) -> list[list[Candidate]]:
    """For each mask of the text, the `top` most probable tokens, best first.

    Masks are filled independently of one another: each text shows one mask filled.
    """
    model, tokenizer = loaded(run)
    if top < 1:
        raise InputError(f"top={top}: at least one word a mask")
    exact = model.config.length if getattr(model.config, "channel", None) == "dense" else None
    inputs = tokenizer(
        text,
        return_tensors="pt",
        return_token_type_ids=False,
        padding="max_length" if exact else False,
        max_length=exact,
    )
    ids = inputs["input_ids"]
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
