"""Figures of particles: that what is drawn is what was given and what theory says; movies as files."""

import weakref
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from marks import slow_but
from matplotlib.animation import FFMpegWriter
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from typed import of_kind

from spinodal import sphere, theory
from spinodal.errors import InputError
from spinodal.figures import globe, maps, movies, particles, particles_time


def lines(axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.stack(line.get_data()) for line in axes.lines}


@pytest.mark.parametrize("seed", range(4))
def test_an_eye_sees_its_direction_from_a_rotated_frame(seed):
    direction = sphere.uniform(1, 3, seed)[0]
    R = globe.view_rotation(direction)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(R) == pytest.approx(1)
    right, up, near = R @ direction
    assert min(right, up) > 0.3
    assert near == pytest.approx(1 / np.sqrt(1 + 2 * 0.5**2))  # tan of the tilt is 0.5 sqrt(2)
    np.testing.assert_allclose(globe.view_rotation(direction, 0.0)[2], direction, atol=1e-15)


def test_what_lies_behind_is_faint_and_below():
    axes = Figure().add_subplot()
    globe.dots(axes, np.array([[0.6, 0.0, 0.8], [0.6, 0.0, -0.8]]), "#2246ae", 9.0)
    (points,) = axes.collections
    np.testing.assert_allclose(np.asarray(points.get_facecolor())[:, 3], [globe.FAR, 1])
    np.testing.assert_allclose(np.asarray(points.get_facecolor())[1, :3], to_rgba("#2246ae")[:3])


def test_consensus_has_the_slope_minus_two_through_the_last_value():
    t = np.linspace(0, 9, 31)
    x = np.repeat(sphere.uniform(4, 3)[None], 31, 0)
    deficit = 0.7 * np.exp(-2 * t)
    figure = particles.consensus(t, x, 1 - deficit, deficit, title="")
    drawn = lines(figure.axes[2])
    np.testing.assert_allclose(drawn["exp(-2t)"][1], 0.7 * np.exp(-2 * drawn["exp(-2t)"][0]), rtol=1e-12)


def test_causal_draws_angles_to_the_first_and_the_closed_form():
    t = np.linspace(0, 4, 9)
    turn = np.exp(-t / 2)[:, None] * np.array([0.0, 1.0, 0.5])
    x = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    drawn = lines(particles.causal(t, x, np.exp(-t / 2), title="").axes[1])
    np.testing.assert_allclose(drawn["token 2"][1], np.exp(-t / 2), rtol=1e-13)
    np.testing.assert_allclose(drawn["token 2, closed form"], drawn["token 2"], rtol=1e-13)


def test_solids_have_their_edges_and_inner_products():
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    overlaps = {"octahedron": theory.optimal_overlaps(6, 3)}
    figure = particles.optimal_points({"octahedron": octahedron}, overlaps, title="")
    above, below = figure.axes
    grid = 1  # one collection of meridians and parallels, one of dots, and an edge each
    assert len(above.collections) - grid - 1 == 12
    assert [np.asarray(line.get_ydata())[0] for line in below.lines[:2]] == [-1, 0]
    np.testing.assert_array_equal(below.lines[2].get_ydata(), [-1] * 3 + [0] * 12)


def test_counts_have_binomial_errors_and_the_theory_in_their_axes():
    c = particles_time.Circles(
        beta=4.0,
        time=18.0,
        angles=np.array([0.0, 0.0, 2.0]),
        labels=np.array([0, 0, 1]),
        shares={"0.001": np.array([0.1, 0.9])},
        samples=100,
        times=np.array([1.0, 10.0]),
        mean=np.array([3.0, 2.0]),
        error=np.array([0.1, 0.1]),
        ceiling=np.array([4.0, 3.0]),
        fastest=3,
    )
    one, bars, course = particles_time.cluster_counts([c], title="").axes
    assert [of_kind(bar, Rectangle).get_height() for bar in bars.patches] == [0.1, 0.9]
    (error,) = of_kind(bars.containers[1], ErrorbarContainer).lines[2]
    np.testing.assert_allclose([np.ptp(s[:, 1]) / 2 for s in error.get_segments()], 0.03)
    assert lines(bars)["fastest mode"][0] == lines(course)["fastest mode"][1][0] == 3
    band = np.asarray(course.collections[0].get_paths()[0].vertices)
    assert {2.8, 3.2, 1.8, 2.2} <= set(band[:, 1].round(12))
    assert len(set(map(tuple, np.asarray(one.collections[0].get_facecolor())))) == 2


def test_the_staircase_jumps_at_its_limits():
    s = particles_time.Stairs(
        500.0, np.array([0.0, 0.1, 0.2]), np.array([0.5, 0.5, 1.0]), np.array([0.15]), np.array([0.16])
    )
    left, right = particles_time.staircase([s], np.array([0.17]), np.array([0.5, 1.0]), title="").axes
    (stairs,) = left.patches
    values, edges, _ = of_kind(stairs, StepPatch).get_data()
    np.testing.assert_allclose(values, [0.5, 1.0])
    np.testing.assert_allclose(edges, [0, 0.17, 1.12 * 0.17])
    np.testing.assert_allclose(np.stack(right.lines[0].get_data()), [[2], [0.15]])
    np.testing.assert_allclose(np.stack(right.lines[1].get_data()), [[0, 2], [0.17, 0.16]])


def test_waits_are_dots_on_their_closed_form():
    rows = np.array([[2.0, 10.0, 11.0, 100.0], [4.0, 80.0, 79.0, 150.0]])
    figure = particles_time.long_waits(
        np.array([0.1, 1.0]), np.zeros((2, 3)), np.array([0.5]), {"start 0": rows}, title=""
    )
    _, middle, right = figure.axes
    np.testing.assert_array_equal(lines(middle)["start 0"], [[2, 4], [10, 80]])
    np.testing.assert_array_equal(middle.lines[1].get_ydata(), [11, 79])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [100, 150])


def test_schemes_are_dots_on_curves_that_leave_zero_at_their_slope():
    t = np.geomspace(0.1, 10, 15)
    s = particles_time.Scheme(t, np.exp(-t), np.exp(-t), 2 * np.exp(-t), 1.0)
    left, right = particles_time.normalisations({"post-LN": s}, title="").axes
    np.testing.assert_allclose(lines(left)["post-LN"][1], 1 - np.exp(-t[::7]))
    near, slope = np.asarray(left.lines[2].get_data())
    np.testing.assert_allclose(slope, near)
    np.testing.assert_allclose(np.asarray(right.lines[2].get_ydata()), 2 * np.exp(-t[2 * np.exp(-t) < 0.3]))


def test_a_movie_has_a_frame_a_time_and_rests_on_the_last(tmp_path):
    t = np.linspace(0, 1, 5)
    x = np.stack([sphere.normalise(sphere.uniform(6, 3) + s * np.array([0.0, 0.0, 2.0])) for s in t])
    turn = np.linspace(0, 1, 5)[:, None] * np.arange(4)
    for name, write in (
        ("sphere", lambda path: movies.sphere_movie(t, x, path)),
        ("circle", lambda path: movies.circle_movie(t, turn, np.tile([0, 0, 1, 1], (5, 1)), path)),
    ):
        written = write(tmp_path / f"{name}.gif")
        assert [path.suffix for path in written] == [".gif", ".mp4"][: 1 + FFMpegWriter.isAvailable()]
        with Image.open(written[0]) as film:
            assert of_kind(film, GifImageFile).n_frames == 5
            film.seek(1)
            moving = film.convert("RGB")
            film.seek(4)
            assert film.info["duration"] == movies.HOLD
            assert np.asarray(film.convert("RGB")).std() > 5
            assert (np.asarray(moving) != np.asarray(film.convert("RGB"))).any()
    with pytest.raises(InputError, match=r"a movie is a \.gif"):
        movies.circle_movie(t, turn, np.zeros((5, 4), dtype=int), tmp_path / "film.avi")


def test_a_movie_is_written_frame_by_frame_and_shows_each_as_it_was_drawn(tmp_path, monkeypatch):
    """However many there are, few pictures are in memory; equal ones are one frame that lasts longer."""
    monkeypatch.setattr(movies.FFMpegWriter, "isAvailable", lambda: False)
    random, drawn, most = np.random.default_rng(0), list[weakref.ref[Image.Image]](), 0
    colours = random.integers(0, 256, (5, 3), dtype=np.uint8)
    numbers = [random.integers(0, 5, (20, 30)) for _ in range(60)]
    numbers[7], numbers[8][:10] = numbers[6], numbers[7][:10]

    def picture(k: int) -> Image.Image:
        nonlocal most
        image = Image.fromarray(colours[numbers[k]])
        drawn.append(weakref.ref(image))
        most = max(most, sum(each() is not None for each in drawn))
        return image

    monkeypatch.setattr(movies, "raster_image", lambda k: picture(of_kind(k, int)))
    frame = cast(Callable[[int], Figure], lambda k: k)
    [path] = movies.write_movie(frame, 60, tmp_path / "film.gif")
    assert most <= 2 * movies.SAMPLES
    with Image.open(path) as film:
        assert of_kind(film, GifImageFile).n_frames == 59
        for k, number in enumerate([*numbers[:7], *numbers[8:]]):
            film.seek(k)
            assert np.array_equal(np.asarray(film.convert("RGB")), colours[number])
            lasting = {6: 160, 58: movies.HOLD}.get(k, 80)  # in hundredths of a second, as GIF has them
            assert film.info["duration"] == lasting
        assert film.info["loop"] == 0


@pytest.mark.parametrize(("columns", "rows"), slow_but([(4, 3), (4, 1), (1, 3)], (4, 1)))
def test_a_phase_map_fills_its_panels_on_opaque_paper(tmp_path, columns, rows):
    """A single beta or time has a cell too; and a PNG can be read on a dark page."""
    t, betas = np.linspace(1, 9, columns), np.linspace(2, 6, rows)
    figure = maps.phase_maps(t, betas, {"d = 2": np.ones((columns, rows))}, title="SA")
    axes = figure.axes[0]
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    assert (x0, x1) == (pytest.approx((1, 9)) if columns > 1 else (0.5, 1.5))
    assert (y0, y1) == (pytest.approx((2, 6)) if rows > 1 else (1.5, 2.5))
    figure.savefig(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert np.asarray(image.convert("RGBA"))[..., 3].min() == 255
