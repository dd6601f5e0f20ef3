r"""A density as modes: 1 + a sum of harmonics, relative to the uniform probability, and nowhere negative.

geometry  harmonics
circle    a_k cos(k theta - phase_k)
zonal     a_k P_k(cos phi), P_k(1) = 1
sphere    real Y_lm, orthonormal, in ducc0's order
"""

from dataclasses import dataclass
from typing import Any

import ducc0
import numpy as np
from jaxtyping import Complex, Float

from spinodal.errors import InputError
from spinodal.runs import register

HIGHEST = 1024


class Start:
    """rho / uniform, a density of mean one; `highest` is its last degree."""

    geometry: str
    highest: int

    def density(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        raise NotImplementedError


@register("circle-modes")
@dataclass(frozen=True, eq=False)
class CircleModes(Start):
    """rho / uniform = 1 + sum_k a_k cos(k theta - phase_k), k = 1, 2, ...

    A density on the circle from amplitudes and phases. InputError where it is negative somewhere.
    """

    geometry = "circle"
    d = 2

    amplitudes: Float[np.ndarray, " k"]
    phases: Float[np.ndarray, " k"]

    def __post_init__(self):
        check_amplitudes(self.highest)
        theta = np.linspace(0, 2 * np.pi, 16 * (self.highest + 1), endpoint=False)
        require_positive(theta, self.density(theta), "theta")

    @property
    def highest(self) -> int:
        return len(self.amplitudes)

    @property
    def moments(self) -> Complex[np.ndarray, " k"]:
        """m_k = (a_k / 2) e^{i phase_k}, k = 1, 2, ..."""
        return self.amplitudes / 2 * np.exp(1j * self.phases)

    def density(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        turn = np.exp(1j * at)
        total: Any = np.zeros_like(turn)
        for c in (self.amplitudes * np.exp(-1j * self.phases))[::-1]:
            total = (total + c) * turn
        return 1 + total.real


@register("zonal-modes")
@dataclass(frozen=True, eq=False)
class ZonalModes(Start):
    """rho / uniform = 1 + sum_k a_k P_k(cos phi) on S^{d-1}, k = 1, 2, ...

    A density that is symmetric about an axis. InputError where it is negative somewhere.
    """

    geometry = "zonal"

    amplitudes: Float[np.ndarray, " k"]  # a_k
    d: int  # of the space that the sphere lies in

    def __post_init__(self):
        check_amplitudes(self.highest)
        phi = np.linspace(0, np.pi, 8 * (self.highest + 1) + 1)
        require_positive(phi, self.density(phi), "phi")

    @property
    def highest(self) -> int:
        return len(self.amplitudes)

    def density(self, at: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        u, d = np.cos(at), self.d
        last, now, total = np.ones_like(u), u, np.ones_like(u)
        for k, a in enumerate(self.amplitudes, 1):
            total = total + a * now
            last, now = now, ((2 * k + d - 2) * u * now - k * last) / (k + d - 2)
        return total


@register("sphere-modes")
@dataclass(frozen=True, eq=False)
class SphereModes(Start):
    """rho / uniform = sum_lm a_lm Y_lm on S^2, orthonormal and real, a_00 = sqrt(4 pi).

    A density on the sphere; coefficients are in ducc0's order, m by m. InputError where it is negative somewhere.
    """

    geometry = "sphere"
    d = 3

    alm: Complex[np.ndarray, " k"]  # a_lm
    highest: int  # the last degree l

    def __post_init__(self):
        check_amplitudes(self.highest)
        grid = ducc0.sht.synthesis_2d(
            alm=self.alm[None], spin=0, lmax=self.highest, ntheta=4 * self.highest + 4,
            nphi=8 * self.highest + 8, geometry="CC",
        )  # fmt: skip
        require_positive(np.arange(grid.size, dtype=float), grid.ravel(), "grid point")

    def density(self, at: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        theta = np.arctan2(np.hypot(at[:, 0], at[:, 1]), at[:, 2])
        phi = np.arctan2(at[:, 1], at[:, 0]) % (2 * np.pi)
        loc = np.stack([theta, phi], 1)
        return ducc0.sht.synthesis_general(
            alm=self.alm[None], spin=0, lmax=self.highest, loc=loc, epsilon=1e-13, nthreads=1
        )[0]


def harmonic_index(l: int, m: int, highest: int) -> int:
    """m (2 L + 1 - m) / 2 + l, the place of a_lm in ducc0's order, m >= 0, L the highest degree."""
    return m * (2 * highest + 1 - m) // 2 + l


def check_amplitudes(highest: int) -> None:
    """InputError for a degree above the resolution of a start."""
    if highest > HIGHEST:
        raise InputError(
            f"`start`: degree {highest} is beyond the resolution of a start, {HIGHEST}: the kernel passes degrees "
            "up to about 5 sqrt(beta); leave the others out",
            field="start",
        )


def require_positive(at: Float[np.ndarray, " n"], density: Float[np.ndarray, " n"], name: str) -> None:
    """InputError, which names the place, for a density that is negative or not finite."""
    if not np.isfinite(density).all():
        raise InputError(
            "`start`: the density is not finite: amplitudes and phases must be numbers", field="start"
        )
    if density.min() < 0:
        worst = at[np.argmin(density)]
        raise InputError(
            f"`start`: the density is {density.min():.3g} at {name} = {worst:.4g}, and must not be negative: "
            "use smaller amplitudes",
            field="start",
        )
