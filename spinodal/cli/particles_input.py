"""What a simulation of the command line starts from: options and files, checked before any work."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.cli.particles import Simulation
from spinodal.errors import InputError
from spinodal.flows.engines.field import check
from spinodal.flows.engines.span import reduced
from spinodal.flows.fields import AttentionField, Head, scheme
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, Layers, Noisy

ROOM = 2**28  # bytes of frames
DECADES = 30  # that a consensus may take, for which there must be room
PER_DECADE = 8
GOLDEN = math.pi * (3 - math.sqrt(5))


@dataclass
class Prepared:
    """All that a simulation needs, checked. Tokens x = c B where the span is smaller than the space."""

    simulation: Simulation
    field: AttentionField
    c: Float[np.ndarray, "n r"]
    B: Float[np.ndarray, "r d"] | None
    weights: Float[np.ndarray, " n"]
    method: Adaptive | Layers | Noisy
    saves: Callable[[], Iterable[float]]

    @property
    def n(self) -> int:
        return len(self.c)


def prepared(s: Simulation) -> Prepared:
    """InputError for whatever is wrong with the options and files, before any work."""
    if s.seed < 0:
        raise InputError(f"--seed {s.seed}: must be 0 or more")
    heads = heads_of(s)
    kappa = math.inf if s.noise is None else s.noise
    field = AttentionField(
        s.beta, s.field, heads, s.causal, scheme(s.normalisation, s.parameter), kappa, engine=s.engine
    )
    x = started(s, field.d)
    weights = np.full(len(x), 1 / len(x)) if s.weights is None else loaded("--weights", s.weights)
    if weights.shape != x.shape[:1]:
        raise InputError(f"--weights have shape {weights.shape}: {len(x)} tokens need ({len(x)},)")
    check(x, weights)
    if s.end == CONSENSUS and field.noise > 0:
        raise InputError("--until consensus with --noise: noise keeps tokens apart for ever; give a time")
    if s.end == CONSENSUS and s.repulsive:
        raise InputError("--until consensus with --repulsive: tokens that spread do not meet; give a time")
    c, B = reduced(x) if field.in_span and len(x) < x.shape[1] else (x, None)
    field(0.0, State(c, np.ones(len(c))), weights)
    return Prepared(s, field, c, B, weights, method_of(s, field), saves_of(s, x))


def heads_of(s: Simulation) -> tuple[Head, ...]:
    """A head of each matrix along the first axis of three; matrices with two axes are shared."""
    files = {"--q": s.q, "--k": s.k, "--v": s.v}
    matrices = [np.ones(()) if file is None else loaded(name, file) for name, file in files.items()]
    if s.repulsive:
        matrices[2] = -matrices[2]
    counts = {len(m) for m in matrices if m.ndim == 3}
    if len(counts) > 1:
        raise InputError(f"--q, --k and --v are of different numbers of heads: {sorted(counts)}")
    heads = counts.pop() if counts else 1
    each = [m if m.ndim == 3 else np.broadcast_to(m, (heads, *m.shape)) for m in matrices]
    return tuple(Head(*(m[h] if m.ndim > 1 else float(m[h]) for m in each)) for h in range(heads))


def loaded(option: str, file: str) -> Float[np.ndarray, "..."]:
    """The array of a .npy file, in double precision."""
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{option} {file}: not an array that can be read ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{option} {file}: an array of real numbers is needed, as np.save writes it")
    return np.array(array, np.float64, order="C")


def started(s: Simulation, width: int | None) -> Float[np.ndarray, "n d"]:
    """The tokens at t = 0: unit vectors."""
    named = s.start in ("uniform", "orthonormal", "lattice")
    if named:
        n, d = 64 if s.n is None else s.n, s.d or width or 3
        if n < 2 or d < 2 or s.d == 0:
            raise InputError(
                f"n = {n}, d = {d if s.d != 0 else 0}: at least two tokens, on spheres of R^2 and above"
            )
        x = {
            "uniform": lambda n, d: sphere.uniform(n, d, s.seed),
            "orthonormal": orthonormal,
            "lattice": lattice,
        }[s.start](n, d)
    else:
        x = loaded("--start", s.start)
        if x.ndim != 2 or len(x) < 2:
            raise InputError(f"--start {s.start} has shape {x.shape}: tokens [n d], at least two, are needed")
        for name, asked, found in zip("nd", (s.n, s.d), x.shape, strict=True):
            if asked not in (None, found):
                raise InputError(f"--{name} {asked}, but --start {s.start} has {name} = {found}")
        try:
            x = sphere.normalised(x) if s.normalise else as_given(x)
        except InputError as fault:
            raise InputError(f"--start {s.start}: {fault}") from None
    if not 0 <= s.perturb < math.inf:
        raise InputError(f"--perturb {s.perturb}: a size >= 0")
    if s.perturb > 0:
        x = sphere.normalised(x + s.perturb * np.random.default_rng([s.seed, 1]).standard_normal(x.shape))
    return x


def as_given(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Unit vectors as they were written, off by the rounding of a file at most."""
    unit = sphere.normalised(x)
    off = np.abs(sphere.lengths(x) - 1)
    if off.max() > 1e-6:
        i = int(np.argmax(off > 1e-6))
        raise InputError(f"token {i} has length {sphere.lengths(x)[i]:.8g}, not 1: --normalise scales it")
    return unit


def orthonormal(n: int, d: int) -> Float[np.ndarray, "n d"]:
    if n > d:
        raise InputError(f"--start orthonormal: n = {n} tokens need d >= {n}, and d = {d}")
    return np.eye(d)[:n].copy()


def lattice(n: int, d: int) -> Float[np.ndarray, "n d"]:
    """Equal angles on the circle; on S^2 the spiral of Fibonacci."""
    i = np.arange(n)
    if d == 2:
        angle = 2 * np.pi * i / n
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    if d == 3:
        z = 1 - (2 * i + 1) / n
        return sphere.normalised(
            np.stack([np.cos(GOLDEN * i), np.sin(GOLDEN * i), z / np.sqrt(1 - z * z)], 1)
        )
    raise InputError(f"--start lattice: there is one for d = 2 and 3, not for d = {d}")


def method_of(s: Simulation, field: AttentionField) -> Adaptive | Layers | Noisy:
    if s.clock not in ("ode", "layer"):
        raise InputError(f"--clock {s.clock!r} is none of ode, layer")
    if s.clock == "layer":
        return Layers(0.1 if s.step is None else s.step, s.seed)
    if field.noise > 0:
        return Noisy(0.01 if s.step is None else s.step, s.seed)
    if s.step is not None:
        raise InputError(
            f"--step {s.step:g}: the ode clock chooses its steps by --tol; steps are for layers and noise"
        )
    return Adaptive(s.tol)


def saves_of(s: Simulation, x: Float[np.ndarray, "n d"]) -> Callable[[], Iterable[float]]:
    """The times to keep, as often as they are asked for; fewer where they would not fit."""
    most = ROOM // x.nbytes
    if s.frames < 2:
        raise InputError(f"--frames {s.frames}: at least the start and the end")
    if s.save_times not in (None, "log"):
        times = loaded("--save-times", str(s.save_times))
        if times.ndim != 1 or not (
            np.isfinite(times).all() and (times >= 0).all() and (np.diff(times) > 0).all()
        ):
            raise InputError(f"--save-times {s.save_times}: increasing times >= 0 are needed")
        if len(times) > most:
            raise InputError(
                f"--save-times: {len(times)} frames take more than {ROOM >> 20} MiB; {most} would fit"
            )
        return lambda: times.tolist()
    if s.end == CONSENSUS or s.save_times == "log":
        rate = min(PER_DECADE, most // DECADES)
        if rate < 1:
            return lambda: ()
        first = 0.01 * (math.exp(-s.beta) if s.field == "usa" else 1.0)
        return lambda: (first * 10 ** (k / rate) for k in itertools.count())
    return lambda: np.linspace(0, s.end, max(2, min(s.frames, most)))[1:].tolist()
