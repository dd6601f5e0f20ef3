"""Movies of tokens: on the circle a colour a cluster, on the sphere with the trail of what went before.

A movie is a GIF, which Pillow writes, and an MP4 beside it where ffmpeg is installed. Frames are those of the
times given, so a caller that wants equal steps of log t saves tokens at such times.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure
from PIL import Image

from spinodal.errors import InputError
from spinodal.figures.globe import dots, globe, trails, view_rotation
from spinodal.figures.particles import COLOURS
from spinodal.figures.particles_time import on_circle
from spinodal.figures.style import INK, canvas, styled

FPS, INCHES, DPI, SHADES = 12, 2.6, 100, 48
SAMPLES = 8  # frames that the palette is taken from
TAIL = 12  # frames that a trail is long
HOLD = 1500  # milliseconds of the last frame


@styled
def circle_movie(
    times: Float[np.ndarray, " t"],
    angles: Float[np.ndarray, "t n"],
    labels: Int[np.ndarray, "t n"],
    path: Path,
) -> list[Path]:
    """Tokens on the circle, coloured by cluster. `path` ends in .gif; returns the files that were written."""

    def frame(k: int) -> Figure:
        figure, axes = canvas(INCHES, INCHES)
        on_circle(axes, angles[k], labels[k])
        axes.text(0, 0, f"t = {times[k]:.3g}", ha="center", va="center", color=INK)
        return figure

    return write_movie(frame, len(times), path)


@styled
def sphere_movie(
    times: Float[np.ndarray, " t"], tokens: Float[np.ndarray, "t n 3"], path: Path
) -> list[Path]:
    """Tokens on S^2, seen from where they end. `path` ends in .gif; returns the files that were written."""
    R = view_rotation(tokens[-1].mean(0))

    def frame(k: int) -> Figure:
        figure, axes = canvas(INCHES, INCHES)
        globe(axes, R)
        trails(axes, tokens[max(k - TAIL, 0) : k + 1] @ R.T, COLOURS[0], width=1.2)
        dots(axes, tokens[k] @ R.T, COLOURS[1], 24.0)
        axes.text(-1.05, -1.05, f"t = {times[k]:.1f}", color=INK)
        return figure

    return write_movie(frame, len(times), path)


def write_movie(frame: Callable[[int], Figure], frames: int, path: Path) -> list[Path]:
    """Draws every frame once, for both files."""
    if path.suffix != ".gif":
        raise InputError(f"{path}: a movie is a .gif, with an .mp4 beside it where ffmpeg is installed")
    pictures = [raster_image(frame(k)) for k in range(frames)]
    # one palette for all keeps still parts equal, and so the file small
    palette = side_by_side(pictures[:: max(1, frames // SAMPLES)]).quantize(SHADES)
    still = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [1000 // FPS] * (frames - 1) + [HOLD]
    still[0].save(path, save_all=True, append_images=still[1:], duration=durations, loop=0, optimize=True)
    return [path, *([write_mp4(pictures, path.with_suffix(".mp4"))] if FFMpegWriter.isAvailable() else [])]


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures]))


def raster_image(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    return Image.open(file).convert("RGB")


def write_mp4(pictures: list[Image.Image], path: Path) -> Path:
    figure = Figure(figsize=(INCHES, INCHES))
    shown = figure.figimage(np.asarray(pictures[0]))
    writer = FFMpegWriter(fps=FPS)
    with writer.saving(figure, str(path), DPI):
        for picture in pictures:
            shown.set_data(np.asarray(picture))
            writer.grab_frame()
    return path
