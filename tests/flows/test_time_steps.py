"""The layer clock, and steps with noise."""

import numpy as np
import pytest
from scipy.special import roots_genlaguerre

from spinodal import sphere, theory
from spinodal.errors import InputError
from spinodal.flows.fields import NGPT, AttentionField, Head, Mix, Post, Sqrt, scheme
from spinodal.flows.state import Rate, State
from spinodal.flows.time import CONSENSUS, Adaptive, CheckpointPolicy, Layers, Noisy, simulate
from spinodal.flows.time.layers import take_layer
from spinodal.flows.time.noise import brownian, noisy_step, normal_draws


def tokens(run):
    return run.tokens


def test_layers_follow_the_recursion_of_equiangular_tokens():
    """x <- normalise(x + h Att(x)) from an orthonormal start: every cosine is theory's, layer by layer."""
    n, beta = 6, 3.0
    run = simulate(AttentionField(beta), np.eye(n), 5.0, method=Layers(0.1), saves=0.1 * np.arange(1, 51))
    gamma = theory.layer_gamma(50, n, beta, 0.1)
    assert np.allclose(run.times, 0.1 * np.arange(51))
    for x, g in zip(tokens(run), gamma, strict=True):
        assert abs((x @ x.T)[np.triu_indices(n, 1)] - g).max() < 1e-12


def test_clocks_convert():
    """The flow at the converted time has the cosine of the layers."""
    n, beta = 8, 2.0
    layers = tokens(simulate(AttentionField(beta), np.eye(n), 3.0, method=Layers(0.1)))[-1]
    ode = float(theory.layer_to_ode(3.0, n, beta, 0.1))
    flow = tokens(simulate(AttentionField(beta), np.eye(n), ode, method=Adaptive(1e-10)))[-1]
    assert np.isclose(layers[0] @ layers[1], flow[0] @ flow[1], atol=1e-8)
    assert ode < 3.0


def test_layers_by_their_definition():
    """General matrices, two heads, causal: against softmax written out; pre-LN against x <- x + h A(x / |x|)."""
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((2, 3, 4, 4))
    heads = tuple(Head(Q, K, V) for Q, K, V in matrices)
    x = sphere.uniform(5, 4, seed=1)

    def output(x):
        A = np.zeros_like(x)
        for Q, K, V in matrices:
            logits = 1.5 * (x @ Q.T) @ (x @ K.T).T
            E = np.tril(np.exp(logits - logits.max(1, keepdims=True)))
            A += E / E.sum(1, keepdims=True) @ x @ V.T
        return A

    post, pre = x, x
    for _ in range(3):
        post = sphere.normalise(post + 0.2 * output(post))
        pre = pre + 0.2 * output(sphere.normalise(pre))
    field = AttentionField(1.5, heads=heads, causal=True)
    assert np.allclose(tokens(simulate(field, x, 0.6, method=Layers(0.2)))[-1], post, atol=1e-13)
    field = AttentionField(1.5, heads=heads, causal=True, scheme=scheme("pre"))
    run = simulate(field, x, 0.6, method=Layers(0.2))
    assert np.allclose(run.lengths[-1][:, None] * tokens(run)[-1], pre, atol=1e-13)


@pytest.mark.slow
def test_layers_reach_consensus_and_say_when_tokens_merge():
    run = simulate(AttentionField(1.0), np.eye(3), CONSENSUS, method=Layers(0.1))
    assert run.merges.clusters.tolist() == [2, 1]
    gamma = theory.layer_gamma(run.steps, 3, 1.0, 0.1)
    first = np.argmax(np.sqrt(2 * (1 - gamma)) < 1e-7)  # where the recursion's 1 - g still has digits
    assert 0.1 * first < run.merges.time[0] < 0.1 * (first + 40)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_brownian_motion_is_of_second_weak_order(d):
    """E<x_t, x_0> = e^{-(d-1) tau}, by Gauss quadrature over the length of the step: errors fall as tau^3."""
    half, weight = roots_genlaguerre(60, (d - 3) / 2)  # of |xi|^2 / 2 in d - 1 dimensions
    x = np.zeros((60, d))
    x[:, 0] = 1.0
    xi = np.zeros((60, d))
    xi[:, 1] = np.sqrt(2 * half)
    errors = []
    for tau in (0.04, 0.02):
        cosine = brownian(x, tau, xi)[:, 0] @ weight / weight.sum()
        errors.append(abs(cosine - np.exp(-(d - 1) * tau)))
    assert errors[0] < 1e-12 or np.log2(errors[0] / errors[1]) > 2.7


class Pulled:
    """dX = P e dt + sqrt(2 / kappa) dW for tokens that do not see each other: density e^{kappa <x, e>} in the end."""

    merges, noise, in_span = False, 0.5, False
    e = np.array([0.0, 0.0, 1.0])

    def __call__(self, time, state, weights):
        x = state.directions
        zero = np.zeros(len(x))
        return Rate(sphere.tangent(x, np.tile(self.e, (len(x), 1))), zero, zero, zero)


@pytest.mark.slow
def test_noisy_steps_are_of_second_weak_order():
    """The stationary mean coth kappa - 1 / kappa, at steps so large that their error is seen."""
    field, n = Pulled(), 100_000
    expected = 1 / np.tanh(2.0) - 0.5
    errors = []
    for h in (1.0, 0.5):
        state, w = State(sphere.uniform(n, 3), np.ones(n)), np.full(n, 1 / n)
        mean = []
        for k in range(int(12 / h)):
            state, _ = noisy_step(field, k * h, state, w, h, (7, k))
            if k * h >= 4:
                mean.append(state.directions[:, 2].mean())
        errors.append(abs(np.mean(mean) - expected))
    assert errors[0] > 4e-3
    assert np.log2(errors[0] / errors[1]) > 1.5


def test_uniform_tokens_stay_uniform_under_strong_noise():
    """Above the threshold kappa / beta the second moment of many tokens is that of the sphere."""
    x = sphere.uniform(400, 3, seed=2)
    run = simulate(AttentionField(1.0, kappa=0.2), x, 1.0, method=Noisy(0.05))
    last = tokens(run)[-1]
    assert abs(last.mean(0)).max() < 0.15
    assert abs(last.T @ last / 400 - np.eye(3) / 3).max() < 0.08
    assert abs(np.linalg.norm(last, axis=1) - 1).max() < 4e-16


def test_noise_is_drawn_by_counter():
    assert (normal_draws(3, 5, (2, 4)) == normal_draws(3, 5, (2, 4))).all()
    assert (normal_draws(3, 5, (2, 4)) != normal_draws(3, 6, (2, 4))).all()
    assert (normal_draws(4, 5, (2, 4)) != normal_draws(3, 5, (2, 4))).all()
    x = sphere.uniform(7, 4)
    assert (brownian(x, 0.0, normal_draws(0, 0, x.shape)) == sphere.normalise(x)).all()


@pytest.mark.parametrize("method", [Noisy(0.05, seed=3), Layers(0.1, seed=3)])
def test_resumed_noise_is_equal_bit_for_bit(tmp_path, method):
    x, field = sphere.uniform(9, 3), AttentionField(2.0, kappa=20.0)
    saves = 0.2 * np.arange(1, 16)
    whole = simulate(field, x, 3.0, method=method, saves=saves)

    def cut(time, until):
        assert until == 3.0
        if np.isclose(time, 17 * method.step):
            raise KeyboardInterrupt

    checkpoints = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        simulate(field, x, 3.0, method=method, saves=saves, checkpoints=checkpoints, progress=cut)
    checkpoints.resume = True
    resumed = simulate(field, x, 3.0, method=method, saves=saves, checkpoints=checkpoints)
    assert (tokens(resumed) == tokens(whole)).all()
    assert (resumed.times == whole.times).all()


def test_causal_tokens_go_where_the_first_one_is():
    """V = I: the first never moves, the second nears it at half the speed of two tokens."""
    x = np.eye(3)
    run = simulate(AttentionField(2.0, causal=True), x, 6.0, method=Adaptive(1e-10))
    last = tokens(run)[-1]
    assert (last[0] == x[0]).all()
    assert np.isclose(np.arccos(last[0] @ last[1]), theory.two_token_angle_sa(3.0, 2.0), atol=1e-8)
    assert last[0] @ last[2] > 0.9


def test_what_cannot_be_is_refused():
    x = sphere.uniform(4, 3)
    with pytest.raises(InputError, match="`step` 0"):
        Layers(0.0)
    with pytest.raises(InputError, match="apart for ever"):
        simulate(AttentionField(1.0, kappa=10.0), x, CONSENSUS, method=Noisy(0.1))
    with pytest.raises(InputError, match="no layers"):
        simulate(Pulled(), x, 1.0, method=Layers(0.1))


@pytest.mark.parametrize("norm", [Post(), Mix(2.0), NGPT(0.7), Sqrt()], ids=["post", "mix", "ngpt", "sqrt"])
def test_a_layer_that_keeps_lengths_normalises_what_it_adds(norm: Post | Mix | NGPT | Sqrt):
    """theta <- normalise(theta + h A / s) with A = T + a theta, for mix-LN before tau."""
    theta = sphere.uniform(5, 3, seed=4)
    field, r, h = AttentionField(2.0, scheme=norm), np.full(5, 1.3), 0.4
    A = field.attention_output(theta, np.full(5, 0.2), radial=True)
    s = np.broadcast_to(norm(1.0, r, A).speed, 5)[:, None]
    state, _ = take_layer(field, 1.0, State(theta, r), np.full(5, 0.2), h)
    expected = sphere.normalise(theta + h * (A.tangent + A.radial[:, None] * theta) / s)
    np.testing.assert_allclose(state.directions, expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(state.lengths, r)
