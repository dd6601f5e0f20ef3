"""A Phase Equilibria encoder learns to fill masked words of Shakespeare beside a strong Transformer.

Claim: phases in competition behind a linear mixer, beside attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-mlm
Minutes: 5
Expected: at equal parameters 4.153 nats a masked token, 3.972 of the transformer, 3.913 of linear-swiglu, each to
    three deviations over seeds: a result against us, with that at equal time in docs/results.md
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(vocabulary=1024),
        schedule=Schedule(steps=400, batch=8, lr=8e-3, optimizer="adamw-one-rate"),
    ),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu"},
    },
)

EXPECTED = {
    "equal parameters: pet-mlm: held_out_loss": (4.09, 4.22),
    "equal parameters: transformer: held_out_loss": (3.91, 4.04),
    "equal parameters: linear-swiglu: held_out_loss": (3.84, 3.98),
}  # means over three seeds, three of their deviations wide
