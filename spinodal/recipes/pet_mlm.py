"""A Phase Equilibria encoder learns to fill masked words of Shakespeare beside a strong Transformer.

Claim: phases in competition behind a linear mixer, beside attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-mlm
Minutes: 5
Expected: at equal parameters 3.542 nats a masked token, 3.535 of the transformer, 3.524 of linear-swiglu, each to
    three deviations over seeds: a tie of all three
Conclusion: A few seeds of one text claim no difference in loss beyond these verdicts. Where the linear mixer earns its
    place is length: a token costs the same at 8,192 tokens as at 128 in training, and at 32,768 in generation, from a
    state of constant size (docs/benchmarks.md).
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(vocabulary=1024),
        schedule=Schedule(steps=400, batch=8, lr=8e-3),
    ),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu"},
    },
)

EXPECTED = {
    "equal parameters: pet-mlm: held_out_loss": (3.50, 3.59),
    "equal parameters: transformer: held_out_loss": (3.48, 3.59),
    "equal parameters: linear-swiglu: held_out_loss": (3.47, 3.58),
}  # means over three seeds, three of their deviations wide
