"""generate: a text goes on, token by token."""

from typing import Annotated

import typer

from spinodal.cli._options import Beams, Run, Seed, Temperature, TopK, TopP


def add_to(app: typer.Typer) -> None:
    app.command("generate")(generate_command)


def generate_command(
    run: Run,
    prompt: Annotated[str, typer.Option(help="The text to go on with.")],
    tokens: Annotated[int, typer.Option(help="New tokens at most.")] = 128,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    beams: Beams = 1,
    seed: Seed = 0,
):
    """Go on with a text, token by token: `spinodal generate runs/pet-lm-seed0 --prompt "To be, or"`.

    Tokens appear as they come. With a linear mixer each costs the same, however long the text is.
    """
    from spinodal.inference import Sampling, continuation

    sampling = Sampling(temperature, top_k, top_p, beams, seed)
    text = continuation(run, prompt, tokens=tokens, sampling=sampling, stream=True)
    if beams > 1:
        print(text)
