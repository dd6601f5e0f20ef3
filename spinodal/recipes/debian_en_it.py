"""English to Italian, sentences of the descriptions of software: a translator of one narrow kind of text.

Claim: none; a translator is measured beside a Transformer, a copy of the source and the nearest pair trained on
Paper: qajar2024
Command: spinodal compare debian-en-it
Minutes: 120
Expected: goals, not run to the end: BLEU at least 40, 30 far from all training text, both above the nearest training
    sentence and above a copy of the source
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(
            "debian:en-it", task="translation", vocabulary=4096, length=40, source_length=32, bucket=16, scored=0,
            beams=4, baselines=True,
        ),
        {"width": 128, "depth": 3},
        Schedule(steps=4000, batch=64, lr=8e-3, decay="plateau-decay", evaluate_every=500, save_every=500),
        parameters=1_500_000,
    ),
    rivals={"transformer": {"mixer": "attention", "encoder_mixer": "attention", "channel": "swiglu"}},
)  # fmt: skip

EXPECTED = {
    "equal parameters: debian-en-it: bleu": (40.0, 100.0),
    "equal parameters: debian-en-it: far_bleu": (30.0, 100.0),
}
