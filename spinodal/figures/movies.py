"""Movies of tokens: on the circle in the colours of clusters, on the sphere with trails of their paths.

A movie is a GIF, which Pillow writes, and an MP4 beside it where ffmpeg is installed. Frames are those of the
times given, so a caller that wants equal steps of log t saves tokens at such times. They are drawn and written one by
one: a long movie takes no more memory than a short one.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure
from matplotlib.image import FigureImage
from PIL import Image, ImageChops
from PIL.GifImagePlugin import getdata, getheader

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
    """Writes the GIF `path` and, with ffmpeg, an MP4 beside it, frame by frame; returns their paths."""
    if path.suffix != ".gif":
        raise InputError(f"{path}: a movie is a .gif, with an .mp4 beside it where ffmpeg is installed")
    samples = [raster_image(frame(k)) for k in range(0, frames, max(1, frames // SAMPLES))]
    # one palette for all keeps still parts equal, and so the file small
    palette = side_by_side(samples).quantize(SHADES)
    pictures = (raster_image(frame(k)) for k in range(frames))
    if not FFMpegWriter.isAvailable():
        write_gif(pictures, palette, path)
        return [path]
    film = path.with_suffix(".mp4")
    write_gif(recorded_pictures(pictures, film), palette, path)
    return [path, film]


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures]))


def raster_image(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    return Image.open(file).convert("RGB")


def write_gif(pictures: Iterable[Image.Image], palette: Image.Image, path: Path) -> None:
    """Writes a GIF that repeats for ever, with the part of each picture that differs from the one before.

    Pillow's own writer of movies keeps every frame until the last. Pictures that are equal are one, shown longer.
    """
    colours = (palette.getpalette() or [])[: 3 * SHADES]
    unchanged = len(colours) // 3  # one colour more, which stands for what the picture before shows
    shown: Image.Image | None = None
    waiting: list[tuple[Image.Image, tuple[int, int]]] = []
    rest = 0
    with path.open("wb") as file:

        def write_waiting(milliseconds: int) -> None:
            for part, corner in waiting:
                options = {"duration": milliseconds, "disposal": 1, "transparency": unchanged}
                file.writelines(getdata(part, corner, **options))
            waiting.clear()

        for picture in pictures:
            still = picture.quantize(palette=palette, dither=Image.Dither.NONE)
            if shown is None:
                table = still.copy()
                table.putpalette([*colours, 0, 0, 0])
                file.writelines(getheader(table, info={"loop": 0, "background": 0})[0])
                changed = (0, 0, *still.size)
                part = still
            else:
                difference = ImageChops.difference(as_levels(still), as_levels(shown))
                changed = difference.getbbox()
                part = still.copy()
                part.paste(unchanged, mask=difference.point([255] + [0] * 255))
            if changed is None:
                rest += 1000 // FPS
                continue
            write_waiting(1000 // FPS + rest)
            rest = 0
            waiting.append((part.crop(changed), changed[:2]))
            shown = still
        write_waiting(HOLD + rest)
        file.write(b";")


def as_levels(still: Image.Image) -> Image.Image:
    """The palette indices of a picture as levels of grey."""
    return Image.frombytes("L", still.size, still.tobytes())


def recorded_pictures(pictures: Iterable[Image.Image], path: Path) -> Iterator[Image.Image]:
    """Yields the pictures, each after it has been written to the MP4 `path`."""
    figure, writer = Figure(figsize=(INCHES, INCHES)), FFMpegWriter(fps=FPS)
    image: FigureImage | None = None
    with writer.saving(figure, str(path), DPI):
        for picture in pictures:
            if image is None:
                image = figure.figimage(np.asarray(picture))
            image.set_data(np.asarray(picture))
            writer.grab_frame()
            yield picture
