"""English spelling to phonemes: an encoder-decoder that says how a word is pronounced.

Claim: none; errors on words that were not trained on are measured beside a Transformer's, at equal size and time
Paper: qajar2024
Command: spinodal compare cmudict
Minutes: 70
Expected: goals, not run to the end: at most 10 in 100 phonemes and 38 in 100 words wrong, against the nearest of all
    pronunciations of a word
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
    "equal parameters: cmudict: symbol_error": (0.0, 0.1),
    "equal parameters: cmudict: text_error": (0.0, 0.38),
}
