"""One simulated flow: its tokens on the circle or the sphere, the cosines of its pairs, its energy."""

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinodal.errors import InputError
from spinodal.figures.globe import dots, globe, trails, view_rotation
from spinodal.figures.style import INK, MAP_THEORY, MODELS, MUTED, canvas, panel, styled
from spinodal.observables import cosine_histogram
from spinodal.types import Trajectory

COLOURS = [light for light, _ in MODELS.values()]
DRAWN = 400  # tokens of a picture; of more, as many evenly spread ones
BINS = 100
Times = Float[np.ndarray, " t"]


def subsample_tokens(tokens: Float[np.ndarray, "t n d"]) -> Float[np.ndarray, "t m d"]:
    n = tokens.shape[1]
    return tokens[:, np.linspace(0, n - 1, min(n, DRAWN)).astype(int)]


def time_axis(axes: Axes, times: Times) -> None:
    """Makes the time axis logarithmic if the last steps of the times are much longer than the first."""
    if len(times) > 3 and times[-1] - times[-2] > 10 * (times[2] - times[1]):
        axes.set_xscale("log")
        axes.set_xlim(times[1], times[-1])
    axes.set_xlabel("t")


def continuous_angles(tokens: Float[np.ndarray, "t n 2"]) -> Float[np.ndarray, "t n"]:
    """Angles over time without jumps, in radians; tokens that are near at the end have angles that are.

    The circle is cut in the middle of the widest gap between the last tokens.
    """
    angle = np.unwrap(np.arctan2(tokens[..., 1], tokens[..., 0]), axis=0)
    last = np.sort(angle[-1] % (2 * np.pi))
    gaps = np.diff(last, append=last[0] + 2 * np.pi)
    cut = last[gaps.argmax()] + gaps.max() / 2 - 2 * np.pi
    return angle + (cut + (angle[-1] - cut) % (2 * np.pi) - angle[-1])


@styled
def angles_over_time(
    times: Times, tokens: Float[np.ndarray, "t n 2"], merges: Float[np.ndarray, " k"]
) -> Figure:
    """The angle of every token over time, a tick on the axis at each merge."""
    figure, axes = panel(6.4, 4.0)
    axes.plot(times, continuous_angles(subsample_tokens(tokens)), color=COLOURS[0], linewidth=0.6, alpha=0.6)
    time_axis(axes, times)
    seen = merges[(merges >= times[1 if axes.get_xscale() == "log" else 0]) & (merges <= times[-1])]
    axes.plot(
        seen, np.full(len(seen), axes.get_ylim()[0]), "|", color=COLOURS[1], markersize=14, clip_on=False
    )
    axes.set(ylabel="angle (radians)", title=f"tokens on the circle; {len(merges)} merges, a tick each")
    return figure


@styled
def paths_on_sphere(times: Times, tokens: Float[np.ndarray, "t n 3"]) -> Figure:
    """Paths seen from where the tokens end, which are dots."""
    shown = subsample_tokens(tokens)
    mean = shown[-1].mean(0)
    R = view_rotation(mean if np.linalg.norm(mean) > 1e-6 else shown[-1, 0])
    figure, axes = canvas(5.0, 5.0)
    globe(axes, R)
    trails(axes, shown @ R.T, COLOURS[0])
    dots(axes, shown[-1] @ R.T, COLOURS[1], 14.0)
    axes.set_title(f"tokens on the sphere, t = {times[0]:.4g} to {times[-1]:.4g}", color=MUTED, fontsize=9)
    return figure


@styled
def cosines_over_time(
    times: Times,
    tokens: Float[np.ndarray, "t n d"],
    theory: tuple[Times, Times] | None = None,
) -> Figure:
    """The distribution of pairwise cosines over time; `theory` is (times, gamma) of an orthonormal start."""
    if len(times) < 2:
        raise InputError("one time alone: no picture over time")
    shown = torch.from_numpy(np.ascontiguousarray(subsample_tokens(tokens)))[:, None]
    valid = torch.ones(shown.shape[1:3], dtype=torch.bool)
    counts = cosine_histogram(Trajectory(torch.tensor(times), shown, valid), BINS)[:, 0].numpy()
    figure, axes = panel(6.4, 4.0)
    share = counts / counts.sum(1, keepdims=True)
    edges = np.concatenate([times[:1], (times[1:] + times[:-1]) / 2, times[-1:]])
    axes.pcolormesh(edges, np.linspace(-1, 1, BINS + 1), share.T**0.4, cmap="Blues", rasterized=True)
    if theory is not None:
        axes.plot(*theory, color=MAP_THEORY, linestyle=(0, (4, 2)), linewidth=1.6, label="theory")
        axes.legend(frameon=False, loc="lower right")
    time_axis(axes, times)
    axes.set(ylim=(-1, 1), ylabel="cosine of a pair", title="share of pairs, darker is more")
    return figure


@styled
def energy_over_time(
    times: Times,
    log_energy: Times,
    merges: Float[np.ndarray, " k"],
    theory: tuple[Times, Times] | None = None,
) -> Figure:
    """log E, with a line at each of the last 50 merges; `theory` is (times, log E) of an orthonormal start."""
    figure, axes = panel(6.4, 3.2)
    axes.plot(times, log_energy, color=COLOURS[0])
    if theory is not None:
        axes.plot(*theory, color=INK, linestyle=(0, (4, 2)), linewidth=1.1, label="theory")
        axes.legend(frameon=False, loc="lower right")
    time_axis(axes, times)
    for time in merges[-50:]:
        if axes.get_xlim()[0] < time <= times[-1]:
            axes.axvline(time, color=COLOURS[1], linewidth=0.6, alpha=0.6)
    axes.set(ylabel="log E", title="energy; vertical: merges")
    return figure
