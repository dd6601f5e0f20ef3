"""generate: a text goes on, token by token."""

from typing import Annotated

import typer

from spinodal.cli._defaults import default
from spinodal.cli._options import Beams, Run, Seed, Temperature, TopK, TopP, Unlimited
from spinodal.limits import ROWS, require_at_most

BEAMS = 1000  # texts at once


def add_to(app: typer.Typer) -> None:
    app.command("generate")(generate_command)


def generate_command(
    run: Run,
    prompt: Annotated[str, typer.Option(help="The text to go on with.")],
    tokens: Annotated[int, typer.Option(help="New tokens at most.")] = default(
        "inference.continuation.tokens"
    ),
    temperature: Temperature = default("inference.Sampling.temperature"),
    top_k: TopK = default("inference.Sampling.top_k"),
    top_p: TopP = default("inference.Sampling.top_p"),
    beams: Beams = default("inference.Sampling.beams"),
    seed: Seed = default("inference.Sampling.seed"),
    unlimited: Unlimited = False,
):
    """Go on with a text, token by token: `spinodal generate runs/pet-lm-seed0 --prompt "To be, or"`.

    Tokens appear as they come. With a linear mixer each costs the same, however long the text is.
    """
    from spinodal.inference import Sampling, continuation

    require_at_most(ROWS, tokens, "tokens", "tokens")
    require_at_most(BEAMS, beams, "beams", "beams")
    sampling = Sampling(temperature, top_k, top_p, beams, seed)
    text = continuation(run, prompt, tokens=tokens, sampling=sampling, stream=True)
    if beams > 1:
        print(text)
