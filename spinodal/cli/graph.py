"""Tokens on a graph: energies, their equilibria, and what becomes of them."""

import typer

from spinodal.cli._graph_continue import continue_command
from spinodal.cli._graph_equilibria import equilibria_command
from spinodal.cli._graph_flow import flow_command
from spinodal.cli._graph_stability import stability_command
from spinodal.cli._output import renamed

OPTIONS = {
    "parameters": "set",
    "stiffness": "anchor",
    "first": "from",
    "last": "to",
}  # of fields named otherwise

group = typer.Typer(help=__doc__, no_args_is_help=True)
for name, command in {
    "equilibria": equilibria_command,
    "flow": flow_command,
    "continue": continue_command,
    "stability": stability_command,
}.items():
    group.command(name)(renamed(**OPTIONS)(command))


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="graph")
