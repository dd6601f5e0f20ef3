r"""Merging of tokens that meet to one heavier token, and the tree that keeps which tokens it stands for.

Two tokens nearer than `MERGE` that do not part are one token, at their mean by mass: an error O(beta delta^2).
Long before, a pair on its own contracts at a constant rate: with q = |x_i - x_j|^2 and f the drifts,

    lambda = -<x_i - x_j, f_i - f_j> / q,    delta(t) = delta(t_0) e^{-lambda (t - t_0)}   [derived],

and an integrator that follows it takes steps of 1 / lambda while all else stands still. So where delta is below the
capture radius rho and lambda is constant, the pair is captured: it becomes one token at once, its time of
merging is t_0 + log(delta / MERGE) / lambda, and until then the positions of its members are given by
delta(t). In one event any number of pairs is captured: those that are each other's nearest, in passes until
none is left.

    symbol  meaning                                                                  shape
    x, f    directions and drifts of the living tokens, now                          n d
    y, g    the same at the beginning of the step h that led here                    n d
    w       weights                                                                  n
"""

from typing import Any, NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from spinodal.loops import compiled, in_parts, product, use_widest_vectors

MERGE = 1e-8
TOUCHING = 1e-14  # the rounding of a few steps: nearer tokens are one, whatever their drifts seem
STEADY = 1e-6  # of a merging time, what the change of lambda may move it by
FEW = 0.01  # a pass that merges a smaller part of the tokens is the last of its event
MANY = 20000  # tokens among which few pairs are left for a later event, where their times are worked out backwards
PARTS = ("parent", "first", "halves", "offset", "rate", "born", "time")  # of a tree
BLUR = 1e-7  # to which cosines tell distances
LEAST = 20000  # pairs a thread takes at least
FEW_TOKENS = 512  # in d > 2, that are compared with all others
DENSE = 3000  # tokens in d > 3 whose distances are taken all at once

Indices = Int[np.ndarray, " k"]
Numbers = Float[np.ndarray, " k"]


class Merges(NamedTuple):
    """At each `time` the clusters of the tokens `first` and `second` merge, and `clusters` remain.

    A cluster is named by its first token.
    """

    time: Numbers
    clusters: Indices
    first: Indices
    second: Indices


class Tree:
    """Nodes 0..n-1 are the original tokens; each later node is a merged pair of nodes.

    A node lies at its parent's position plus offset e^{-rate (t - born)}, where born is the time of its capture,
    until it merges with the other half.
    """

    def __init__(self, n: int, d: int, *, unit: bool = True):
        most = 2 * n - 1
        self.unit = unit  # tokens are unit vectors
        self.n, self.edges = n, [0, n]  # of the batches in which nodes were made
        self.tokens = n  # the others, after these, are probes
        self.parent = np.full(most, -1, np.int32)
        self.first = np.arange(most, dtype=np.int32)  # the first original token of a node
        self.halves = np.zeros((most, 2), np.int32)  # the first original tokens of its two halves
        self.offset = np.zeros((most, d))
        self.rate, self.born, self.time = np.zeros(most), np.zeros(most), np.zeros(most)

    def join(
        self,
        pair: Int[np.ndarray, "k 2"],
        offsets: Float[np.ndarray, "k 2 d"],
        rate: Numbers,
        born: float,
        time: Numbers,
    ) -> Indices:
        """New nodes, whose halves meet at `time`, of pairs of nodes captured at `born`."""
        start = self.edges[-1]
        new = np.arange(start, start + len(pair), dtype=np.int32)
        self.edges.append(start + len(pair))
        for side in (0, 1):
            self.parent[pair[:, side]] = new
            self.offset[pair[:, side]] = offsets[:, side]
            self.rate[pair[:, side]], self.born[pair[:, side]] = rate, born
        self.halves[new] = np.sort(self.first[pair], 1)
        self.first[new] = self.halves[new, 0]
        self.time[new] = np.maximum(time, self.time[pair].max(1))
        return new

    def expand(
        self, living: Int[np.ndarray, " m"], x: Float[np.ndarray, "m d"], time: float
    ) -> Float[np.ndarray, "n d"]:
        """The directions of all n original tokens, from those of the living nodes."""
        place = np.empty((self.edges[-1], x.shape[1]))
        place[living] = x
        for start, stop in zip(self.edges[-2::-1], self.edges[:0:-1], strict=True):
            node = start + np.flatnonzero(self.parent[start:stop] >= 0)
            parent = self.parent[node]
            fade = np.exp(-self.rate[node] * (time - self.born[node]))
            fade[time >= self.time[parent]] = 0.0  # the difference of two late times may be lost
            place[node] = place[parent] + fade[:, None] * self.offset[node]
        place = place[: self.n]
        if self.unit:
            place /= np.sqrt(np.einsum("nd,nd->n", place, place))[:, None]
        return place

    def merges(self, until: float) -> Merges:
        """All merges of tokens until a time, in order of time."""
        node = np.arange(self.n, self.edges[-1])
        node = node[(self.time[node] <= until) & (self.halves[node, 1] < self.tokens)]
        node = node[np.argsort(self.time[node], kind="stable")]
        return Merges(self.time[node], self.tokens - 1 - np.arange(len(node)), *self.halves[node].T)


class Motion(NamedTuple):
    """Directions and drifts at the end of a step and at its beginning, the time at its end, and its size.

    At the start of a flow both ends are the same and h is 0.
    """

    x: Float[np.ndarray, "n d"]
    f: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n d"]
    g: Float[np.ndarray, "n d"]
    time: float
    h: float


class ActiveTokens:
    """The tokens of a flow that have not merged: their nodes in the tree and their weights.

    Merges or captures near pairs. On the circle tokens are kept in cyclic order, which the flow cannot change, so that
    only neighbours are compared. In more dimensions, and in the plane, distances are computed again only when tokens
    have moved far enough to be near each other. Those that are `euclidean` have any length.
    """

    def __init__(
        self,
        x: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"],
        radius: float,
        euclidean: bool = False,
    ):
        n, d = x.shape
        self.cyclic, self.unit = d == 2 and not euclidean, not euclidean
        order = np.argsort(np.arctan2(x[:, 1], x[:, 0]), kind="stable") if self.cyclic else np.arange(n)
        self.living, self.weights = order, weights[order]
        self.tree, self.radius, self.clearance = Tree(n, d, unit=self.unit), radius, 0.0

    def merge_and_capture(self, motion: Motion) -> Float[np.ndarray, "m d"] | None:
        """Merges or captures near pairs until none is left.

        Returns the new directions, or None if no pair was near.
        """
        changed = None
        while len(self.living) > 1 and self.may_be_near(motion):
            pair = self.neighbours(motion.x)
            delta, time, rate = meeting_times(pair, motion, self.radius)
            self.clearance = float(delta.min()) - BLUR
            fair = np.flatnonzero(time == time)
            fair = fair[mutual_nearest(pair[fair], delta[fair], len(self.living))]
            few = len(fair) < FEW * len(self.living)
            if len(fair) == 0 or (few and len(self.living) > MANY):
                break
            motion = self.join_pairs(pair[fair], rate[fair], time[fair], motion)
            changed = motion.x
            if few:
                break
        return changed

    @property
    def clusters(self) -> int:
        """The number of nodes that hold a token; those of probes alone do not count."""
        if self.tree.tokens == self.tree.n:
            return len(self.living)
        return int(np.count_nonzero(self.tree.first[self.living] < self.tree.tokens))

    def snapshot(self) -> dict[str, Any]:
        tree, most = self.tree, self.tree.edges[-1]
        parts = {name: getattr(tree, name)[:most] for name in PARTS}
        mine = {"living": self.living, "clearance": self.clearance, "edges": np.array(tree.edges)}
        return mine | {f"tree_{name}": part for name, part in parts.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        self.living, self.weights = saved["living"], saved["weights"]
        self.clearance, self.tree.edges = saved["clearance"].item(), saved["edges"].tolist()
        for name in PARTS:
            getattr(self.tree, name)[: self.tree.edges[-1]] = saved[f"tree_{name}"]

    def may_be_near(self, motion: Motion) -> bool:
        """Whether two tokens can be within the radius, from their least distance before and how far they have moved."""
        x, y = motion.x, motion.y
        if self.cyclic:
            return True
        self.clearance -= largest_approach(x, y)
        return self.clearance <= self.radius

    def neighbours(self, x: Float[np.ndarray, "m d"]) -> Int[np.ndarray, "k 2"]:
        """Candidate pairs [k 2]: every pair of near tokens that are each other's nearest is among them."""
        m, d = x.shape
        if self.cyclic or (m <= FEW_TOKENS and self.unit):
            pair = np.empty((m if m > 2 else 1, 2), np.int32)
            fill_nearest(x, pair)
            return pair
        token = np.arange(m, dtype=np.int32)
        if d > 3 and m <= DENSE and self.unit:
            cosine = product(x, x.T)
            cosine[token, token] = -1
            closest = np.argmax(cosine, 1)
        else:
            two = np.asarray(KDTree(x).query(x, 2)[1], np.int32)
            closest = np.where(two[:, 0] == token, two[:, 1], two[:, 0])
        return np.stack([token, closest], 1)[: m if m > 2 else 1]

    def join_pairs(
        self, pair: Int[np.ndarray, "k 2"], rate: Numbers, time: Numbers, motion: Motion
    ) -> Motion:
        """The motion with each pair replaced by its centre of mass, in the row of its first token."""
        share, mass = shares(self.weights[pair])
        keep = np.ones(len(self.weights), bool)
        keep[pair[:, 1]] = False
        row = (np.cumsum(keep) - 1)[pair[:, 0]]

        parts = []
        for part in motion[:4]:
            parts.append(part[keep])
            parts[-1][row] = np.einsum("kp,kpd->kd", share, part[pair])
        x, f, y, g = parts
        if self.unit:
            x[row] /= np.linalg.norm(x[row], axis=1, keepdims=True)
        offsets = motion.x[pair] - x[row, None]
        offsets[rate == 0] = 0.0
        node = self.tree.join(self.living[pair], offsets, rate, motion.time, time)
        self.living, self.weights = self.living[keep], self.weights[keep]
        self.living[row], self.weights[row] = node, mass
        return Motion(x, f, y, g, motion.time, motion.h)


def shares(weights: Float[np.ndarray, "k 2"]) -> tuple[Float[np.ndarray, "k 2"], Numbers]:
    """(w_i / m, m) of both tokens of each pair, m the sum of their weights; halves where m = 0."""
    mass = weights.sum(1)
    halves = np.full_like(weights, 0.5)
    return np.divide(weights, mass[:, None], out=halves, where=mass[:, None] > 0), mass


def mutual_nearest(pair: Int[np.ndarray, "k 2"], delta: Numbers, m: int) -> Int[np.ndarray, " _"]:
    """Indices of the pairs whose tokens are each other's nearest; of equal distances the first counts."""
    rank = np.empty(len(pair), np.int64)
    rank[np.lexsort((pair.max(1), pair.min(1), delta))] = np.arange(len(pair))
    best = np.full(m, len(pair))
    for side in (0, 1):
        np.minimum.at(best, pair[:, side], rank)
    return np.flatnonzero((best[pair[:, 0]] == rank) & (best[pair[:, 1]] == rank))


@compiled(fastmath={"contract"})
@no_type_check
def squared_distance(x, i, j):
    """|x_i - x_j|^2."""
    q = 0.0
    for c in range(x.shape[1]):
        q += (x[i, c] - x[j, c]) ** 2
    return q


@compiled(fastmath={"contract"})
@no_type_check
def largest_approach(x, y):
    """2 max_i |x_i - y_i|, by which two tokens have come nearer at most."""
    top = 0.0
    for i in range(len(x)):
        q = 0.0
        for c in range(x.shape[1]):
            q += (x[i, c] - y[i, c]) ** 2
        top = max(top, q)
    return 2 * np.sqrt(top)


@compiled()
@no_type_check
def fill_nearest(x, pair):
    """Pairs (token, nearest other) of the first tokens; on the circle (token, next), in cyclic order."""
    n, d = x.shape
    if d == 2:
        for i in range(len(pair)):
            pair[i, 0], pair[i, 1] = i, (i + 1) % n
        return
    s, q = np.ascontiguousarray(x.T), np.empty(n)
    for i in range(len(pair)):
        fill_squares(s, i, q)
        q[i] = np.inf
        least, closest = np.inf, 0
        for j in range(n):
            if q[j] < least:
                least, closest = q[j], j
        pair[i, 0], pair[i, 1] = i, closest


@compiled()
@no_type_check
def fill_squares(s, i, q):
    """q_j = |x_i - x_j|^2 of all tokens, from their coordinate rows."""
    use_widest_vectors()
    q[:] = 0.0
    for c in range(len(s)):
        row, centre = s[c], s[c, i]
        for j in range(q.size):
            q[j] += (row[j] - centre) * (row[j] - centre)


@compiled(fastmath={"contract"})
@no_type_check
def contraction(x, f, i, j):
    """lambda = -<x_i - x_j, f_i - f_j> / |x_i - x_j|^2, nan where the tokens coincide."""
    q = p = 0.0
    for c in range(x.shape[1]):
        r = x[i, c] - x[j, c]
        q += r * r
        p += r * (f[i, c] - f[j, c])
    return -p / q


@compiled(fastmath={"contract"})
@no_type_check
def meeting(delta, before, rates, now, h):
    """(time, rate) at which two tokens at a distance delta merge, nan while they may not.

    `before` was their distance at the beginning of the step h, and `rates` are those of approach now and then.
    """
    rate, earlier = rates
    if delta < TOUCHING or (delta <= MERGE and rate >= 0):
        part = np.log(before / MERGE) / np.log(before / delta)
        return max(now - h * (1 - min(part, 1.0)), 0.0) if abs(part) < np.inf else now, 0.0
    if delta > MERGE and rate > 0 and h > 0:
        change = abs(rate - earlier) / h / (2 * rate)
        least = (1 - MERGE / delta) / rate  # log x >= 1 - 1 / x, without a logarithm a pair
        if change * least * least <= STEADY * (now + least):
            left = np.log(delta / MERGE) / rate
            if change * left * left <= STEADY * (now + left):
                return now + left, rate
    return np.nan, 0.0


@compiled(fastmath={"contract"})
@no_type_check
def fill_meetings(pair, x, f, y, g, clock, out):
    """Fills `out` with (distance, time of meeting, rate of approach) of each pair; clock = (time, h, radius)."""
    now, h, radius = clock
    for k in range(len(pair)):
        i, j = pair[k]
        delta = np.sqrt(squared_distance(x, i, j))
        out[0, k], out[1, k], out[2, k] = delta, np.nan, 0.0
        if delta < radius:
            rates = contraction(x, f, i, j), contraction(y, g, i, j)
            before = np.sqrt(squared_distance(y, i, j))
            out[1, k], out[2, k] = meeting(delta, before, rates, now, h)


def meeting_times(
    pair: Int[np.ndarray, "k 2"], motion: Motion, radius: float
) -> tuple[Numbers, Numbers, Numbers]:
    """t_0 + log(delta / MERGE) / lambda of each pair, with its distance delta and its rate lambda  [derived].

    The time is nan for a pair that may not merge yet; the rate is 0 for one that has met.
    """
    out = np.empty((3, len(pair)))
    clock = (motion.time, motion.h, radius)
    loop = lambda start, stop: fill_meetings(pair[start:stop], *motion[:4], clock, out[:, start:stop])
    in_parts(loop, len(pair), LEAST)
    return out[0], out[1], out[2]
