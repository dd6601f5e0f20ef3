"""The form of a flow: its coupling, its anchors, and how many steps it takes down the energy."""

from dataclasses import dataclass

from spinodal.errors import InputError
from spinodal.mixers.graph.coupling import SineCoupling

UNROLLED = 8  # steps, above which gradients through all of them are refused


@dataclass(frozen=True)
class Descent:
    """x <- x - size M^-1 grad E, `steps` times; size None is the largest with which E cannot rise.

    A sample takes no more steps once its relative residual |M^-1 grad E| / |v| is below `tolerance`.

    `implicit` takes gradients at the equilibrium, where the steps must arrive. `sharing` maps each step to one of
    max(sharing) + 1 learned sizes, all below `size`.
    """

    steps: int = 4
    size: float | None = None
    tolerance: float = 0.0
    implicit: bool = False
    sharing: tuple[int, ...] = ()

    def __post_init__(self):
        if self.steps < 1:
            raise InputError(f"steps={self.steps}: a flow takes at least 1")
        if self.tolerance < 0:
            raise InputError(f"tolerance={self.tolerance}: a relative residual is never negative")
        if self.implicit and not self.tolerance:
            raise InputError(
                "implicit gradients hold at an equilibrium: give the tolerance that it must meet, say 1e-5"
            )
        if self.steps > UNROLLED and not self.implicit and not self.tolerance:
            raise InputError(
                f"steps={self.steps}: gradients are unrolled through at most {UNROLLED}; give a tolerance, so that a "
                f"sample may stop earlier, or implicit=True"
            )
        if self.sharing and (
            len(self.sharing) != self.steps or sorted(set(self.sharing)) != list(range(max(self.sharing) + 1))
        ):
            raise InputError(
                f"sharing={self.sharing}: it maps each of {self.steps} steps to 0, 1, ... without a gap"
            )
        if self.sharing and self.implicit:
            raise InputError(
                "sharing with implicit=True: an equilibrium does not depend on the steps to it; take ()"
            )


@dataclass(frozen=True)
class FlowForm:
    """The terms of the flow x_i' = sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i), and how it is descended  [derived].

    `coupling` is f, "sin" or another odd function, whose coefficients are trained where `learned`; values are
    bounded by |v| < `amplitude`, None for no bound; `anchored` gives the anchors rho, 0 otherwise. `threshold` in [0,
    1) drops links that have less than this share of the largest weight at both their ends.
    """

    coupling: str = "sin"
    learned: bool = False
    amplitude: float | None = 0.75
    anchored: bool = True
    threshold: float = 0.0
    descent: Descent = Descent()  # the steps of the flow

    def __post_init__(self):
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold={self.threshold}: a share of the largest weight of a row, in [0, 1)")
        if self.amplitude is not None and self.amplitude <= 0:
            raise InputError(f"amplitude={self.amplitude}: it must be above 0, or None")


def require_descent(
    form: FlowForm, coupling: SineCoupling, *, largest: float, causal: bool, guarantee: str
) -> None:
    """InputError where a step would not descend, or an equilibrium would not be unique."""
    amplitude, descent = form.amplitude, form.descent
    if descent.size is not None and not 0 < descent.size <= largest:
        raise InputError(
            f"size={descent.size}: the energy falls for steps up to {largest:.4g} = 1 / max(1, sup|f'|)"
        )
    if amplitude is not None and not form.learned and not coupling.rises_within(2 * amplitude):
        raise InputError(
            f"amplitude={amplitude}: values differ by up to {2 * amplitude:.4g}, where the slope of "
            f"{form.coupling} is not positive; for sin take less than pi/4, or None"
        )
    if descent.tolerance and causal:
        raise InputError("tolerance in a causal flow: when to stop would depend on later tokens; take 0")
    if not descent.implicit:
        return
    if guarantee != "energy":
        raise InputError(
            f"implicit=True: the Hessian must be symmetric, and this flow has the guarantee {guarantee!r}"
        )
    if not form.anchored or amplitude is None or form.learned:
        raise InputError(
            "implicit=True: the equilibrium must be unique, which takes anchors, an amplitude and a fixed coupling"
        )
