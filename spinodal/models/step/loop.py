r"""The loop of `generate` for one sequence: as transformers' own, token for token, around a compiled step.

Logits processors, random numbers and stopping criteria are those of transformers. Of these, the maximal
length and the tokens that end a text are checked here, and temperature, top-k and top-p are applied with
NumPy, which sorts in a tenth of the time.
"""

import math
from typing import cast, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import (
    EosTokenCriteria,
    MaxLengthCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from spinodal.models.step.compiled import Step

Warper = TemperatureLogitsWarper | TopKLogitsWarper | TopPLogitsWarper
CLOSE = 3e-6  # two numbers that float32 may put in either order, relative to the larger or to a sum of shares


def warped_shares(logits: Float[np.ndarray, " v"], warpers: list[Warper]) -> Float[np.ndarray, " v"] | None:
    """Probabilities relative to the largest, 0 for tokens that a warper removes; None if rounding decides."""
    for one in warpers:
        if isinstance(one, TemperatureLogitsWarper):
            logits = logits / np.float32(one.temperature)
            continue
        shares = np.exp(logits - logits.max())
        ascending = np.sort(shares)
        if isinstance(one, TopKLogitsWarper):
            first = max(len(shares) - one.top_k, 0)
        else:
            below = np.cumsum(ascending, dtype=np.float64) / ascending.sum(dtype=np.float64)
            first = int(np.searchsorted(below, 1 - one.top_p, "right"))
            first = max(min(first, len(shares) - one.min_tokens_to_keep), 0)
            if np.abs(below[max(first - 1, 0) : first + 1] - (1 - one.top_p)).min() < CLOSE:
                return None
        least = ascending[first]
        if first and ascending[first - 1] >= least * np.float32(1 - CLOSE):
            return None
        logits = np.where(shares < least, np.float32(-np.inf), logits)
    return np.exp(logits - logits.max())


def largest(x: Float[np.ndarray, " v"]) -> int | None:
    """The index of the largest number, None where another is as large to rounding; sets it to 0 in x."""
    place = int(x.argmax())
    top = x[place]
    x[place] = 0
    return None if x.max() >= top * np.float32(1 - CLOSE) else place


class GrowingIds:
    """The ids of one sequence, in a buffer that doubles when it is full."""

    def __init__(self, ids: Int[Tensor, "1 n"]):
        self.n = ids.shape[1]
        self.room = torch.cat([ids, torch.zeros_like(ids), ids.new_zeros(1, 64)], 1)
        self.numbers = self.room.numpy()[0]

    def append(self, token: int) -> None:
        if self.n == len(self.numbers):
            self.room = torch.cat([self.room, torch.zeros_like(self.room)], 1)
            self.numbers = self.room.numpy()[0]
        self.numbers[self.n] = token
        self.n += 1

    def ids(self) -> Int[Tensor, "1 n"]:
        return self.room[:, : self.n]


def unfiltered(warper: Warper) -> bool:
    """Whether tokens that the warper removes have the logit -inf, and so are never drawn."""
    return getattr(warper, "filter_value", -math.inf) == -math.inf


class Rules:
    """The choice of tokens and of the end of a text, from transformers' processors and stopping criteria."""

    def __init__(
        self, processors: LogitsProcessorList, criteria: StoppingCriteriaList, *, sample: bool = False
    ):
        self.processors, self.sample = processors, sample
        self.warpers = [one for one in processors if type(one) in get_args(Warper) and unfiltered(one)]
        self.limit = min(
            (one.max_length for one in criteria if type(one) is MaxLengthCriteria), default=math.inf
        )
        self.ends = {
            token for one in criteria if type(one) is EosTokenCriteria for token in one.eos_token_id.tolist()
        }
        self.others = [one for one in criteria if type(one) not in (MaxLengthCriteria, EosTokenCriteria)]

    def choose(self, text: GrowingIds, logits: Float[np.ndarray, " v"]) -> int:
        """The next token, from the logits after a text."""
        if not self.sample and not self.processors:
            return int(logits.argmax())
        if self.sample and len(self.warpers) == len(self.processors) and np.isfinite(logits.sum()):
            return self.draw(text, logits)
        scores = self.processed(text, logits)
        return int(torch.multinomial(scores.softmax(-1), 1) if self.sample else scores.argmax(-1))

    def draw(self, text: GrowingIds, logits: Float[np.ndarray, " v"]) -> int:
        """The token that `torch.multinomial` draws: the largest of p_i / q_i, q_i exponential random numbers."""
        q = torch.empty(1, len(logits)).exponential_()
        shares = warped_shares(logits, self.warpers)
        token = None if shares is None else largest(shares / q.numpy()[0])
        if token is None:
            token = int((self.processed(text, logits).softmax(-1) / q).argmax())
        return token

    def processed(self, text: GrowingIds, logits: Float[np.ndarray, " v"]) -> Float[Tensor, "1 v"]:
        return self.processors(cast(torch.LongTensor, text.ids()), torch.from_numpy(logits.copy())[None])

    def end(self, text: GrowingIds, token: int) -> bool:
        """Whether a text ends with its last token."""
        if token in self.ends or text.n >= self.limit:
            return True
        return any(bool(one(text.ids(), None).all()) for one in self.others)


def continue_text(
    step: Step,
    logits: Float[Tensor, "1 v"],
    ids: Int[Tensor, "1 n"],
    rules: Rules,
    *,
    streamer: BaseStreamer | None = None,
) -> Int[Tensor, "1 m"]:
    """The ids and those generated after them, from `logits`, which belong to the last of `ids`.

    The cache of the step then holds all tokens but the last, also where the loop ends by an exception.
    """
    text, now = GrowingIds(ids), logits[0].float().numpy()
    try:
        while True:
            token = rules.choose(text, now)
            text.append(token)
            if streamer is not None:
                streamer.put(torch.tensor([token]))
            if rules.end(text, token):
                break
            now = step(token)
    finally:
        step.store()
    if streamer is not None:
        streamer.end()
    return text.ids().clone()
