"""The moving picture of README and of the site's first page: `python tools/hero.py` writes docs/hero.gif.

160 tokens on the sphere under SA at beta = 12, from a uniform start until one cluster is left, in the colours of the
clusters in which they pause. Frames are equal steps of the tokens' movement, so that waits that grow exponentially take
no longer.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spinodal import flows
from spinodal.figures.globe import dots, globe, trails, view_rotation
from spinodal.figures.movies import write_movie
from spinodal.figures.particles import COLOURS
from spinodal.figures.style import MUTED, styled
from spinodal.observables import cluster_labels

OUT = Path(__file__).parent.parent / "docs" / "hero.gif"
N, BETA, SEED, FRAMES, TAIL = 160, 12.0, 4, 110, 9
PAUSE = 20.0  # a time at which clusters are formed and wait


def at_equal_movement(times: np.ndarray, tokens: np.ndarray, frames: int) -> np.ndarray:
    """Indices of times between which tokens move about equally far, the root mean square over tokens."""
    way = np.append(0, np.cumsum(np.sqrt(np.square(np.diff(tokens, axis=0)).sum(-1).mean(-1))))
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], frames)))


@styled
def main() -> None:
    simulation = flows.Simulation(
        flows.AttentionField(BETA), flows.UniformStart(N, 3, seed=SEED), flows.CONSENSUS
    )
    end = flows.evolve(simulation).merge_time[-1]
    times = np.concatenate([np.linspace(0, PAUSE, 800)[1:-1], np.geomspace(PAUSE, 1.2 * end, 6000)])
    fine = flows.Simulation(simulation.field, simulation.start, until=1.2 * end, times=times)
    run = flows.evolve(fine)
    labels = cluster_labels(run.trajectory, 0.02)[:, 0].numpy()
    pause = labels[np.searchsorted(run.times, PAUSE)]
    chosen = at_equal_movement(run.times, run.tokens, FRAMES)
    t, x = run.times[chosen], run.tokens[chosen]
    count = labels[chosen].max(1) + 1
    R = view_rotation(x[-1].mean(0), tilt=0.7)

    def frame(k: int) -> Figure:
        figure = Figure(figsize=(6.4, 3.2))
        sphere, curve = figure.add_axes((0, 0, 0.5, 1)), figure.add_axes((0.57, 0.17, 0.4, 0.68))
        globe(sphere, R)
        for cluster in np.unique(pause):
            own = pause == cluster
            colour = COLOURS[cluster % len(COLOURS)]
            trails(sphere, x[max(k - TAIL, 0) : k + 1, own] @ R.T, colour, width=1.0)
            dots(sphere, x[k, own] @ R.T, colour, 26.0)
        curve.loglog(t[1 : k + 2], count[1 : k + 2], color=COLOURS[0], drawstyle="steps-post")
        curve.set(xlim=(t[1], t[-1]), ylim=(0.8, N * 1.2), xlabel="time", title="clusters")
        curve.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        curve.minorticks_off()
        curve.tick_params(colors=MUTED, labelsize=8, length=3)
        return figure

    write_movie(frame, len(t), OUT)
    print(f"{OUT}: {len(t)} frames, {OUT.stat().st_size / 1e6:.2f} MB; the last merge at t = {end:.3g}")


if __name__ == "__main__":
    main()
