r"""The layer clock: the residual layers x <- normalise(x + h A(x)), without a tangent projection.

    lengths stay (post, nGPT, sqrt)   theta <- normalise(theta + h A / s)
    lengths move (pre, peri)          r theta <- r theta + h (r T / s + r' theta)

    no layer norm (none)              x <- x + h A; rescaled: see `fields.euclidean`

with A = T + a theta and s, r' as in `fields.schemes`: for pre-LN x <- x + h A(x / |x|). Normalising divides by
1 + h <x, A> / s, so that this clock is slow beside the flow's, by `theory.layer_slowness`; `theory.layer_to_ode` and
`theory.ode_to_layer` convert.
"""

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.flows.fields import AttentionField
from spinodal.flows.fields.euclidean import euclidean_layer
from spinodal.flows.state import Rate, State


def take_layer(
    field: AttentionField, time: float, state: State, weights: Float[np.ndarray, " n"], h: float
) -> tuple[State, Rate]:
    """(state after x <- normalise(x + h A(x)) with the scheme of the field, rate before it)."""
    theta, r = state
    if field.euclidean:
        x, rate = euclidean_layer(field, time, theta, weights, h)
        return State(x, r), rate
    A = field.at(time).attention_output(theta, weights, radial=True)
    s, growth = field.scheme(time, r, A)
    speed = np.broadcast_to(s, r.shape)[:, None]
    rate = Rate(A.tangent / speed, growth, A.Z, A.error_bound / speed[:, 0], A.engine)
    if not (field.scheme.grows and field.scheme.radial(time)):
        return State(sphere.normalise(theta + h * (rate.drift + A.radial[:, None] / speed * theta)), r), rate
    x = r[:, None] * theta + h * (r[:, None] * rate.drift + growth[:, None] * theta)
    return State(sphere.normalise(x), sphere.lengths(x)), rate
