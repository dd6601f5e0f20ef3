"""The loss of a model on held-out samples."""

import math
from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader

from spinodal.data import Samples
from spinodal.models.tasks import IGNORED
from spinodal.training.processes import process_count, process_rank
from spinodal.training.tasks import Collator


@torch.no_grad()
def held_out_loss(model: Any, samples: Samples, batch: int, collate: Collator) -> float:
    """-sum log p(token) / number of tokens predicted, over all samples; the model's mode is kept.

    Each process takes its share of the batches; one that has a batch less computes its first again and does not count
    it, since processes that share weights compute together.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = [list(range(at, min(at + batch, len(samples)))) for at in range(0, len(samples), batch)]
    total, count = 0.0, 0
    mine = batches[process_rank() :: process_count()]
    again = math.ceil(len(batches) / process_count()) - len(mine)
    loader = DataLoader(samples, batch_sampler=[*mine, *batches[:again]], collate_fn=collate)
    for i, items in enumerate(loader):
        inputs = {name: value.to(device) for name, value in items.items()}
        loss = float(model(**inputs, scored_only=True, num_items_in_batch=1).loss)
        if i < len(mine):
            total += loss
            count += int((model.targets(inputs["labels"]) != IGNORED).sum())
    model.train(training)
    if process_count() > 1:
        sums = torch.tensor([total, count], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        total, count = sums.tolist()
    return total / count
