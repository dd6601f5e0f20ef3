r"""The layer clock: x <- normalise(x + h Att(x)), the map of a Transformer without its matrices [glpr2023]."""

from dataclasses import dataclass
from numbers import Real
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError, require_types
from spinodal.flows.engines.law import Law
from spinodal.flows.ensembles.systems import (
    Systems,
    attention_sums,
    close_pairs,
    consensus_is_final,
    constants,
    normalise,
)
from spinodal.loops import compiled, in_parts, use_widest_vectors

LEAST = 8  # systems worth a thread


@dataclass(frozen=True)
class LayerClock:
    """Time h times the number of layers x <- normalise(x + h Att(x)); slower than the flow by about 1 + h."""

    step: float = 0.1  # h

    def __post_init__(self):
        require_types(self, step=Real)
        if not 0 < self.step < np.inf:
            raise InputError(f"`step` {self.step:g}: the step of a layer is a positive number", field="step")

    def grid(self, end: float, number: int) -> Float[np.ndarray, " t"]:
        """Times of whole layers nearest to even spacing up to `end`; InputError where these are too few."""
        layers = np.rint(np.linspace(end / number, end, number) / self.step)
        if layers[0] < 1 or len(np.unique(layers)) < number:
            raise InputError(
                f"`number` {number}: up to t = {end:g} there are {end / self.step:.0f} layers of step "
                f"{self.step:g}; ask for fewer times, or a smaller step",
                field="number",
            )
        return self.step * layers

    def check_times(self, times: Float[np.ndarray, " t"]) -> None:
        """InputError for times that are no increasing multiples of the step."""
        self.layers(times)

    def layers(self, times: Float[np.ndarray, " t"]) -> np.ndarray:
        """The numbers of layers [t] at these times; InputError as of `check_times`."""
        marks = np.rint(times / self.step).astype(np.int64)
        if np.any(abs(marks * self.step - times) > 1e-6 * self.step) or np.any(
            np.diff(marks, prepend=-1) < 1
        ):
            raise InputError(
                f"`times` {times}: must be increasing multiples of the step {self.step:g}", field="times"
            )
        return marks

    def run(
        self, systems: Systems, law: Law, times: Float[np.ndarray, " t"], threshold: float
    ) -> Float[np.ndarray, "b t"]:
        marks, shares = self.layers(times), np.empty((len(systems.x), len(times)))
        numbers = (
            *constants(law),
            self.step,
            threshold,
            consensus_is_final(threshold),
        )

        def part(start: int, stop: int):
            advance(systems.x[start:stop], systems.weights, systems.n, numbers, marks, shares[start:stop])

        in_parts(part, len(systems.x), LEAST)
        return shares


@compiled()
@no_type_check
def step_along(x, M, Z, clock, h):
    """x_j <- x_j + h M_j / Z_j, or h clock M_j; Z is overwritten."""
    use_widest_vectors()
    for j in range(Z.size):
        Z[j] = h / Z[j] if clock == 0 else h * clock
    for k in range(x.shape[0]):
        row, pulled = x[k], M[k]
        for j in range(Z.size):
            row[j] += Z[j] * pulled[j]


@compiled()
@no_type_check
def advance(systems, w, n, numbers, marks, shares):
    """Advances every system by marks[-1] layers; shares[b, m] <- share of close pairs after marks[m]."""
    kappa, clock, h, threshold, final = numbers
    _, D, N = systems.shape
    S, E, M, Z = np.empty((N, N)), np.empty((N, N)), np.empty((D, N)), np.empty(N)
    for b in range(len(systems)):
        x, m = systems[b], 0
        for layer in range(marks[-1] + 1):
            attention_sums(M, Z, E, S, x, w, kappa)
            if layer == marks[m]:
                shares[b, m] = close_pairs(S, n, threshold)
                if final and shares[b, m] == 1.0:
                    shares[b, m:] = 1.0
                    break
                m += 1
                if m == marks.size:
                    break
            step_along(x, M, Z, clock, h)
            normalise(x, Z)
