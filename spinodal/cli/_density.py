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


def reference_of(text: str | None, geometry: str, d: int | None) -> Any:
    """uniform, dirac:X,Y,..., modes:FILE, or tokens of a file; None for None."""
    import numpy as np

    from spinodal.arrays import read_array
    from spinodal.cli._arrays import read_table
    from spinodal.cli._values import number
    from spinodal.meanfield import harmonics
    from spinodal.meanfield.starts import dimension

    if text is None:
        return None
    kind, _, value = text.partition(":")
    if text == "uniform":
        return harmonics(np.array([[1.0, 0.0, 0.0][: 2 if geometry == "zonal" else 3]]), geometry, d)
    if kind == "modes":
        try:
            return harmonics(read_table(Path(value)), geometry, d)
        except InputError as error:
            raise InputError(str(error).replace("`start`", "`reference`"), field="reference") from None
    if kind == "dirac":
        point = np.array([number("reference", part) for part in value.split(",")])
        if len(point) != dimension(geometry, d) or not np.linalg.norm(point) > 0:
            raise InputError(
                f"`reference` {text}: a direction of {dimension(geometry, d)} numbers, not all 0",
                field="reference",
            )
        return (point / np.linalg.norm(point))[None]
    if text.endswith(".npy"):
        return read_array(text, option="reference")
    raise InputError(
        f"`reference` {text}: uniform, dirac:X,Y, modes:FILE, or tokens [m d] as .npy", field="reference"
    )
