r"""Scores of fixed positions, added to those of the tokens: b <Q x_i, K x_j> + B_ij.

    kernel     B_ij                          of
    distance   -s |p_i - p_j|                ALiBi, under a causal mask with p_i = i
    gaussian   -s |p_i - p_j|^2 / 2          a Gaussian e^B of width 1 / sqrt(s)
    product    s <p_i, p_j>                  auxiliary coordinates, that scores read and nothing moves
    matrix     s p_ij                        any scores; -inf where token i does not read token j

Tokens in one place with different positions read with different weights: they part, and do not merge.

    symbol  meaning                                                    shape
    p       positions, 0, 1, ..., n - 1 if not given; or the matrix    n k, or n n and h n n
    s       strength, one for all heads or one for each                or h
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spinodal.arrays import read_array, real_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Number, Scores
from spinodal.flows.fields.depth import Piecewise
from spinodal.flows.names import require_known
from spinodal.limits import NUMBERS, require_at_most
from spinodal.loops import product

if TYPE_CHECKING:
    from spinodal.flows.fields.composed import AttentionField

KERNELS = ("distance", "gaussian", "product", "matrix")
LARGEST = 1e300  # score, whose sums with others doubles still hold


@dataclass(frozen=True, eq=False)
class Positions:
    """B_ij of fixed positions, by which attention is e^{b <Q x_i, K x_j> + B_ij} / Z_i  [derived].

    The part of the scores that does not flow: `kernel` names the function of two positions, as above, `strength` s
    scales it, for all heads or for each of h [h], and `places` are the positions [n k] or [n], 0 to n - 1 if not given;
    for "matrix" they are B itself, [n n], or [h n n] for h heads. InputError for what does not fit, and for a negative
    strength of "distance" and "gaussian".

    >>> from spinodal import flows
    >>> flows.Positions("distance", 0.5).scores(3).values.tolist()
    [[-0.0, -0.5, -1.0], [-0.5, -0.0, -0.5], [-1.0, -0.5, -0.0]]
    """

    kernel: str = "distance"  # "distance", "gaussian", "product" or "matrix"
    strength: Number | Float[np.ndarray, "..."] = 1.0  # s, or one for each head
    places: Float[np.ndarray, "..."] | None = None  # positions of tokens, or the matrix

    def __post_init__(self) -> None:
        require_known("kernel", self.kernel, KERNELS)
        s = real_array(self.strength, "strength")
        least = 0.0 if self.kernel in ("distance", "gaussian") else -np.inf
        if s.ndim > 1 or s.size == 0 or not np.isfinite(s).all() or not (s >= least).all():
            raise InputError(
                f"`strength` {self.strength}: a finite number, or one for each head; {self.kernel} takes "
                f"{'numbers >= 0' if least == 0 else 'either sign'}",
                field="strength",
            )
        object.__setattr__(self, "strength", s if s.ndim else float(s))
        if self.places is not None:
            object.__setattr__(self, "places", self.checked_places())
            self.require_scores()
            stack = self.places.shape[:-2]
            if s.ndim and stack and s.shape != stack:
                raise InputError(
                    f"`strength` is for {len(s)} heads, `places` for {stack[0]}", field=("strength", "places")
                )
        elif self.kernel in ("product", "matrix"):
            raise InputError(f"`places`: the kernel {self.kernel!r} needs them", field=("places", "kernel"))

    def checked_places(self) -> Float[np.ndarray, "..."]:
        """Positions [n k], or the matrix [n n] or [h n n]; InputError for others."""
        p = real_array(self.places, "places")
        if self.kernel == "matrix":
            fair = p.ndim in (2, 3) and p.shape[-1] == p.shape[-2] and (p < np.inf).all()  # that is, no NaN
            if fair and np.isneginf(p).any() and not (np.asarray(self.strength) > 0).all():
                raise InputError(
                    "`strength`: scores of -inf have a strength above 0", field=("strength", "places")
                )
            if fair and not np.isfinite(p).any((-2, -1)).all():
                raise InputError(
                    "`places`: where all scores of `positions` are -inf no token is read; give one that is finite",
                    field="places",
                )
            wanted = "scores [n n] or [h n n], finite or -inf"
        else:
            p = p[:, None] if p.ndim == 1 else p
            fair, wanted = p.ndim == 2 and np.isfinite(p).all(), "finite positions [n k] or [n]"
        if not fair or p.size == 0:
            raise InputError(f"`places` of shape {p.shape}: {wanted} are needed", field="places")
        return p

    def require_scores(self) -> None:
        """InputError where a score, the strength times a function of places, leaves doubles."""
        assert self.places is not None
        p = np.abs(self.places[np.isfinite(self.places)])
        largest, power = p.max(initial=0.0), {"matrix": 1, "distance": 1}.get(self.kernel, 2)
        with np.errstate(over="ignore"):
            bound = np.abs(self.strength).max() * (2 * largest) ** power * self.places.shape[-1]
        if not bound < LARGEST:
            raise InputError(
                f"`strength` {self.strength}: with `places` up to {largest:.3g} scores leave doubles; lower it",
                field=("strength", "places"),
            )

    @property
    def n(self) -> int | None:
        """The number of tokens, None where positions are their indices."""
        return None if self.places is None else self.places.shape[-1 if self.kernel == "matrix" else 0]

    @property
    def heads(self) -> int | None:
        """The number of heads, None where all have the same scores."""
        if isinstance(self.strength, np.ndarray):
            return len(self.strength)
        return None if self.places is None or self.places.ndim < 3 else len(self.places)

    def of_head(self, h: int) -> "Positions":
        """The scores of one head."""
        return self if self.heads is None else self.each[h]

    @cached_property
    def each(self) -> tuple["Positions", ...]:
        """The scores of every head."""
        s = np.broadcast_to(self.strength, (self.heads or 1,)).tolist()
        p = self.places
        return tuple(
            replace(self, strength=s[h], places=p[h] if p is not None and p.ndim == 3 else p)
            for h in range(len(s))
        )

    @property
    def top(self) -> float:
        """The largest B_ij, or a bound on it."""
        return self.largest_score

    @cached_property
    def largest_score(self) -> float:
        if self.kernel in ("distance", "gaussian"):
            return 0.0
        assert self.n is not None
        return float(self.scores(self.n).values.max())

    @property
    def symmetric(self) -> bool:
        """Whether B_ij = B_ji."""
        if self.kernel != "matrix":
            return True
        assert self.places is not None
        return np.array_equal(self.places, np.swapaxes(self.places, -1, -2))

    def scores(self, n: int) -> Scores:
        """B [n n] of n tokens, for one head. InputError for another n, and for more numbers than the limit."""
        if self.n not in (None, n):
            raise InputError(f"`positions` are for {self.n} tokens, here are {n}", field="positions")
        require_at_most(NUMBERS, n * n, "scores of pairs", "positions")
        if n not in self.kept:
            self.kept.clear()
            B = float(self.strength) * self.unscaled(n)
            self.kept[n] = Scores(B, float(np.abs(B, where=np.isfinite(B), out=np.zeros_like(B)).max()))
        return self.kept[n]

    @cached_property
    def kept(self) -> dict[int, Scores]:
        """The scores that were asked for last."""
        return {}

    def unscaled(self, n: int) -> Float[np.ndarray, "n n"]:
        if self.kernel == "matrix":
            return np.ascontiguousarray(self.places)
        p = np.arange(float(n))[:, None] if self.places is None else self.places
        if self.kernel == "product":
            return product(p, p.T)
        square = np.zeros((n, n))
        for column in p.T:  # by differences, which lose no digits
            square += (column[:, None] - column) ** 2
        return -np.sqrt(square) if self.kernel == "distance" else -square / 2


def named_positions(text: str) -> Positions:
    """The positions of "KERNEL:S", "KERNEL:S:FILE" or "FILE".

    S is the strength, or one a head with commas between them; FILE.npy holds positions [n k], which "product" needs,
    and on its own the matrix of scores. InputError names what is wrong.

    >>> from spinodal import flows
    >>> flows.named_positions("gaussian:0.1").strength
    0.1
    """
    kernel, colon, rest = text.partition(":")
    if not colon or kernel not in KERNELS[:-1]:
        if text.endswith(".npy"):
            return positions_of(text, "matrix", 1.0, read_array(text, option="positions"))
        raise InputError(
            f"`positions` {text}: distance:S, gaussian:S, product:S:FILE of positions [n k], or scores [n n], as .npy",
            field="positions",
        )
    numbers, _, file = rest.partition(":")
    try:
        strength = [float(part) for part in numbers.split(",")]
    except ValueError:
        raise InputError(
            f"`positions` {text}: {numbers!r} is no strength, nor one a head", field="positions"
        ) from None
    places = read_array(file, option="positions") if file else None
    return positions_of(text, kernel, strength[0] if len(strength) == 1 else np.array(strength), places)


def positions_of(text: str, *parts: Any) -> Positions:
    """Positions of these parts; its InputError names the text that they were read from."""
    try:
        return Positions(*parts)
    except InputError as error:
        said = str(error).replace("`places`", f"`positions` {text}", 1)
        raise InputError(said, field=("positions", *error.fields)) from None


def check_positions(field: "AttentionField") -> None:
    """InputError for positions and prompts that the other parts of a field have no meaning for."""
    if field.hard and field.positions is not None:
        raise InputError(
            f"`positions` with `beta` {field.beta}: finite scores are nothing beside infinite ones; take a large beta",
            field=("positions", "beta"),
        )
    if field.hard and field.prompt is not None:
        raise InputError(
            f"`share` with `beta` {field.beta}: at infinite beta masses do not count; leave out `share`, so that the "
            "source is read by itself",
            field=("share", "beta"),
        )
    depth = field.depth
    stacks = depth.stacks if isinstance(depth, Piecewise) else (depth.heads(0.0) if depth else field.heads,)
    counts = {len(heads) for heads in stacks}
    wanted = None if field.positions is None else field.positions.heads
    if wanted is not None and counts != {wanted}:
        raise InputError(
            f"`positions` are for {wanted} heads, the field has {', '.join(map(str, sorted(counts)))}",
            field=("positions", "heads"),
        )
