"""What is pinned of models: configurations by name, and the numbers of a state dict and of outputs.

A configuration is the flat dictionary that `config.json` holds, read as a file would be, so that a pin needs no
table of the package.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spinodal import models
from spinodal.errors import InputError

DATA = Path(__file__).parent / "data"
FILE = DATA / "models.json"
SHAPE: dict[str, Any] = {
    "vocab_size": 30, "width": 8, "depth": 2, "heads": 2, "mixer": "retention", "channel": "competition", "hidden": 4,
    "phases": 3, "reactions": 2, "pathway": "none", "reading": "token", "fused": False, "kernel": 4, "length": 8,
    "encoder_mixer": "retention", "cross": "attention", "source_length": 9, "flow_steps": 4, "coupling": "sin",
    "threshold": 0.0, "block_size": 0, "top_blocks": 4, "dense_steps": 0, "levels": 1, "initializer_range": 0.02,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3,
}  # fmt: skip
CLASSES = {
    "plain": "SpinodalModel",
    "masked": "SpinodalForMaskedLM",
    "causal": "SpinodalForCausalLM",
    "seq2seq": "SpinodalForSeq2SeqLM",
    "sequence": "SpinodalForSequenceClassification",
    "tokens": "SpinodalForTokenClassification",
}
REACTIVE = {"phases": 2, "reactions": 1}
BLOCKS = {"mixer": "graph", "block_size": 2, "top_blocks": 1}
CHANGES: dict[str, dict[str, Any]] = {
    **{f"mixer {name}": {"mixer": name} for name in (
        "attention", "retention", "gated-linear", "phase-memory", "min-gru", "triangular", "toeplitz", "convolution",
        "graph",
    )},
    **{f"channel {name}": {"channel": name} for name in (
        "swiglu", "driving-force", "competition", "partition", "literal", "dense",
    )},
    **{f"{channel}, pathway {name}": REACTIVE | {"channel": channel, "pathway": name}
       for channel in ("partition", "literal", "dense") for name in ("I", "II", "III")},
    **{f"reading {name}": {"channel": "partition", "reading": name} for name in ("feature", "flat")},
    **{f"dense, reading {name}": {"channel": "dense", "reading": name} for name in ("token", "feature", "flat")},
    "transformer": {"mixer": "attention", "channel": "swiglu", "kernel": 0},
    "no token mixer": {"mixer": "none", "channel": "partition"},
    "fused": {"fused": True},
    "fused partition": REACTIVE | {"fused": True, "channel": "partition", "mixer": "attention", "pathway": "III"},
    "no convolution": {"kernel": 0},
    "untied": {"tie_word_embeddings": False},
    "graph, series": {"mixer": "graph", "coupling": "sin(y) - 0.2*sin(2*y)", "flow_steps": 2},
    "graph, identity": {"mixer": "graph", "coupling": "identity", "flow_steps": 1},
    "graph, threshold": {"mixer": "graph", "threshold": 0.1, "channel": "swiglu"},
    "graph, blocks": BLOCKS,
    "graph, blocks, dense at first": BLOCKS | {"dense_steps": 3},
    "graph, levels": {"mixer": "graph", "levels": 2, "block_size": 2},
    "graph, three levels": {"mixer": "graph", "levels": 3, "block_size": 2, "channel": "partition"},
}  # fmt: skip
READS = {
    **{f"cross {name}": {"cross": name} for name in ("attention", "static")},
    **{f"encoder {name}": {"encoder_mixer": name} for name in ("attention", "toeplitz", "graph")},
    "fused, static": {"fused": True, "cross": "static", "mixer": "gated-linear"},
    "transformer": {"mixer": "attention", "channel": "swiglu", "encoder_mixer": "attention"},
    "partition": REACTIVE | {"channel": "partition", "pathway": "II"},
}
CASES = {
    **{f"masked, {name}": ("masked", change) for name, change in CHANGES.items()},
    **{f"causal, {name}": ("causal", change) for name, change in CHANGES.items()},
    **{f"seq2seq, {name}": ("seq2seq", change) for name, change in READS.items()},
    **{f"{kind}, plain": (kind, {}) for kind in ("plain", "sequence", "tokens")},
}


def build(kind: str, change: dict[str, Any], *, seed: int = 0) -> Any:
    """The model of a flat configuration, made at a seed, in evaluation mode."""
    flat = SHAPE | change | ({"num_labels": 3} if kind in ("sequence", "tokens") else {})
    config = models.SpinodalConfig.from_dict(
        flat | ({"is_encoder_decoder": True} if kind == "seq2seq" else {})
    )
    torch.manual_seed(seed)
    return getattr(models, CLASSES[kind])(config).eval()


def inputs(kind: str) -> dict[str, Tensor]:
    """Two rows of eight tokens, the end of the second one padding, and labels where the class has a loss."""
    ids = torch.tensor([[5, 9, 3, 14, 29, 7, 7, 21], [4, 28, 3, 11, 6, 19, 0, 0]])
    given = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    labels = ids.roll(3, 1).masked_fill(ids == 0, -100)
    if kind == "sequence":
        return given | {"labels": torch.tensor([2, 0])}
    if kind == "tokens":
        return given | {"labels": torch.where(labels < 0, labels, labels % 3)}
    return given | ({} if kind == "plain" else {"labels": labels})


def checksum(x: Tensor) -> list[float]:
    """Sum, sum of squares, a sum weighted by cosines of the index, and the first three values."""
    y = x.detach().double().flatten()
    weights = torch.cos(torch.arange(len(y), dtype=torch.float64))
    numbers = [y.sum(), (y * y).sum(), (y * weights).sum(), *y[:3]]
    return [float(f"{float(value):.9g}") for value in numbers]


def measured(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    """Names, shapes and checksums of the state at seed 0; outputs, residuals, loss and the size of the gradient."""
    try:
        model = build(kind, change)
    except InputError:
        return {"refused": True}
    state = [[name, list(value.shape), checksum(value)] for name, value in model.state_dict().items()]
    torch.manual_seed(1)
    out = model(**inputs(kind), output_residuals=True)
    found: dict[str, Any] = {"state": state, "output": checksum(out[0] if kind == "plain" else out.logits)}
    if kind == "causal":
        found["valid"] = checksum(out.logits[inputs(kind)["attention_mask"].bool()])
    residuals = getattr(out, "residuals", None) or {}
    found["residuals"] = {name: float(value.detach()) for name, value in sorted(residuals.items())}
    if kind != "plain":
        out.loss.backward()
        slopes = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
        found |= {"loss": out.loss.item(), "gradient": float(torch.stack(slopes).sum().sqrt())}
    return found


def pins() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


# Saved folders: kind, configuration
SAVED = {
    "masked": ("masked", REACTIVE | {"channel": "partition", "pathway": "III", "depth": 1}),
    "causal": ("causal", {"mixer": "gated-linear", "depth": 1}),
    "causal-graph": ("causal", BLOCKS | {"depth": 1, "channel": "swiglu"}),
    "seq2seq": ("seq2seq", {"cross": "static", "depth": 1, "encoder_mixer": "attention"}),
}


def stirred(model: Any) -> Any:
    """The model with noise on every parameter, so that its outputs tell much about each of them."""
    torch.manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


def saved_logits(kind: str, model: Any) -> Tensor:
    with torch.no_grad():
        return model(**inputs(kind)).logits


def lines(found: dict[str, Any]) -> Iterator[str]:
    """JSON with a case a line."""
    rows = [
        f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in found.items()
    ]
    yield "{\n" + ",\n".join(rows) + "\n}\n"
