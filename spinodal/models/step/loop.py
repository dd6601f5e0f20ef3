r"""The loop of `generate` for one sequence: as transformers' own, token for token, around a compiled step.

Logits are processed, tokens drawn and texts ended by the processors, the random numbers and the criteria of
transformers; of these, a greatest length and a token at which a text ends are read off here.
"""

import math
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessorList
from transformers.generation.stopping_criteria import (
    EosTokenCriteria,
    MaxLengthCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from spinodal.models.step.compiled import Step


class GrowingIds:
    """The ids of one sequence, in memory that doubles."""

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


class Rules:
    """How tokens are chosen, and when a text is at its end."""

    def __init__(
        self, processors: LogitsProcessorList, criteria: StoppingCriteriaList, *, sample: bool = False
    ):
        self.processors, self.sample = processors, sample
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
        scores = self.processors(cast(torch.LongTensor, text.ids()), torch.from_numpy(logits.copy())[None])
        return int(torch.multinomial(scores.softmax(-1), 1) if self.sample else scores.argmax(-1))

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
    """The ids and those after them, from the logits after the last one.

    The cache of the step then holds all but the last, in whatever way the loop ends.
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
