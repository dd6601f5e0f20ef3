"""list: the recipes, what they found of the papers since, the observables, or the mixers."""

from typing import Annotated

import typer
from rich.table import Table

from spinodal.cli._output import console
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_command)


def list_command(
    what: Annotated[
        str | None, typer.Argument(help="recipes (if not given), papers, observables or mixers.")
    ] = None,
    papers: Annotated[bool, typer.Option("--papers", help="The same as `list papers`.")] = False,
):
    """List the recipes, each with its claim, its command and how long it takes; or papers, observables or mixers.

    `spinodal list papers` shows the papers since the sources: claim, command, and each number expected and found;
    `spinodal list observables` names the numbers that `simulate --observables` and `observe --observables` take;
    `spinodal list mixers` the mixers of a model, each with the options that it reads and what it reports.
    """
    if papers and what not in (None, "papers"):
        raise InputError(f"list {what} --papers: one of the two", field="papers")
    what = "papers" if papers else what or next(iter(TABLES))
    if what not in TABLES:
        raise InputError(f"list {what}: one of {', '.join(TABLES)}")
    console.print(TABLES[what]())


def recipe_table() -> Table:
    from spinodal import recipes

    table = Table("recipe", "claim", "command", "minutes")
    for name in recipes.names():
        header = recipes.header(name)
        table.add_row(name, header["Claim"], header["Command"].rpartition(" ")[0], header["Minutes"])
    return table


def paper_table() -> Table:
    from rich.console import Group
    from rich.table import Column

    from spinodal import recipes
    from spinodal.cli._expected import interval, number

    columns = Column("arXiv", min_width=10), "claim", "number, expected, found"
    table = Table(*columns, show_lines=True)
    for name in recipes.paper_names():
        module, header = recipes.module(name), recipes.header(name)
        paper, bounds = module.PAPER, recipes.expected_intervals(module)
        rows = Table.grid(padding=(0, 2))
        for what, (value, error) in paper.found.items():
            found = number(float(value)) if error is None else f"{value:.4g} ± {error:.1g}"
            rows.add_row(what, interval(*bounds[what]), found)
        claim = f"{header['Claim']}\n{header['Command']}, {header['Minutes']} minutes"
        source = "\n".join((*paper.arxiv, f"read: {paper.read}"))
        notes = [f"seed {paper.seed}, {paper.date}"]
        if paper.differs:
            notes.append(f"differs: {paper.differs}")
        table.add_row(source, claim, Group(rows, *notes))
    return table


def observable_table() -> Table:
    from spinodal.observables import OBSERVABLES

    table = Table("observable", "what it is", "what its course tells")
    for name, entry in OBSERVABLES.items():
        table.add_row(name, entry.label, entry.reading)
    return table


def mixer_table() -> Table:
    from spinodal.mixers.registry import ENTRIES

    table = Table("mixer", "what it is", "options", "reports")
    for entry in ENTRIES.values():
        options = [f"{o.name}={o.default}: {o.meaning}" for o in entry.options.values()]
        reports = ", ".join((*entry.residuals, *entry.measures))
        table.add_row(f"{entry.kind}={entry.name}", entry.summary, "\n".join(options), reports)
    return table


TABLES = {
    "recipes": recipe_table,
    "papers": paper_table,
    "observables": observable_table,
    "mixers": mixer_table,
}
