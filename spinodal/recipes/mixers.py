"""Causal mixers before one gate: retention, attention, and the other linear mixers, with SwiGLU.

Claim: none; mixers are measured at equal size and at equal time
Paper: shazeer2020
Command: spinodal compare mixers
Minutes: 30
Expected: attention and each linear mixer below 5 nats a token of a vocabulary of 1,024 at equal parameters, a chain of
    convolutions above attention
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        {"channel": "swiglu"},
        Schedule(steps=400, batch=8, lr=8e-3),
        parameters=568_672,
    ),
    rivals={
        name: {"mixer": name}
        for name in ("attention", "gated-linear", "phase-memory", "min-gru", "convolution")
    },
)

EXPECTED = {
    f"equal parameters: {name}: held_out_loss": (3.0, 5.0)
    for name in ("mixers", "attention", "gated-linear", "phase-memory", "min-gru")
}
