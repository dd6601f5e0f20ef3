"""Causal mixers before one gate: retention, attention, and the other linear mixers, with SwiGLU.

Claim: none; mixers are measured at equal size and at equal time
Paper: shazeer2020
Command: spinodal compare mixers
Minutes: 15
Expected: at equal parameters 3.669 nats a token with retention and with gated linear attention, 3.675 with attention,
    3.679 with phase memory, 3.681 with a minimal GRU, 3.689 with convolutions, each to three deviations over seeds, at
    the rates that each chose of nine pairs; docs/results.md has equal time, where convolutions are ahead
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

MATRIX_RATES = {
    "attention": 32e-4, "gated-linear": 64e-4, "phase-memory": 32e-4, "min-gru": 64e-4, "convolution": 32e-4,
}  # fmt: skip
RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        {"channel": "swiglu"},
        Schedule(steps=400, batch=8, lr=32e-3, matrix_lr=64e-4),
        parameters=568_672,
    ),
    rivals={name: {"mixer": name, "matrix_lr": rate} for name, rate in MATRIX_RATES.items()},
)

EXPECTED = {
    "equal parameters: mixers: held_out_loss": (3.651, 3.687),
    "equal parameters: attention: held_out_loss": (3.642, 3.708),
    "equal parameters: gated-linear: held_out_loss": (3.633, 3.705),
    "equal parameters: phase-memory: held_out_loss": (3.649, 3.709),
    "equal parameters: min-gru: held_out_loss": (3.648, 3.714),
    "equal parameters: convolution: held_out_loss": (3.665, 3.713),
}  # means over five seeds, three of their deviations wide
