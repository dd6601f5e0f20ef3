"""Conversion of the labels of checkpoints of format 1 to those of the `Simulation` that they describe.

A label of format 1 holds the options of the command, the n and d of the tokens, and "files", the SHA-256 of
the contents of all files that these options name, in the order of `FILES`.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.experiment import Simulation, named_method
from spinodal.flows.fields import AttentionField, scheme
from spinodal.flows.fields.heads import stack_heads
from spinodal.flows.starts import NAMED_STARTS, PerturbedStart, TokenStart, named_start
from spinodal.runs import encode

FILES = ("q", "k", "v", "start", "weights", "save_times")  # options that may name a file, as they were hashed


def current_label(label: object) -> object:
    """The label in the current format, the JSON of the simulation; one in that format is returned unchanged.

    InputError where a file that a label of format 1 names is missing or has changed, or an option is missing.
    """
    if not isinstance(label, Mapping) or "files" not in label:
        return label
    check_files(label)
    try:
        return encode(simulation_of(label))[0]
    except KeyError as missing:
        raise InputError(
            f"the checkpoint was written by an earlier version, which did not say {missing}: it cannot be resumed; "
            "`overwrite` starts it again",
            field="overwrite",
        ) from None


def simulation_of(label: Mapping[str, Any]) -> Simulation:
    """The simulation that the options in a label of format 1 describe."""
    names = {option: label[option] for option in FILES}
    noisy, seed = label["noise"] is not None, label["seed"]
    heads = [1.0 if names[option] is None else matrix(names[option]) for option in ("q", "k", "v")]
    field = AttentionField(
        label["beta"],
        label["field"],
        stack_heads(heads[0], heads[1], -heads[2] if label["repulsive"] else heads[2]),
        label["causal"],
        scheme(label["normalisation"], label["parameter"]),
        label["noise"] if noisy else math.inf,
        engine=label["engine"],
    )
    if names["start"] in NAMED_STARTS:
        start = named_start(names["start"], label["n"], label["d"], seed)
    else:
        start = TokenStart(matrix(names["start"]), label["normalise"])
    times = names["save_times"]
    return Simulation(
        field,
        PerturbedStart(start, label["perturb"], seed) if label["perturb"] else start,
        math.inf if label["until"] == "consensus" else float(label["until"]),
        named_method(label["clock"], step=label["step"], tolerance=label["tol"], seed=seed, noisy=noisy),
        None if names["weights"] is None else matrix(names["weights"]),
        label["frames"] if times is None else times if times == "log" else matrix(times),
    )


def matrix(file: str) -> Float[np.ndarray, "..."]:
    """The array of a .npy file, in double precision."""
    return np.array(np.load(file, allow_pickle=False), np.float64, order="C")


def check_files(label: Mapping[str, Any]) -> None:
    """InputError unless all files that a label names exist with the contents of its SHA-256."""
    told = {name: label[name] for name in FILES if label.get(name) is not None}
    plain = {name for name, file in told.items() if file in (*NAMED_STARTS, "log")}
    files = [Path(file) for name, file in told.items() if name not in plain]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(
            f"the checkpoint was begun with {', '.join(missing)}, which is not there: run the command where it was, "
            "or `overwrite` starts it again",
            field="overwrite",
        )
    content = b"".join(file.read_bytes() for file in files)
    if hashlib.sha256(content).hexdigest() != label["files"]:
        raise InputError(
            f"the checkpoint was begun with other contents of {', '.join(map(str, files))}: `overwrite` starts anew",
            field="overwrite",
        )
