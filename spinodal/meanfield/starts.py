r"""Initial densities: modes from white noise, from values on a grid and from tables of harmonics.

    geometry  harmonics                                          white noise sigma: std of their amplitudes
    circle    a_k cos(k theta - phase_k)                         sigma sqrt(2 / 10^4) times Rayleigh
    zonal     a_k P_k(cos phi), P_k(1) = 1                       sigma sqrt(N_k / 10^4)
    sphere    real Y_lm of mean square one                       sigma sqrt(1 / 10^4)

White noise is what [bpa2024] adds: independent values of deviation sigma at 10^4 points of equal area, of
which the lowest degrees are kept. The others have no effect: the kernel's eigenvalues on them are near 0.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spinodal.arrays import real_array
from spinodal.errors import InputError, require_types
from spinodal.meanfield.kernel import dimensions
from spinodal.meanfield.modes import CircleModes, SphereModes, ZonalModes, harmonic_index
from spinodal.runs import register

POINTS, NOISY_DEGREES, NOISY_HARMONICS = 10_000, 64, 20  # of the white noise; harmonics on the sphere
CIRCLE = 2
GEOMETRIES = {"circle": CIRCLE, "sphere": 3, "zonal": None}  # and their d, where it is fixed
COLUMNS = {"circle": "k amplitude phase", "zonal": "k amplitude", "sphere": "l m amplitude"}


def circle_noise(sigma: float, rng: np.random.Generator, *, degrees: int = NOISY_DEGREES) -> CircleModes:
    """a_k e^{i phase_k} = c + i s, c and s normal with standard deviation sigma sqrt(2 / 10^4)  [bpa2024].

    White noise on the circle, up to a degree. InputError for sigma outside (0, 1].
    """
    c, s = noise_deviation(sigma) * np.sqrt(2) * rng.standard_normal((2, degrees))
    return CircleModes(np.hypot(c, s), np.arctan2(s, c))


def zonal_noise(
    sigma: float, d: int, rng: np.random.Generator, *, degrees: int = NOISY_DEGREES
) -> ZonalModes:
    """a_k normal with standard deviation sigma sqrt(N_k / 10^4)  [derived].

    The zonal harmonics of white noise on S^{d-1}; for d > 3 those of a deviation below 0.02. InputError for
    sigma outside (0, 1].
    """
    scale = noise_deviation(sigma) * np.sqrt(dimensions(np.arange(1, degrees + 1), d))
    seen = scale < 0.02 if d > 3 else np.ones(degrees, bool)
    return ZonalModes((scale * rng.standard_normal(degrees))[seen], d)


def sphere_noise(sigma: float, rng: np.random.Generator, *, degrees: int = NOISY_HARMONICS) -> SphereModes:
    """Real harmonics of degree 1 to `degrees`, each normal with standard deviation sigma / 100  [derived].

    White noise on S^2. InputError for sigma outside (0, 1].
    """
    alm = np.zeros(harmonic_index(degrees, degrees, degrees) + 1, complex)
    for m in range(degrees + 1):
        for l in range(max(m, 1), degrees + 1):
            a, b = noise_deviation(sigma) * np.sqrt(4 * np.pi) * rng.standard_normal(2)
            alm[harmonic_index(l, m, degrees)] = a if m == 0 else (a - 1j * b) / np.sqrt(2)
    alm[0] = np.sqrt(4 * np.pi)
    return SphereModes(alm, degrees)


def noise_deviation(sigma: float) -> float:
    """sigma / sqrt(10^4), the standard deviation of one harmonic; InputError for sigma outside (0, 1]."""
    if not 0 < sigma <= 1:
        raise InputError(
            f"`sigma`: white noise {sigma:g} must lie in (0, 1], as the density's mean is one",
            field="sigma",
        )
    return sigma / np.sqrt(POINTS)


def circle_values(values: Float[np.ndarray, " n"]) -> CircleModes:
    """The trigonometric polynomial through a density given at equal steps of theta from 0, uniform = 1 / (2 pi).

    InputError for fewer than three values, for values that are not finite, and where they do not integrate to one.
    """
    values = real_array(values, "values")
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all():
        raise InputError(
            f"`values`: a density needs three or more, all finite; here are {len(values)}", field="values"
        )
    total = 2 * np.pi * values.mean()
    if abs(total - 1) > 1e-9:
        raise InputError(
            f"`values`: the density integrates to {total:.12g}, not to one: divide it by that", field="values"
        )
    c = np.fft.rfft(values * 2 * np.pi)[1 : (len(values) + 1) // 2] * 2 / len(values)
    used = np.flatnonzero(np.abs(c) > 1e-16)
    c = c[: used[-1] + 1] if len(used) else c[:1]
    return CircleModes(np.abs(c), -np.angle(c))


def dimension(geometry: str, d: int | None = None) -> int:
    """The d of a geometry: 2 on the circle, 3 on the sphere; zonal d >= 2 as given, or 3. InputError for others."""
    if geometry not in GEOMETRIES:
        raise InputError(f"`geometry` {geometry}: circle, sphere or zonal", field="geometry")
    fixed = GEOMETRIES[geometry]
    if d not in (None, fixed) and fixed is not None:
        raise InputError(
            f"`geometry` {geometry} has d = {fixed}; for d = {d} use `geometry` zonal", field="geometry"
        )
    if d is not None and d < 2:
        raise InputError(f"`d` {d}: tokens live on spheres of R^2 and above", field="d")
    return fixed or d or 3


@register("white-noise")
@dataclass(frozen=True)
class WhiteNoise:
    """rho / uniform = 1 + independent normal values of deviation sigma at 10^4 points of equal area  [bpa2024].

    The usual start of a density: only its lowest harmonics are kept, since the kernel passes none of the others.
    """

    sigma: float = 0.01  # relative deviation of the density
    geometry: str = "circle"  # or "sphere", or "zonal" about an axis of S^{d-1}
    d: int | None = None  # of a zonal density
    seed: int = 0  # of the noise

    def __post_init__(self) -> None:
        require_types(self, sigma=Real, geometry=str, d=(Integral, type(None)), seed=Integral)
        dimension(self.geometry, self.d)
        noise_deviation(self.sigma)
        if self.seed < 0:
            raise InputError(f"`seed` {self.seed}: a whole number from 0", field="seed")

    def modes(self, degrees: int = NOISY_DEGREES) -> CircleModes | ZonalModes | SphereModes:
        """Its harmonics up to a degree; on the sphere up to 20."""
        rng = np.random.default_rng(self.seed)
        if self.geometry == "sphere":
            return sphere_noise(self.sigma, rng)
        if self.geometry == "circle":
            return circle_noise(self.sigma, rng, degrees=degrees)
        return zonal_noise(self.sigma, dimension("zonal", self.d), rng, degrees=degrees)


def harmonics(
    rows: Float[np.ndarray, "k c"], geometry: str = "circle", d: int | None = None
) -> CircleModes | ZonalModes | SphereModes:
    """1 + the harmonics of a table: circle (k, amplitude, phase), zonal (k, amplitude), sphere (l, m, amplitude).

    Rows of one harmonic add up. A row of degree 0 must have amplitude 1. On the sphere m < 0 is the sine, as real
    harmonics are usually written. InputError for a table of another form.
    """
    d, columns = dimension(geometry, d), len(COLUMNS[geometry].split())
    if rows.shape[1] != columns:
        raise InputError(
            f"`start`: {columns} numbers a line ({COLUMNS[geometry]}), here are {rows.shape[1]}",
            field="start",
        )
    if np.any(rows[:, 0] != np.round(rows[:, 0])) or rows[:, 0].min(initial=0) < 0:
        raise InputError("`start`: degrees, the first column, are whole numbers from 0", field="start")
    mass = rows[rows[:, 0] == 0, -1 if geometry != "circle" else 1]
    if np.any(mass != 1):
        raise InputError(
            "`start`: degree 0 is the mass, and a density integrates to one: leave it out or make it 1",
            field="start",
        )
    rows = rows[rows[:, 0] > 0]
    if not len(rows):
        raise InputError(
            "`start`: no mode above degree 0, and the uniform density rests for ever", field="start"
        )
    degrees = rows[:, 0].astype(int)
    if geometry == "sphere":
        return sphere_harmonics(degrees, rows[:, 1], rows[:, 2])
    c: Any = np.zeros(degrees.max(), complex)
    phases = rows[:, 2] if geometry == "circle" else np.zeros(len(rows))
    np.add.at(c, degrees - 1, rows[:, 1] * np.exp(1j * phases))
    return CircleModes(np.abs(c), np.angle(c)) if geometry == "circle" else ZonalModes(c.real, d)


def sphere_harmonics(
    degrees: Int[np.ndarray, " k"], orders: Float[np.ndarray, " k"], amplitudes: Float[np.ndarray, " k"]
) -> SphereModes:
    """1 + sum of amplitude * Y_lm, real and of mean square one."""
    top = int(degrees.max())
    alm = np.zeros(harmonic_index(top, top, top) + 1, complex)
    alm[0] = np.sqrt(4 * np.pi)
    for l, m, amplitude in zip(degrees, orders, amplitudes, strict=True):
        if m != round(m) or abs(m) > l:
            raise InputError(
                f"`start`: order m = {m:g} of degree {l}: a whole number from -l to l", field="start"
            )
        size = np.sqrt(4 * np.pi) * (1 if m == 0 else (1 if m > 0 else 1j) / np.sqrt(2))
        alm[harmonic_index(int(l), abs(int(m)), top)] += amplitude * size
    return SphereModes(alm, top)
