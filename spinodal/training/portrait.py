"""A portrait of a trained encoder: where one held-out sentence goes in its phases and its layers."""

import torch
from transformers import PreTrainedTokenizerBase

from spinodal.data import MaskedWindows
from spinodal.mixers.base import PhaseMixer
from spinodal.models import SpinodalForMaskedLM
from spinodal.observables import cosine_histogram, mean_cosine
from spinodal.probes import record

TOKENS = 32  # of the sentence whose phases are shown
BINS = 40


@torch.no_grad()
def portrait(model: SpinodalForMaskedLM, tokenizer: PreTrainedTokenizerBase, windows: MaskedWindows) -> dict:
    """Phase fractions [layer][token][phase] of one sentence; cosines of tokens by layer over eight contexts.

    A layer without phases has None for its fractions; layer 0 of the cosines is the embedding.
    """
    model = model.eval().cpu()
    length = windows.masking.length
    whole = min(8, len(windows)) * length
    contexts = torch.from_numpy(windows.tokens[:whole].astype("int64")).unflatten(0, (-1, length))
    seen: list[list | None] = [None] * len(model.model.blocks)

    def keep(layer: int):
        def hook(mixer: PhaseMixer, args: tuple):
            seen[layer] = mixer.phase_fractions(*args)[0, :TOKENS].tolist()

        return hook

    hooks = [
        module.register_forward_pre_hook(keep(layer))
        for layer, block in enumerate(model.model.blocks)
        for module in block.modules()
        if isinstance(module, PhaseMixer)
    ]
    trajectory = record(model, {"input_ids": contexts}, layers=list(model.model.blocks))
    for hook in hooks:
        hook.remove()
    return {
        "tokens": [tokenizer.decode([token]) for token in contexts[0, :TOKENS].tolist()],
        "phase_fractions": seen if any(seen) else None,
        "cosine_edges": torch.linspace(-1, 1, BINS + 1).tolist(),
        "cosine_counts": cosine_histogram(trajectory, BINS).sum(1).tolist(),
        "mean_cosine": mean_cosine(trajectory).mean(-1).tolist(),
    }
