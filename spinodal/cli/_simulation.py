"""A simulation from the options of `spinodal simulate`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spinodal.arrays import read_array
from spinodal.cli._defaults import default
from spinodal.cli._output import console, given, renamed
from spinodal.cli._values import end_time
from spinodal.errors import InputError

DRAWN = (
    "beta", "field", "n", "d", "q", "k", "v", "feed_forward", "rotations", "pulls", "resample", "positions", "source",
    "share", "causal", "repulsive", "start", "normalise", "weights",
)  # fmt: skip
# options that a trained layer leaves no room for


def simulation_of(asked: Any) -> Any:
    """The simulation that the options of `spinodal simulate`, as attributes, describe."""
    from spinodal.flows import PerturbedStart, Simulation, named_method

    kept = asked.save_times
    kept = kept if kept in (None, "log") else read_array(kept, option="save_times")
    check_origin(asked)
    with renamed(**simulation_options(asked.v is not None, kept is not None)):
        field, start = drawn_field(asked) if asked.origin is None else trained_field(asked)
        return Simulation(
            field,
            PerturbedStart(start, asked.perturb, asked.seed) if asked.perturb else start,
            end_time(asked.until),
            named_method(
                asked.clock,
                step=asked.step,
                tolerance=asked.tol,
                seed=asked.seed,
                noisy=asked.noise is not None,
            ),
            None if asked.weights is None else read_array(asked.weights, option="weights"),
            asked.frames if kept is None else kept,
            probes_of(asked.probes),
        )


def shared_parts(asked: Any) -> dict[str, Any]:
    """The parts of a field that are options of any one: scheme, noise and engine."""
    from spinodal.flows.fields import scheme

    kappa = math.inf if asked.noise is None else asked.noise
    return {"scheme": scheme(asked.normalisation, asked.parameter), "kappa": kappa, "engine": asked.engine}


def drawn_field(asked: Any) -> tuple[Any, Any]:
    """(field, start) of named matrices and tokens."""
    from spinodal.flows import AttentionField

    parts = field_parts(
        (asked.q, asked.k, asked.v), asked_dimension(asked.d, asked.start), repulsive=asked.repulsive,
        feed_forward=asked.feed_forward, drive=(asked.rotations, asked.pulls),
        layer=layer_of(asked.resample, asked.clock, asked.step), positions=asked.positions,
        source=(asked.source, asked.share),
    )  # fmt: skip
    field = AttentionField(asked.beta, asked.field, causal=asked.causal, **shared_parts(asked), **parts)
    return field, token_start(asked.start, asked.n, asked.d, field, asked.seed, asked.normalise)


def trained_field(asked: Any) -> tuple[Any, Any]:
    """(field, start) of a trained layer's attention, and of the tokens that it reads."""
    from spinodal.flows import TokenStart
    from spinodal.watch import layer_field

    found = layer_field(asked.origin, asked.layer, text=asked.text or "")
    console.print(
        f"layer {asked.layer} of {asked.origin}: {len(found.field.heads)} heads, {len(found.tokens)} tokens; the "
        f"field is the layer's own attention to {found.error:.1e}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return replace(found.field, **shared_parts(asked)), TokenStart(found.tokens)


def check_origin(asked: Any) -> None:
    """InputError for a layer or a text without --from, and for an option that --from leaves no room for."""
    if asked.origin is None:
        for name in ("layer", "text"):
            if getattr(asked, name) is not None:
                raise InputError(
                    f"`{name}` is of a trained layer: say of which model with `from`", field=(name, "from")
                )
        return
    if asked.layer is None:
        raise InputError(f"`from` {asked.origin}: say which `layer`, 1 the first", field=("from", "layer"))
    usual = {"beta": default("flows.AttentionField.beta"), "field": default("flows.AttentionField.kind")}
    usual["start"] = default("flows.named_start.name")
    for name in DRAWN:
        value = getattr(asked, name)
        if not (value is None or value is False or value == usual.get(name)):
            raise InputError(
                f"`{name}` with `from`: the layer has its own; leave it out", field=(name, "from")
            )


def simulation_options(v_given: bool, times_given: bool) -> dict[str, str]:
    """The option of each field of a simulation that is called otherwise on the command line."""
    return {
        "tolerance": "tol", "kappa": "noise", "kind": "field", "size": "perturb", "queries": "q", "keys": "k",
        "values": "v" if v_given else "repulsive", "tau": "parameter", "alpha": "parameter",
        "times": "save_times" if times_given else "frames",
    }  # fmt: skip


def matrix_heads(q: str | None, k: str | None, v: str | None, repulsive: bool, d: int | None) -> Any:
    """The heads of these matrices, as files or texts, the identity where there is none; V = -V where tokens repel."""
    from spinodal.flows import stack_heads
    from spinodal.flows.fields.matrices import matrices_of

    Q, K, V = matrices_of(tuple(1.0 if text is None else text for text in (q, k, v)), d)
    return stack_heads(Q, K, -V if repulsive else V)


def field_parts(
    matrices: tuple[str | None, str | None, str | None],
    d: int,
    *,
    repulsive: bool,
    layer: float | None,
    feed_forward: str | None,
    drive: tuple[str | None, str | None],
    positions: str | None,
    source: tuple[str | None, float | None],
) -> dict[str, Any]:
    """Heads, or their law where every `layer` has its own, and what is beside them, of these texts and files."""
    from spinodal.flows import Drive, Resampled, named_feed_forward, named_positions

    if layer is None:
        parts: dict[str, Any] = {"heads": matrix_heads(*matrices, repulsive, d)}
    elif repulsive:
        raise InputError(
            "`repulsive` with `resample`: give values of the other sign", field=("repulsive", "resample")
        )
    else:
        texts = ("scaled:1" if text is None else text for text in matrices)
        parts = {"depth": Resampled(d, *texts, period=layer)}
    if feed_forward is not None:
        parts["feed_forward"] = named_feed_forward(feed_forward, d)
    arrays = [
        None if file is None else read_array(file, option=option)
        for option, file in zip(("rotations", "pulls"), drive, strict=True)
    ]
    if any(array is not None for array in arrays):
        parts["drive"] = Drive(*arrays)
    if positions is not None:
        parts["positions"] = named_positions(positions)
    return parts | source_parts(*source, parts)


def source_parts(file: str | None, share: float | None, parts: dict[str, Any]) -> dict[str, Any]:
    """The source of a file, and the heads that are left beside it: those of `parts` read it unless it has a share."""
    from spinodal.flows import named_source

    if file is None:
        if share is not None:
            raise InputError(f"`share` {share:g}: of a `source`, which is missing", field=("share", "source"))
        return {}
    if share is not None:
        return {"source": named_source(file, share=share)}
    for part in ("depth", "positions"):
        if part in parts:
            option = "resample" if part == "depth" else part
            raise InputError(
                f"`source` in the place of each other, with `{option}`: tokens that do not read each other have none; "
                "give a `share`",
                field=("source", option, "share"),
            )
    return {"heads": (), "source": named_source(file, heads=parts["heads"])}


def layer_of(resample: bool, clock: str, step: float | None) -> float | None:
    """The step of a layer where its weights are its own; InputError on another clock."""
    if not resample:
        return None
    if clock != "layer":
        raise InputError(
            f"`resample` draws weights anew in every layer: take `clock` layer, not {clock}",
            field=("resample", "clock"),
        )
    return default("flows.Layers.step") if step is None else step


def asked_dimension(d: int | None, start: str) -> int:
    """The d of the tokens, for matrices that leave it open: --d, that of the file of --start, or the default."""
    from spinodal.flows.starts import names_start

    if d is None and not names_start(start):
        return read_array(start).shape[-1]
    return default("flows.named_start.d") if d is None else d


def probes_of(text: str | None) -> Any:
    """The number of --probes, or the array of its file."""
    if text is None:
        return None
    return int(text) if text.isdecimal() else read_array(text, option="probes")


def token_start(
    text: str,
    n: int | None,
    d: int | None,
    field: Any,
    seed: int,
    normalise: bool,
) -> Any:
    """The start that --start names, or of the tokens in its file."""
    from spinodal.flows import named_start
    from spinodal.flows.starts import names_start

    if names_start(text):
        with renamed(size="start"):
            return named_start(text, **given(n=n, d=field.d if d is None else d), seed=seed)
    return given_tokens(text, n, d, normalise, field.euclidean)


def given_tokens(file: str, n: int | None, d: int | None, normalise: bool, euclidean: bool) -> Any:
    """The tokens of a file; InputError where they are not as many, or not as wide, as was asked."""
    from spinodal.flows import PointStart, TokenStart

    read = read_array(file)
    for name, asked, found in zip("nd", (n, d), read.shape, strict=False):
        if asked not in (None, found):
            raise InputError(
                f"`{name}` {asked}, but `start` {file} has {name} = {found}", field=(name, "start")
            )
    try:
        return PointStart(read) if euclidean and not normalise else TokenStart(read, normalise)
    except InputError as error:
        raise InputError(str(error).replace("`start`", f"`start` {file}", 1), field=error.fields) from None


def require_equal_weights(observables: Sequence[str], weights: str | None) -> None:
    """InputError for an observable that is not known, and for any where tokens have weights."""
    from spinodal.observables import observables_named

    observables_named(observables)
    if observables and weights is not None:
        raise InputError(
            "`observables` count all tokens alike: leave out `weights`", field=("observables", "weights")
        )


def require_kind_of_movie(movie: str | None) -> None:
    """InputError for a kind of movie that is not written."""
    if movie not in (None, "gif"):
        raise InputError(f"`movie` {movie}: gif is the one kind", field="movie")


def require_movie_and_digits(simulation: Any, *, movie: str | None, certify: bool) -> None:
    """InputError where tokens of this dimension have no movie, or a run no digits to certify."""
    from spinodal.flows.certainty import finer_simulation

    if movie and simulation.field.euclidean:
        raise InputError(f"`movie` {movie}: of tokens on the sphere, not in R^d", field="movie")
    if movie and simulation.d not in (2, 3):
        raise InputError(f"`movie` {movie}: for d = 2 and 3, not for d = {simulation.d}", field="movie")
    if certify:
        with renamed(tolerance="tol", method="clock"):
            finer_simulation(simulation)
