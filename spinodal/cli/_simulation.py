"""A simulation from the options of `spinodal simulate`."""

from typing import Any

from spinodal.cli._arrays import read_array
from spinodal.errors import InputError


def simulation_options(v_given: bool, times_given: bool) -> dict[str, str]:
    """The option of each field of a simulation that is called otherwise on the command line."""
    return {
        "tolerance": "tol", "kappa": "noise", "kind": "field", "size": "perturb", "queries": "q", "keys": "k",
        "values": "v" if v_given else "repulsive", "tau": "parameter", "alpha": "parameter",
        "times": "save_times" if times_given else "frames",
    }  # fmt: skip


def matrix_heads(q: str | None, k: str | None, v: str | None, repulsive: bool) -> Any:
    """The heads of the matrices in these files, the identity where there is none; V = -V where tokens repel."""
    from spinodal.flows import stack_heads

    files = {"q": q, "k": k, "v": v}
    matrices: list[Any] = [
        1.0 if file is None else read_array(file, option=name) for name, file in files.items()
    ]
    return stack_heads(matrices[0], matrices[1], -matrices[2] if repulsive else matrices[2])


def token_start(
    text: str, n: int | None, d: int | None, width: int, seed: int, normalise: bool, perturb: float
) -> Any:
    """The start that --start names, or of the tokens in its file; moved where `perturb` is not 0."""
    from spinodal.flows import NAMED_STARTS, PerturbedStart, named_start

    if text in NAMED_STARTS:
        begin = named_start(text, 64 if n is None else n, width if d is None else d, seed)
    else:
        begin = given_tokens(text, n, d, normalise)
    return PerturbedStart(begin, perturb, seed) if perturb else begin


def given_tokens(file: str, n: int | None, d: int | None, normalise: bool) -> Any:
    """The tokens of a file; InputError where they are not as many, or not as wide, as was asked."""
    from spinodal.flows import TokenStart

    given = read_array(file)
    for name, asked, found in zip("nd", (n, d), given.shape, strict=False):
        if asked not in (None, found):
            raise InputError(
                f"`{name}` {asked}, but `start` {file} has {name} = {found}", field=(name, "start")
            )
    try:
        return TokenStart(given, normalise)
    except InputError as error:
        raise InputError(str(error).replace("`start`", f"`start` {file}", 1), field=error.fields) from None


def flow_method(clock: str, step: float | None, tol: float, seed: int, *, noisy: bool) -> Any:
    """The clock of a simulation: its own steps for ode, layers, or steps for a field with noise."""
    from spinodal.flows import Adaptive, Layers, Noisy

    if clock not in ("ode", "layer"):
        raise InputError(f"`clock` {clock!r} is none of ode, layer", field="clock")
    if clock == "layer":
        return Layers(0.1 if step is None else step, seed)
    if noisy:
        return Noisy(0.01 if step is None else step, seed)
    if step is not None:
        raise InputError(
            f"`step` {step:g}: the ode clock chooses its steps by `tol`; steps are for layers and noise",
            field=("step", "tol"),
        )
    return Adaptive(tol)
