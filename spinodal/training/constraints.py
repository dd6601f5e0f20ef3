r"""The physics loss: inequalities on the residuals of the mixers, by penalty or by multipliers.

    c_k = residual_k - tolerance <= 0         for each constrained residual k
    penalty     rho sum_k max(c_k, 0)
    dual        sum_k lambda_k c_k,                                lambda_k <- [lambda_k + rho c_k]_+
    augmented   sum_k ([lambda_k + rho c_k]_+^2 - lambda_k^2) / (2 rho),   the same update

Multipliers *ascend*: if the loss were minimised over them too, as eq. 10a of [qajar2024] reads, they would
tend to minus infinity. They take one step after each training step and are cut off at zero, so that a
residual below its tolerance costs nothing. A penalty with tolerance 0 is a regularised loss, J = mean L +
rho R, with R the energy of a graph's tokens, the density of its links or the l1 norm of its states.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError, require_types
from spinodal.mixers import registry


class Method(StrEnum):
    """The method by which constraints enter the loss; with `NONE` residuals are only recorded."""

    NONE = "none"
    PENALTY = "penalty"
    DUAL = "dual"
    AUGMENTED = "augmented"


@dataclass(frozen=True)
class Constraint:
    """The physics loss: which method holds which residuals below which tolerance.

    `method` is a `Method`; `constrain` names residuals or measures of mixers (`spinodal list mixers` shows which),
    with commas between them; `tolerance` is the value that each is to stay below, `rate` the weight of a penalty or
    the step of the multipliers.
    """

    method: str = "none"
    constrain: str = "F,g1"
    tolerance: float = 0.05
    rate: float = 0.1

    def __post_init__(self):
        require_types(self, method=str, constrain=str, tolerance=Real, rate=Real)
        if self.method not in list(Method):
            raise InputError(f"method={self.method}: one of {', '.join(Method)}")
        if self.tolerance < 0:
            raise InputError(
                f"tolerance={self.tolerance}: a residual is never negative, nor is its tolerance"
            )
        if self.rate <= 0:
            raise InputError(f"rate={self.rate}: it must be above 0")
        known = registry.constrainable()
        if unknown := set(self.names) - set(known):
            raise InputError(
                f"constrain={self.constrain}: {', '.join(sorted(unknown))} is none of {', '.join(known)}"
            )

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.constrain.split(",") if name.strip()]


def missing_residuals(names: Iterable[str], reported: Iterable[str]) -> str:
    """The error message for a model that reports none of the residuals that a constraint names."""
    return f"constrain={','.join(names)}: this model reports {', '.join(reported) or 'none'}; set method=none"


class Constraints:
    """The inequalities c_k <= 0, one for each name; their state is `multipliers`, which checkpoints hold."""

    def __init__(self, form: Constraint):
        self.method, self.tolerance, self.rate = Method(form.method), form.tolerance, form.rate
        self.names = form.names
        self.multipliers = dict.fromkeys(self.names, 0.0)

    @property
    def active(self) -> bool:
        return self.method is not Method.NONE

    @property
    def ascends(self) -> bool:
        return self.method in (Method.DUAL, Method.AUGMENTED)

    def violations(self, residuals: Mapping[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
        """c_k of the constrained residuals that the model has; InputError if it has none of them."""
        found = {name: residuals[name] - self.tolerance for name in self.names if name in residuals}
        if self.active and not found:
            raise InputError(missing_residuals(self.names, residuals))
        return found

    def loss(self, residuals: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """The sum over k of the terms of the method (penalty, dual, augmented) that the task's loss gains."""
        terms = []
        for name, c in self.violations(residuals).items():
            if self.method is Method.PENALTY:
                terms.append(self.rate * c.clamp(min=0))
            elif self.method is Method.DUAL:
                terms.append(self.multipliers[name] * c)
            else:
                raised = (self.multipliers[name] + self.rate * c).clamp(min=0)
                terms.append((raised.square() - self.multipliers[name] ** 2) / (2 * self.rate))
        return torch.stack(terms).sum()

    def ascend(self, residuals: Mapping[str, float]):
        """lambda_k <- [lambda_k + rho c_k]_+, after a step of the network's optimiser."""
        if self.ascends:
            for name in self.multipliers:
                if name in residuals:
                    c = residuals[name] - self.tolerance
                    self.multipliers[name] = max(0.0, self.multipliers[name] + self.rate * c)
