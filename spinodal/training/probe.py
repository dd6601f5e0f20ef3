"""A probe of a trained model: phase fractions of a held-out sentence and cosines of tokens, layer by layer.

Of an encoder-decoder it is the encoder that is probed.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from spinodal.data import MaskedWindows, Samples
from spinodal.mixers.base import PhaseMixer
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.observables import cosine_histogram, mean_cosine
from spinodal.training.prepared import PreparedData
from spinodal.training.records import Probe
from spinodal.watch import record

TOKENS = 32  # of the sentence whose phases are shown
BINS = 40


@torch.no_grad()
def probe_model(model: SpinodalPreTrainedModel, data: PreparedData) -> Probe:
    """Phase fractions and cosines of a model's tokens on the first held-out samples."""
    network: Any = model.eval().cpu().base_model
    network = getattr(network, "encoder", network)
    contexts = probe_contexts(data.held_out)
    seen: list[list | None] = [None] * len(network.blocks)

    def keep(layer: int):
        def hook(mixer: PhaseMixer, args: tuple):
            seen[layer] = mixer.phase_fractions(*args)[0, :TOKENS].tolist()

        return hook

    hooks = [
        module.register_forward_pre_hook(keep(layer))
        for layer, block in enumerate(network.blocks)
        for module in block.modules()
        if isinstance(module, PhaseMixer)
    ]
    trajectory = record(network, contexts, layers=list(network.blocks))
    for hook in hooks:
        hook.remove()
    shown = contexts["input_ids"][0, :TOKENS].tolist()
    return Probe(
        tokens=[str(data.tokenizer.decode([token])) if data.tokenizer else str(token) for token in shown],
        phase_fractions=seen if any(seen) else None,
        cosine_edges=torch.linspace(-1, 1, BINS + 1).tolist(),
        cosine_counts=cosine_histogram(trajectory, BINS).sum(1).tolist(),
        mean_cosine=mean_cosine(trajectory).mean(-1).tolist(),
    )


def probe_contexts(samples: Samples) -> dict[str, Tensor]:
    """The first eight samples as a model reads them, without the masks of masked language modelling."""
    count = min(8, len(samples))
    if isinstance(samples, MaskedWindows):
        length = samples.masking.length
        whole = torch.from_numpy(samples.tokens[: count * length].astype("int64"))
        return {"input_ids": whole.unflatten(0, (-1, length))}
    batch = default_collate([samples[i] for i in range(count)])
    return {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
