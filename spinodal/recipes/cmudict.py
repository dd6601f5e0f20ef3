"""English spelling to phonemes: an encoder-decoder that says how a word is pronounced.

Claim: none; errors on words that were not trained on are measured beside a Transformer's, at equal size and time
Paper: qajar2024
Command: spinodal compare cmudict
Minutes: 60
Expected: at equal parameters 9.6 in 100 phonemes and 36.3 in 100 words wrong with four beams, 30.7 without stress,
    against the nearest of all pronunciations of a word; of the transformer 9.7, 36.4 and 31.0; each to three deviations
    over seeds, at the rate that each chose of three
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(
            "cmudict", task="translation", tokenizer="characters", target_tokenizer="words", length=24,
            source_length=24, bucket=16, scored=0, beams=4,
        ),
        {"width": 128, "depth": 3},
        Schedule(steps=4000, batch=64, lr=8e-3, warmup=0.05, decay="plateau-decay", evaluate_every=500, save_every=500),
        parameters=1_300_000,
    ),
    rivals={"transformer": {"mixer": "attention", "encoder_mixer": "attention", "channel": "swiglu"}},
)  # fmt: skip

EXPECTED = {
    "equal parameters: cmudict: symbol_error": (0.0954, 0.0972),
    "equal parameters: cmudict: text_error": (0.352, 0.375),
    "equal parameters: cmudict: unstressed_error": (0.295, 0.319),
    "equal parameters: transformer: symbol_error": (0.0927, 0.1017),
    "equal parameters: transformer: text_error": (0.354, 0.375),
    "equal parameters: transformer: unstressed_error": (0.305, 0.314),
}  # means over three seeds, three of their deviations wide
