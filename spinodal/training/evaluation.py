"""How well a model predicts what it was not trained on."""

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

    Each process takes its share of the batches.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = [list(range(at, min(at + batch, len(samples)))) for at in range(0, len(samples), batch)]
    total, count = 0.0, 0
    for items in DataLoader(
        samples, batch_sampler=batches[process_rank() :: process_count()], collate_fn=collate
    ):
        inputs = {name: value.to(device) for name, value in items.items()}
        total += float(model(**inputs, scored_only=True, num_items_in_batch=1).loss)
        count += int((model.targets(inputs["labels"]) != IGNORED).sum())
    model.train(training)
    if process_count() > 1:
        sums = torch.tensor([total, count], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        total, count = sums.tolist()
    return total / count
