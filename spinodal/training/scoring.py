"""What is measured of a model beside its loss: at the end on the test samples, in training on a few held-out ones."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate
from transformers import PreTrainedTokenizerBase

from spinodal.data import PairWindows, trim_padding
from spinodal.scores import bleu, chrf, error_rates, exact_match, without_stress, written_language
from spinodal.training.baselines import nearest_scores
from spinodal.training.evaluation import loss_sums
from spinodal.training.prepared import PreparedData
from spinodal.types import Progress

FEW = 32  # held-out samples of which a model in training is asked
T = TypeVar("T")


def report_batches(batches: Iterable[T], count: int, progress: Progress | None) -> Iterator[T]:
    """The batches; `progress` is called, after each that was used, with how many there were, and with `count`."""
    for done, batch in enumerate(batches, start=1):
        yield batch
        if progress:
            progress(done, count)


def perplexity(model: Any, data: PreparedData, loss: float) -> dict[str, float]:
    """e^loss: among how many equally likely tokens the model hesitates."""
    return {"perplexity": math.exp(min(loss, 700.0))}


def text_scores(model: Any, data: PreparedData, progress: Progress | None = None) -> dict[str, float]:
    """The loss on a text of its own for tests, nats a predicted token; nothing where there is none."""
    if data.test is None:
        return {}
    batches = DataLoader(data.test, batch_size=32, collate_fn=default_collate)
    total, count = loss_sums(model, report_batches(batches, len(batches), progress))
    return {"test_loss": total / count}


def translation_scores(model: Any, data: PreparedData, progress: Progress | None = None) -> dict[str, float]:
    """Scores of the first test pairs, as many as `data` says, translated with as many beams as it says.

    BLEU, chrF and the share of exact targets; of symbols the error rates, each source once beside all its targets, and
    of phonemes the share of texts that are wrong where stress does not count.
    """
    windows, training = (cast(PairWindows, part) for part in (data.test, data.training))
    baselines = training if data.baselines else None
    return pair_scores(
        model, windows, data, data.scored, beams=data.beams, training=baselines, progress=progress
    )


def translation_progress(model: Any, data: PreparedData, loss: float) -> dict[str, float]:
    """BLEU, or the share of wrong symbols, of the first held-out pairs."""
    found = pair_scores(model, cast(PairWindows, data.held_out), data, FEW)
    return {name: found[name] for name in ("bleu", "symbol_error") if name in found}


@torch.no_grad()
def pair_scores(
    model: Any,
    windows: PairWindows,
    data: PreparedData,
    count: int,
    *,
    beams: int = 1,
    training: PairWindows | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """The scores of the first `count` pairs, or of all where that is 0, translated greedily or with `beams`.

    With `training` pairs those of `nearest_scores` as well.
    """
    pairs, tokenizer = windows.pairs, cast(PreTrainedTokenizerBase, data.tokenizer)
    count = min(count or len(windows), len(windows))
    first: dict[str, int] = {}
    for i in range(count):
        first.setdefault(pairs.sources[i], i)
    chosen = list(first.values()) if data.error_rates else list(range(count))
    hypotheses = translate_pairs(model, windows, tokenizer, chosen, beams, progress)
    if data.error_rates:
        references: dict[str, list[str]] = {}
        for source, target in zip(pairs.sources, pairs.targets, strict=True):
            references.setdefault(source, []).append(target)
        return symbol_scores(hypotheses, [references[pairs.sources[i]] for i in chosen])
    targets = list(pairs.targets[:count])
    found = {
        "bleu": bleu(hypotheses, targets, language=written_language(targets[:8])).value,
        "chrf": chrf(hypotheses, targets).value,
        "exact": exact_match(hypotheses, targets),
    }
    if training:
        found |= nearest_scores(hypotheses, list(pairs.sources[:count]), targets, training.pairs)
    return found


def symbol_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The error rates of symbols and of texts; of phonemes with stress, of texts without it as well."""
    found = error_rates(hypotheses, references)
    scores = {"symbol_error": found.symbols, "text_error": found.texts}
    plain = [[without_stress(reference) for reference in several] for several in references]
    if plain != [list(several) for several in references]:
        spoken = error_rates([without_stress(hypothesis) for hypothesis in hypotheses], plain)
        scores["unstressed_error"] = spoken.texts
    return scores


def translate_pairs(
    model: Any,
    windows: PairWindows,
    tokenizer: PreTrainedTokenizerBase,
    chosen: Sequence[int],
    beams: int,
    progress: Progress | None = None,
) -> list[str]:
    """The model's translations of the sources of the pairs `chosen`, as texts; greedy ones with one beam."""
    hypotheses: list[str] = []
    device = next(model.parameters()).device
    starts = range(0, len(chosen), 32)
    for start in report_batches(starts, len(starts), progress):
        batch = trim_padding([windows[i] for i in chosen[start : start + 32]])
        ids = model.generate(
            input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device),
            do_sample=False, num_beams=beams, max_new_tokens=windows.target_length,
        )  # fmt: skip
        hypotheses += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return hypotheses


def recall_accuracy(model: Any, data: PreparedData, progress: Progress | None = None) -> dict[str, float]:
    """The share of held-out answers to which the model gives the largest probability."""
    return {"accuracy": answered(model, data.held_out, progress)}


def recall_progress(model: Any, data: PreparedData, loss: float) -> dict[str, float]:
    """`recall_accuracy` of the first held-out samples."""
    return {"accuracy": answered(model, Subset(data.held_out, range(min(FEW, len(data.held_out)))))}


@torch.no_grad()
def answered(model: Any, samples: Dataset, progress: Progress | None = None) -> float:
    """The share of the answers of these samples to which the model gives the largest probability."""
    right = total = 0
    device = next(model.parameters()).device
    batches = DataLoader(samples, batch_size=32)
    for batch in report_batches(batches, len(batches), progress):
        guess = model(batch["input_ids"].to(device)).logits[:, :-1].argmax(-1).cpu()
        labels = batch["labels"][:, 1:]
        asked = labels >= 0
        right += int((guess == labels)[asked].sum())
        total += int(asked.sum())
    return right / total
