r"""Methods of integration, as values: which steps a simulation takes, and in which time.

method    steps                                                         time
Adaptive  Dormand--Prince 5(4) under a tolerance, with captured pairs   of the flow
Layers    x <- normalise(x + h A(x)), the layers of a Transformer       h a layer
Noisy     weak order two, for fields with noise                         of the flow
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError, require_types
from spinodal.flows.fields import AttentionField, Piecewise, Resampled
from spinodal.flows.state import Field, State, is_euclidean
from spinodal.flows.time.integrators import AdaptiveIntegrator, Integrator, LayerIntegrator, NoisyIntegrator
from spinodal.flows.time.merging import MERGE
from spinodal.runs import register

FINEST = 1e-14  # tolerance, where rounding begins
ROUNDING = 1e-12  # by which a period may miss a whole number of steps, relative to it


@register("adaptive")
@dataclass(frozen=True)
class Adaptive:
    """Steps of Dormand and Prince's method whose errors stay below `tolerance`  [dormand1980].

    The error of a step is at most `tolerance` in a direction, (1 + r) `tolerance` in a length r, (1 + max |x|)
    `tolerance` in tokens x of R^d, and less in time. Pairs nearer than `radius` are captured, that is replaced by their
    centre of mass: the effect on other tokens is beta radius^2. If not given it is 0.1 sqrt(tolerance), where the
    effect is below the tolerance up to beta = 100, and 1e-8 in R^d. InputError for a tolerance outside [1e-14, 0.1],
    and for a radius outside [1e-8, 1e-3].
    """

    tolerance: float = 1e-8
    radius: float | None = None

    def __post_init__(self) -> None:
        require_types(self, tolerance=Real, radius=(Real, type(None)))
        if not FINEST <= self.tolerance <= 0.1:
            raise InputError(
                f"`tolerance` {self.tolerance:g}: from 1e-14, where rounding begins, to 0.1",
                field="tolerance",
            )
        if self.radius is not None and not MERGE <= self.radius <= 1e-3:
            raise InputError(
                f"`radius` {self.radius:g}: tokens merge at {MERGE:g}; capture them from there to 1e-3",
                field="radius",
            )

    def check(self, field: Field) -> None:
        """InputError for a field with noise, which adaptive steps do not serve."""
        if field.noise > 0:
            raise InputError(
                "`method`: the field has noise, which no step size resolves: use Noisy(step) or Layers(step)",
                field="method",
            )
        if isinstance(field, AttentionField) and field.depth is not None:
            raise InputError(
                "`method`: heads that change with time are for layers: use Layers(step)", field="method"
            )

    def begin(self, field: Field, start: State, weights: Float[np.ndarray, " n"]) -> Integrator:
        self.check(field)
        radius = self.radius or min(1e-3, max(MERGE, 0.1 * self.tolerance**0.5))
        if is_euclidean(field) and self.radius is None:
            radius = MERGE  # of tokens of any length a pair may pull at others by much more than its distance
        return AdaptiveIntegrator(field, start, weights, self.tolerance, radius)


@register("layers")
@dataclass(frozen=True)
class Layers:
    """x <- normalise(x + h A(x)), layers of step h; x <- x + h A(x) without layer norm  [glpr2023].

    Time goes in whole steps: a run ends at the first layer at or after `until`, and a time to keep is that of the first
    layer at or after it. `seed` draws the noise of a field that has any. InputError for a step that is not positive.
    """

    step: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_types(self, step=Real, seed=Integral)
        check_step(self.step, self.seed)

    def check(self, field: Field) -> None:
        """InputError for a field that is none of attention, and for weights that are redrawn between layers."""
        if not isinstance(field, AttentionField):
            raise InputError(
                f"`field`: {type(field).__name__} has no layers: the layer clock needs an AttentionField",
                field="field",
            )
        check_draws(field, self.step)

    def begin(self, field: Field, start: State, weights: Float[np.ndarray, " n"]) -> Integrator:
        self.check(field)
        assert isinstance(field, AttentionField)
        return LayerIntegrator(field, start, weights, self.step, self.seed)


@register("noisy")
@dataclass(frozen=True)
class Noisy:
    """dX = F dt + sqrt(2 / kappa) dW in steps of size h, of weak order two  [derived].

    Time goes in whole steps, as that of Layers. Runs with the same seed have the same noise. InputError for a step that
    is not positive.
    """

    step: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        require_types(self, step=Real, seed=Integral)
        check_step(self.step, self.seed)

    def check(self, field: Field) -> None:
        """InputError for weights that are redrawn between steps."""
        check_draws(field, self.step)

    def begin(self, field: Field, start: State, weights: Float[np.ndarray, " n"]) -> Integrator:
        self.check(field)
        return NoisyIntegrator(field, start, weights, self.step, self.seed)


Method = Adaptive | Layers | Noisy


def check_draws(field: Field, step: float) -> None:
    """InputError where weights change within a step, so that draws last for different times, or for none."""
    depth = field.depth if isinstance(field, AttentionField) else None
    if isinstance(depth, Piecewise):
        for time in depth.times:
            whole = max(1.0, float(np.round(time / step)))
            if time > 0 and not math.isclose(time / step, whole, rel_tol=ROUNDING):
                raise InputError(
                    f"`times` of weights hold {time:g}, which is {time / step:.4g} of the `step` {step:g}, and weights "
                    f"change between steps alone: take a whole number of steps, such as {whole * step:g}",
                    field=("times", "step"),
                )
    if not isinstance(depth, Resampled):
        return
    steps = depth.period / step
    whole = max(1, round(steps))
    if not math.isclose(steps, whole, rel_tol=ROUNDING):
        raise InputError(
            f"`period` {depth.period:g} of redrawn weights is {steps:.4g} of the `step` {step:g}, and weights change "
            f"between steps alone: take a whole number of steps, such as a `period` of {whole * step:g}",
            field=("period", "step"),
        )


def check_step(step: float, seed: int) -> None:
    """InputError unless the step is positive and finite and the seed is 0 or more."""
    if not 0 < step < math.inf:
        raise InputError(f"`step` {step}: must be positive and finite", field="step")
    if seed < 0:
        raise InputError(f"`seed` {seed}: must be 0 or more", field="seed")
