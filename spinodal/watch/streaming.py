"""One batch of texts through many layers, in memory that does not grow with their number."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.errors import InputError
from spinodal.watch.iteration import NUMBERS, Iteration, kept_frames
from spinodal.watch.layer_map import LayerMap
from spinodal.watch.lyapunov import Tangents
from spinodal.watch.pairs import NAMES, pair_statistics
from spinodal.watch.resolution import relative_distance
from spinodal.watch.returns import REST, Return, Window, nearest_return

TURNS = 256  # the last layers, which tangents are carried through; their first quarter is theirs to turn in
PLACES = [NAMES.index(name) for name in ("clusters", "mean_cosine", "effective_rank")]


@dataclass(frozen=True, eq=False)
class Batch:
    """What was measured of one batch, where it ended, and the kept tokens of its first text."""

    numbers: Float[np.ndarray, "b r k"]
    growths: Float[np.ndarray, "t b"]
    returns: list[Return]
    rested: int | None
    end: Float[Tensor, "b n d"]
    frames: list[Float[Tensor, "n d"]]


@torch.no_grad()
def follow(
    layer: LayerMap,
    x: Float[Tensor, "b n d"],
    valid: Bool[Tensor, "b n"],
    experiment: Iteration,
    rows: Int[np.ndarray, " r"],
    count: Callable[[int], None],
) -> Batch:
    """One batch through all layers. The tangents run at the end, or once the tokens rest."""
    h, depth = experiment.step, experiment.depth
    numbers, window = np.full((len(x), len(rows), len(NUMBERS)), np.nan), Window()
    wanted, kept = {int(layer): i for i, layer in enumerate(rows)}, set(kept_frames(depth))
    tangents, rested, frames = Tangents(x, valid, experiment.seed), None, list[Tensor]()
    moved = np.zeros(len(x))
    for k in range(depth + 1):
        window.add(x)
        if k in kept:
            frames.append(x[0, valid[0]].clone())
        moving = rested is None
        carried = k >= max(depth // 2, depth - TURNS) or not moving
        y = tangents.step(layer, x, h) if carried else layer.step(x, h)
        moved = relative_distance(y, x, valid)
        if not np.isfinite(moved).all():
            raise InputError(
                f"layer {k + 1} of the iteration returns tokens that are not finite: lower `step`",
                field="step",
            )
        if (row := wanted.get(k)) is not None:
            numbers[:, row] = _measure(x, valid, moved, experiment.epsilon)
        rested = k if moving and moved.max() < REST * min(h, 1) else rested
        count(1)
        if rested is not None and len(tangents.growths) >= TURNS // 2:
            count(depth - k)
            break
        x = y if k < depth else x
    last = np.flatnonzero(np.isfinite(numbers[0, :, 0])).max()
    numbers[:, last + 1 :] = _measure(x, valid, moved, experiment.epsilon)[:, None]  # at rest since
    frames += [x[0, valid[0]].clone()] * (len(kept) - len(frames))
    growths = np.stack(tangents.growths)
    settled = growths[len(growths) // 4 :]  # the tangent turns first
    returns = [nearest_return(window.frames(i, there)) for i, there in enumerate(valid)]
    return Batch(numbers, settled, returns, rested, x, frames)


def _measure(
    x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"], moved: Float[np.ndarray, " b"], epsilon: float
) -> Float[np.ndarray, "b k"]:
    cosines = [cosine_numbers(one[None], there, epsilon)[0] for one, there in zip(x, valid, strict=True)]
    return np.concatenate([np.stack(cosines), moved[:, None]], axis=1)


def group_counter(epsilon: float) -> Callable[[Float[Tensor, "n d"]], int]:
    """A function of tokens [n d] that counts their groups, of cosines of at least 1 - epsilon."""

    def count(x: Float[Tensor, "n d"]) -> int:
        return int(cosine_numbers(x[None], torch.ones(len(x), dtype=torch.bool), epsilon)[0, 0])

    return count


def cosine_numbers(
    frames: Float[Tensor, "t n d"], valid: Bool[Tensor, " n"], epsilon: float
) -> Float[np.ndarray, "t k"]:
    """Groups, mean cosine and effective rank of the tokens of one text at each frame."""
    return pair_statistics(frames, {"text": valid}, 1.0, epsilon)["text"].numbers[:, PLACES]
