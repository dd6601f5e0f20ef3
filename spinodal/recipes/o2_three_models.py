"""Three trained models side by side: an encoder, a decoder, and an encoder-decoder that hears.

Claim: in trained models tokens draw together and part again, none collapses, and the energy does not always rise
Paper: glpr2023
Command: spinodal draw o2-three-models
Minutes: 4
Expected: under 2% of pairs above .9 at every end; last mean cosine .34 (MiniLM), .59 (SmolLM2), .38 and .15 (Whisper's
    encoder and decoder), to .01; the energy falls in most inputs at 0 of 6, 12 of 30, 3 of 6 and 4 of 6 layers. Quick,
    ALBERT at 12 and 24 layers: last mean cosine .1 to .3, with random weights above .5
"""

import shutil
import subprocess
from pathlib import Path

from transformers import AutoFeatureExtractor

from spinodal import figures
from spinodal.data import fetch_model
from spinodal.errors import InputError
from spinodal.figures import observation as drawn
from spinodal.figures import save_picture
from spinodal.report.observation import write_comparison
from spinodal.runs import open_run
from spinodal.watch import (
    ObservationComparison,
    ObservationResult,
    Question,
    observe_model,
    open_model,
    sound_batches,
    sound_of,
    text_batches,
    without_trajectory,
)

LAST = {  # of each stack: mean cosine, and layers at which the energy falls
    "minilm": (0.34, 0),
    "smollm2": (0.59, 12),
    "whisper-base, encoder": (0.38, 3),
    "whisper-base, decoder": (0.15, 4),
}
FALLS = "layers at which the energy falls in most inputs"
EXPECTED = (
    {f"{name}: pairs above .9": (0.0, 0.02) for name in LAST}
    | {f"{name}: mean cosine, last": (cosine - 0.01, cosine + 0.01) for name, (cosine, _) in LAST.items()}
    | {f"{name}: {FALLS}": (falls, falls) for name, (_, falls) in LAST.items()}
)
EXPECTED_QUICK = {
    f"ALBERT, {depth} layers: {what}": interval
    for depth in (12, 24)
    for what, interval in {
        "pairs above .9": (0.0, 0.02),
        "mean cosine, last": (0.1, 0.3),
        "mean cosine, random weights": (0.5, 1.0),
    }.items()
}

# lines of Shakespeare
LINES = (
    "Shall I compare thee to a summer's day? Thou art more lovely and more temperate.",
    "Rough winds do shake the darling buds of May, and summer's lease hath all too short a date.",
    "When, in disgrace with fortune and men's eyes, I all alone beweep my outcast state.",
    "Let me not to the marriage of true minds admit impediments.",
    "Love is not love which alters when it alteration finds, or bends with the remover to remove.",
    "My mistress' eyes are nothing like the sun; coral is far more red than her lips' red.",
    "Like as the waves make towards the pebbled shore, so do our minutes hasten to their end.",
    "That time of year thou mayst in me behold when yellow leaves, or none, or few, do hang.",
    "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer.",
    "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day.",
    "Life's but a walking shadow, a poor player that struts and frets his hour upon the stage.",
    "It is a tale told by an idiot, full of sound and fury, signifying nothing.",
    "All the world's a stage, and all the men and women merely players.",
    "Now is the winter of our discontent made glorious summer by this sun of York.",
    "Friends, Romans, countrymen, lend me your ears; I come to bury Caesar, not to praise him.",
    "We are such stuff as dreams are made on, and our little life is rounded with a sleep.",
)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """report.html and two pictures of MiniLM, SmolLM2 and both stacks of Whisper; of ALBERT at two depths if quick."""
    if not quick:
        require_synthesizer()
    question = Question(seed=seed)
    seen = _albert(question) if quick else _three(question, out)
    write_comparison(out / "report.html", seen)
    settings = {"quick": quick}
    with open_run(
        out / "observed",
        kind="observe-compare",
        config=settings,
        seed=seed,
        overwrite=True,
        record="compare.json",
    ) as folder:
        folder.finish(
            ObservationComparison({name: without_trajectory(found) for name, found in seen.items()})
        )
    colour = figures.colours(seen)
    for name in ("mean_cosine", "energy"):
        save_picture(drawn.compared_numbers(seen, name, colour), out / f"o2-{name.replace('_', '-')}.png")
    return {
        name: {
            "mean cosine, first": result.layers[0].mean_cosine,
            "mean cosine, last": result.layers[-1].mean_cosine,
            "mean cosine, random weights": result.nulls["random-weights"].layers[-1].mean_cosine,
            "pairs above .9": result.layers[-1].mass_above[".9"],
            "effective rank, first": result.layers[0].effective_rank,
            "effective rank, last": result.layers[-1].effective_rank,
            FALLS: result.layers_of_most_falls,
            "layers": len(result.layers) - 1,
        }
        for name, result in seen.items()
    }


def _albert(question: Question) -> dict[str, ObservationResult]:
    found = {}
    for depth in (12, 24):
        subject = open_model(fetch_model("rxnmapper"), name=f"ALBERT, {depth} layers", depth=depth)
        found[subject.name] = observe_model(
            subject, text_batches(subject, ["CC(=O)O.OCC>>CC(=O)OCC"] * 2), question
        )
    return found


def _three(question: Question, out: Path) -> dict[str, ObservationResult]:
    found = {}
    for name in ("minilm", "smollm2"):
        subject = open_model(fetch_model(name), name=name)
        found[name] = observe_model(subject, text_batches(subject, LINES), question)
    subject = open_model(fetch_model("whisper-base"), name="whisper-base")
    features = AutoFeatureExtractor.from_pretrained(fetch_model("whisper-base"), trust_remote_code=False)
    batches = sound_batches(subject, [speak(line, out / "spoken.wav") for line in LINES[:8]], features)
    for stack in ("encoder", "decoder"):
        name = f"whisper-base, {stack}"
        asked = Question(stack=stack, seed=question.seed)
        found[name] = observe_model(subject._replace(name=name), batches, asked)
    return found


def require_synthesizer() -> None:
    """Raises InputError where the speech synthesizer espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        raise InputError(
            "what Whisper hears is made by espeak-ng, which is not installed: apt-get install espeak-ng"
        )


def speak(text: str, path: Path):
    """The sound of a text."""
    subprocess.run(["espeak-ng", "-w", str(path), text], check=True)
    return sound_of(path)
