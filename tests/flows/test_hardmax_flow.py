"""Hardmax through time: layers by their definition, and a refusal where tokens slide on the ode clock."""

import numpy as np
import pytest
from marks import slow_but

from spinodal import sphere
from spinodal.errors import ConvergenceError
from spinodal.flows import (
    AttentionField,
    Head,
    Layers,
    Simulation,
    UniformStart,
    evolve,
    simulate,
    stack_heads,
)


def test_a_flow_without_switches_is_that_towards_the_token_that_is_liked():
    """Two tokens that like each other best: u' = -2 sin u, tan(u / 2) = tan(u_0 / 2) e^{-2t}  [derived]."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    run = simulate(AttentionField(np.inf, heads=(Head(queries=-1.0),)), x, 1.5)
    u = np.arccos(run.tokens[-1][0] @ run.tokens[-1][1])
    assert np.tan(u / 2) == pytest.approx(np.exp(-3.0), rel=1e-7)


@pytest.mark.parametrize("seed", slow_but([0, 2, 3], 0))
@pytest.mark.slow
def test_tokens_that_slide_are_refused_with_the_way_out(seed):
    field = AttentionField(np.inf, heads=stack_heads(f"random:{seed}", d=3))
    with pytest.raises(
        ConvergenceError, match=r"tokens slide .* take the layer clock, `method` Layers\(step\)"
    ):
        evolve(Simulation(field, UniformStart(10, 3, seed), until=20.0))


@pytest.mark.slow
def test_tokens_that_do_not_slide_are_followed_to_the_end():
    field = AttentionField(np.inf, heads=stack_heads("random:1", d=3))
    layers = simulate(field, sphere.uniform(10, 3, 1), 20.0, method=Layers(1e-2))
    run = evolve(Simulation(field, UniformStart(10, 3, 1), until=20.0))
    np.testing.assert_allclose(run.tokens[-1], layers.tokens[-1], atol=1e-3)


@pytest.mark.slow
def test_layers_of_hardmax_go_through_by_their_definition():
    (head,) = stack_heads("random:1", d=3)
    x = sphere.uniform(20, 3, 1)
    run = simulate(AttentionField(np.inf, heads=(head,)), x, 20.0, method=Layers(0.1))
    y = x
    for _ in range(200):
        y = sphere.normalise(y + 0.1 * y[np.argmax((y @ np.asarray(head.queries).T) @ y.T, 1)])
    np.testing.assert_allclose(run.tokens[-1], y, atol=1e-7)  # merged tokens are one to 1e-8
