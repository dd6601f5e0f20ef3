"""Prints the checksum of a simulation by every engine: what must not depend on the number of threads."""

import hashlib
import sys

import numpy as np

from spinodal import flows, sphere
from spinodal.flows.engines.law import law

# n and d are so large that each loop of the engine is cut into parts
ENGINES = {
    "direct": [(1100, 2), (1100, 3), (300, 5)],
    "attention": [(300, 2), (530, 5), (300, 64)],
    "circle": [(40_000, 2)],
    "sphere": [(1200, 3)],
    "harmonics": [(2100, 4)],
    "lowrank": [(9000, 5)],
    "span": [(150, 400)],
    "hardmax": [(300, 6)],
}
LARGE = {"sphere": [(230_000, 3)], "circle": [(300_000, 2)], "direct": [(9000, 3)]}


def tokens(n: int, d: int):
    """Clusters with uneven weights."""
    random = np.random.default_rng(n)
    centres, weights = sphere.uniform(4, d, 1), random.uniform(0.5, 1.5, n)
    x = centres[random.integers(0, 4, n)] + 0.02 * random.standard_normal((n, d))
    return sphere.normalise(x), weights / weights.sum()


def checksum(*arrays) -> str:
    return hashlib.md5(b"".join(np.ascontiguousarray(part).tobytes() for part in arrays)).hexdigest()


def lines(cases):
    """The name of each case with the checksums of two answers, and where n is small those of a simulation."""
    for name, sizes in cases.items():
        for n, d in sizes:
            x, w = tokens(n, d)
            beta = np.inf if name == "hardmax" else 4.0
            found = {checksum(*parts) for parts in [answer(name, x, w, beta) for _ in range(2)]}
            if n < 2000:
                field = flows.AttentionField(beta=beta, engine=name)
                run = flows.evolve(
                    flows.Simulation(field, flows.TokenStart(x), until=0.2, weights=w, times=3)
                )
                end = run.final
                parts = (run.tokens, [run.error_bound], [end.mean_cosine], [end.smallest_cosine])
                yield f"{name} n={n} d={d}, simulated", *map(checksum, parts)
            yield f"{name} n={n} d={d}", *sorted(found)


def answer(name, x, w, beta):
    engine = flows.ENGINES[name]
    mean = engine.mean(flows.Kernel(beta), x, w)
    drift = None if engine.hard else engine(x, w, law("sa", beta))
    return (*(mean or ()), *(drift or ()))


if __name__ == "__main__":
    for line in lines(LARGE if "large" in sys.argv else ENGINES):
        print(*line)
