"""spectrum: the linear theory of how a uniform density breaks up."""

from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from spinodal import theory
from spinodal.cli._defaults import default
from spinodal.cli._options import Unlimited
from spinodal.cli._output import console
from spinodal.errors import InputError
from spinodal.limits import require_at_most

THRESHOLDS = 500  # seconds
LINES = 10_000  # of a table that is read


def add_to(app: typer.Typer) -> None:
    app.command("spectrum")(spectrum_command)


def spectrum_command(
    d: Annotated[int, typer.Option(help="Tokens live on the unit sphere of R^d; 2 is the circle.")] = default(
        "meanfield.starts.CIRCLE"
    ),
    beta: Annotated[float, typer.Option(help="Inverse temperature of the kernel e^(beta <x,y>).")] = default(
        "meanfield.DensityExperiment.field.beta"
    ),
    noise: Annotated[
        float | None, typer.Option(metavar="KAPPA", help="With noise sqrt(2 / KAPPA) dW.")
    ] = None,
    degrees: Annotated[
        int | None, typer.Option(help="Show this many degrees; all that matter if not given.")
    ] = None,
    thresholds: Annotated[
        int | None,
        typer.Option(help="Print the first so many betas at which the fastest degree steps up, and stop."),
    ] = None,
    unlimited: Unlimited = False,
):
    """Growth rates about the uniform density: `spinodal spectrum --d 2 --beta 5`, `... --d 3 --thresholds 8`."""
    if thresholds is not None:
        if thresholds < 1:
            raise InputError(f"`thresholds` {thresholds}: ask for one or more", field="thresholds")
        require_at_most(THRESHOLDS, thresholds, "thresholds, each a root of a longer fraction", "thresholds")
        for k in range(1, thresholds + 1):
            console.print(f"{theory.fastest_degree_threshold(k, d):.6f}", highlight=False)
        return
    kappa = np.inf if noise is None else noise
    if not kappa > 0:
        raise InputError(f"`noise` {kappa:g}: KAPPA > 0; larger means less noise", field="noise")
    if degrees is not None and degrees < 1:
        raise InputError(f"`degrees` {degrees}: show one or more", field="degrees")
    fastest = int(theory.fastest_degree(d, beta))
    rows = 2 * fastest + 4 if degrees is None else degrees
    require_at_most(LINES, rows, "degrees that matter; `degrees` shows fewer", ("beta", "degrees"))
    k = np.arange(1, (2 * fastest + 4 if degrees is None else degrees) + 1)
    columns = {"SA": np.asarray(theory.growth_rate_sa(k, d, beta, kappa=kappa))}
    if beta <= 700:
        columns["USA"] = np.asarray(theory.growth_rate_usa(k, d, beta, kappa=kappa))
    table = Table("degree", *(f"rate {name}" for name in columns), "")
    leading = {
        name: int(k[np.argmax(rates)]) for name, rates in columns.items()
    }  # noise changes it, by field
    for i, degree in enumerate(k):
        first = [name for name, at in leading.items() if at == degree]
        note = "" if not first else "k_max" if len(first) == len(leading) else f"k_max {' '.join(first)}"
        table.add_row(str(degree), *(f"{rates[i]:.10g}" for rates in columns.values()), note)
    console.print(table)
    following = theory.fastest_degree_threshold(fastest, d)
    whose = "k_max" if noise is None else "without noise k_max"
    console.print(
        f"{whose} = {fastest} at beta = {beta:g}, d = {d}; it steps to {fastest + 1} at beta = {following:.6f}",
        highlight=False,
    )
    if noise is not None:
        noisy_lines(d, beta, kappa)


def noisy_lines(d: int, beta: float, kappa: float):
    """Thresholds of noise, and the kind of transition there."""
    critical = {"SA": theory.noise_threshold_sa(d, beta)}
    if beta <= 700:
        critical["USA"] = theory.noise_threshold(d, beta)
    for name, value in critical.items():
        state = "unstable" if kappa > value else "stable"
        console.print(
            f"{name}: the uniform density is {state} at kappa = {kappa:g}; it loses stability at {value:.10g}",
            highlight=False,
        )
    switch = theory.tricritical_beta(d)
    kind = "continuous" if beta <= switch else "a jump"
    console.print(f"USA's transition there is {kind}: continuous up to beta = {switch:.6f}", highlight=False)
