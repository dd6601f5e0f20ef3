"""Small models and texts of the tests of this folder."""

from typing import Any

import torch
from torch import Tensor

from spinodal.models import SpinodalConfig

VOCABULARY = 60
TOKEN_MIXERS = (
    "attention",
    "retention",
    "gated-linear",
    "phase-memory",
    "min-gru",
    "convolution",
    "toeplitz",
)
TOKEN_MIXERS += ("triangular", "graph")
CHANNELS = ("swiglu", "driving-force", "competition", {"name": "partition", "phases": 3})


def config(**values: Any) -> SpinodalConfig:
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "width": 16,
        "depth": 2,
        "heads": 2,
        "hidden": 8,
        "length": 64,
    }
    special: dict[str, Any] = {"source_length": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return SpinodalConfig(**(shape | special | values))


def ids(b: int = 2, n: int = 12, *, seed: int = 1) -> Tensor:
    return torch.randint(3, VOCABULARY, (b, n), generator=torch.Generator().manual_seed(seed))


def model_of(kind: type, **values: Any) -> Any:
    torch.manual_seed(0)
    return kind(config(**values)).eval()
