r"""The drive of a token, independent of all others: a rotation and a constant pull  [akorn2024].

    Omega_i theta_i + c_i,    Omega_i antisymmetric: a rotation, whose eigenvalues are +-i times the frequencies

Before the projection P, which leaves the rotation as it is.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import times
from spinodal.flows.engines.law import EPS

ANTISYMMETRIC = 1e-12  # relative size of Omega + Omega^T that is rounding


@dataclass(frozen=True, eq=False)
class Drive:
    """Omega_i theta_i + c_i of every token: rotations Omega, [d d] for all or [n d d], and pulls c, [d] or [n d].

    Either may be left out. `frequency` gives the rotations of the circle, d = 2, from numbers [n]. InputError for
    rotations that are not antisymmetric and for shapes that do not fit.

    >>> from spinodal import flows
    >>> flows.Drive.frequency([1.0, -0.5]).rotations.tolist()
    [[[0.0, -1.0], [1.0, 0.0]], [[0.0, 0.5], [-0.5, 0.0]]]
    """

    rotations: Float[np.ndarray, "..."] | None = None
    pulls: Float[np.ndarray, "..."] | None = None

    def __post_init__(self) -> None:
        for name, axes in (("rotations", (2, 3)), ("pulls", (1, 2))):
            if getattr(self, name) is None:
                continue
            array = real_array(getattr(self, name), name)
            if array.ndim not in axes or array.size == 0 or not np.isfinite(array).all():
                wanted = "[d d] or [n d d]" if name == "rotations" else "[d] or [n d]"
                raise InputError(f"`{name}` have shape {array.shape}: finite numbers {wanted}", field=name)
            object.__setattr__(self, name, array)
        if self.rotations is None and self.pulls is None:
            raise InputError("a drive has `rotations` or `pulls`", field=("rotations", "pulls"))
        if self.rotations is not None:
            lost = np.abs(self.rotations + np.swapaxes(self.rotations, -1, -2)).max()
            if (
                self.rotations.shape[-1] != self.rotations.shape[-2]
                or lost > ANTISYMMETRIC * np.abs(self.rotations).max()
            ):
                raise InputError(
                    "`rotations` are antisymmetric matrices: Omega^T = -Omega", field="rotations"
                )
        if len({array.shape[-1] for array in self.arrays}) > 1:
            raise InputError("`rotations` and `pulls` are of different d", field=("rotations", "pulls"))

    @classmethod
    def frequency(cls, frequencies: Float[np.ndarray, " n"] | list[float]) -> "Drive":
        """theta_i' = omega_i on the circle: a rotation [n 2 2] a token."""
        omega = real_array(frequencies, "frequencies")
        return cls(omega[:, None, None] * np.array([[0.0, -1.0], [1.0, 0.0]]))

    @property
    def arrays(self) -> tuple[Float[np.ndarray, "..."], ...]:
        return tuple(array for array in (self.rotations, self.pulls) if array is not None)

    @property
    def d(self) -> int:
        return self.arrays[0].shape[-1]

    @property
    def n(self) -> int | None:
        """The number of tokens where each has its own rotation or pull, None where all share them."""
        own = [
            len(a) for a, axes in ((self.rotations, 3), (self.pulls, 2)) if a is not None and a.ndim == axes
        ]
        return own[0] if own else None

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        if self.n not in (None, len(x)):
            raise InputError(f"`drive` is for {self.n} tokens, here are {len(x)}", field="drive")
        push = np.zeros_like(x)
        if self.rotations is not None:
            shared = self.rotations.ndim == 2
            push += times(self.rotations, x) if shared else np.einsum("nij,nj->ni", self.rotations, x)
        return push if self.pulls is None else push + self.pulls

    @cached_property
    def error_bound(self) -> float:
        """A bound on the rounding error of Omega_i theta_i + c_i, for every token."""
        size = sum(float(np.sqrt(np.max(np.sum(a**2, axis=-1)))) for a in self.arrays)
        return EPS * (8 + 2 * self.d) * size
