"""The loss of a model on held-out samples, of as many as the time of a run allows.

    n = min(held-out samples, max(64, 0.3 m))

after m samples of training: a forward pass is about a third of the passes in which a sample is trained on, so that an
evaluation of 0.3 m samples takes a tenth of their time. n is counted and never timed: a run that goes on, on whatever
machine, reads the same samples.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from spinodal.data import Samples
from spinodal.models.tasks import IGNORED
from spinodal.training.prepared import Collator
from spinodal.training.processes import process_count, process_rank

SHARE = 0.1  # of the time of training, which an evaluation takes at most
FORWARD = 1 / 3  # of the time in which a sample is trained on
LEAST = 64  # samples of an evaluation, whatever it takes


def judged_samples(held_out: int, trained: int) -> int:
    """The number of `held_out` samples that an evaluation reads after `trained` samples of training."""
    return min(held_out, max(LEAST, int(SHARE / FORWARD * trained)))


@torch.no_grad()
def held_out_loss(
    model: Any, samples: Samples, batch: int, collate: Collator, *, count: int | None = None
) -> float:
    """-sum log p(token) / number of tokens predicted, over `count` samples evenly along, all if None.

    The model's mode is kept. Each process takes its share of the batches; one that has a batch less computes its first
    again and does not count it, since processes that share weights compute together.
    """
    n = len(samples) if count is None else count
    chosen = [i * len(samples) // n for i in range(n)]
    batches = [chosen[at : at + batch] for at in range(0, n, batch)]
    mine = batches[process_rank() :: process_count()]
    again = math.ceil(len(batches) / process_count()) - len(mine)
    loader = DataLoader(samples, batch_sampler=[*mine, *batches[:again]], collate_fn=collate)
    total, predicted = loss_sums(model, loader, count=len(mine))
    if process_count() > 1:
        device = next(model.parameters()).device
        sums = torch.tensor([total, predicted], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        total, predicted = sums.tolist()
    return total / predicted


@torch.no_grad()
def loss_sums(
    model: Any, batches: Iterable[dict[str, Tensor]], *, count: int | None = None
) -> tuple[float, int]:
    """(-sum log p(token), number of tokens predicted) of `count` batches; all are read, in evaluation mode."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    total, predicted = 0.0, 0
    for i, items in enumerate(batches):
        inputs = {name: value.to(device) for name, value in items.items()}
        loss = float(model(**inputs, scored_only=True, num_items_in_batch=1).loss)
        if count is None or i < count:
            total += loss
            predicted += int((model.targets(inputs["labels"]) != IGNORED).sum())
    model.train(training)
    return total, predicted
