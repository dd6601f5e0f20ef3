"""The start of a density from the option of `spinodal meanfield`."""

from pathlib import Path
from typing import Any

from spinodal.cli._output import given
from spinodal.cli._values import number_or_text
from spinodal.errors import InputError


def start_of(text: str | None, geometry: str, d: int | None, seed: int) -> Any:
    """uniform+noise:SIGMA, modes:FILE or density:FILE; white noise for None."""
    from spinodal.cli._arrays import read_table
    from spinodal.meanfield import WhiteNoise, circle_values, harmonics

    kind, _, value = (text or "uniform+noise").partition(":")
    sigma = number_or_text(value) if text else None
    if kind == "uniform+noise" and not isinstance(sigma, str):
        return WhiteNoise(**given(sigma=sigma), geometry=geometry, d=d, seed=seed)
    if kind == "modes":
        return harmonics(read_table(Path(value)), geometry, d)
    if kind == "density" and geometry == "circle":
        return circle_values(read_table(Path(value), columns=1)[:, 0])
    told = {
        "uniform+noise": "uniform+noise:0.01 has a number after the colon",
        "uniform": "the uniform density rests for ever; use uniform+noise:0.01 or modes:FILE",
    }.get(kind, "uniform+noise:SIGMA, modes:FILE or, on the circle, density:FILE")
    raise InputError(f"`start` {text}: {told}", field="start")
