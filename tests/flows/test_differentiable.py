"""The field in torch is that of NumPy, in value and gradient, and a flow is fitted and controlled by it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows import AttentionField, Drive, FeedForward, Head, TorchFeedForward, TorchField, torch_flow
from spinodal.flows.fields import scheme
from spinodal.flows.state import State

N, D = 7, 3
X, W = sphere.uniform(N, D, 0), np.random.default_rng(1).dirichlet(np.ones(N))
MATRICES = np.random.default_rng(2).standard_normal((5, D, D))
HEADS = {
    "identity": (Head(),),
    "repulsive": (Head(values=-0.5),),
    "matrices": (Head(MATRICES[0], MATRICES[1], MATRICES[2]),),
    "narrow": (Head(MATRICES[0, :2], MATRICES[1, :2], MATRICES[2]), Head(MATRICES[3], 1.0, -1.0)),
    "numbers": (Head(0.5, 1.0, 1.0), Head(1.0, 1.0, -2.0)),
}
PUSH = FeedForward(MATRICES[3], MATRICES[4], MATRICES[0, 0], "tanh", MATRICES[1, 1])


def numpy_drift(field: AttentionField, x: np.ndarray) -> np.ndarray:
    return field(0.0, State(x, np.ones(len(x))), W).drift


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", HEADS)
def test_the_drift_is_that_of_the_field(kind: str, causal: bool, heads: str):
    for push, beta in itertools.product((None, PUSH), (0.0, 1.7)):
        field = AttentionField(beta, kind, HEADS[heads], causal, feed_forward=push)
        found = TorchField.of(field)(0.0, torch.from_numpy(X), torch.from_numpy(W))
        np.testing.assert_allclose(found.numpy(), numpy_drift(field, X), rtol=0, atol=1e-13)
        batch = TorchField.of(field)(0.0, torch.from_numpy(np.stack([X, X[:, ::-1]])), torch.from_numpy(W))
        torch.testing.assert_close(batch[0], found)


@pytest.mark.parametrize("heads", ["identity", "matrices", "narrow"])
def test_gradients_are_those_of_differences_of_the_field(heads: str):
    """Along the sphere in the tokens, and in beta."""
    step, way = 1e-6, np.random.default_rng(3).standard_normal((N, D))
    field = AttentionField(1.7, "sa", HEADS[heads], True, feed_forward=PUSH)
    differences = [
        (numpy_drift(field, sphere.normalise(X + s * way)) for s in (step, -step)),
        (
            numpy_drift(AttentionField(1.7 + s, "sa", HEADS[heads], True, feed_forward=PUSH), X)
            for s in (step, -step)
        ),
    ]

    def along(s: torch.Tensor) -> torch.Tensor:
        x = torch.from_numpy(X) + s * torch.from_numpy(way)
        return TorchField.of(field)(0.0, x / x.norm(dim=-1, keepdim=True), torch.from_numpy(W))

    def hotter(s: torch.Tensor) -> torch.Tensor:
        return dataclasses.replace(TorchField.of(field), beta=1.7 + s)(
            0.0, torch.from_numpy(X), torch.from_numpy(W)
        )

    for function, (above, below) in zip((along, hotter), differences, strict=True):
        jacobian = torch.autograd.functional.jacobian(function, torch.zeros((), dtype=torch.float64))
        assert isinstance(jacobian, torch.Tensor)
        np.testing.assert_allclose(jacobian.numpy(), (above - below) / (2 * step), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_every_parameter_has_its_gradient(kind: str):
    def drift(x, weights, beta, Q, K, V, outer, inner, bias):
        push = TorchFeedForward(outer, inner, bias, "gelu")
        return TorchField(beta, kind, Q, K, V, True, push)(0.0, x, weights)

    parts = (X[:4], W[:4], 0.7, MATRICES[:2], MATRICES[1:3], MATRICES[2:4], MATRICES[3], MATRICES[4], X[0])
    given = [torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in parts]
    assert torch.autograd.gradcheck(drift, given)


def test_the_flow_is_that_of_simulate_and_of_fifth_order():
    field = AttentionField(2.0, "usa", HEADS["matrices"])
    exact = torch.from_numpy(
        flows.simulate(
            field, X, 1.0, saves=[0.5], method=flows.Adaptive(1e-12), weights=np.full(N, 1 / N)
        ).tokens
    )
    errors = []
    for step in (0.1, 0.05):
        path = torch_flow(TorchField.of(field), torch.from_numpy(X), [0.0, 0.5, 1.0], step=step)
        assert path.shape == exact.shape
        errors.append(float((path - exact).norm()))
    assert errors[1] < 1e-5
    assert 4 < math.log2(errors[0] / errors[1]) < 6.5


def test_beta_is_fitted_to_a_trajectory():
    x, times = sphere.uniform(16, 3, 0), [0.0, 0.5, 1.0]
    seen = torch.from_numpy(flows.simulate(AttentionField(3.0), x, 1.0, saves=times[1:]).tokens)
    beta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([beta], lr=1.0, line_search_fn="strong_wolfe", tolerance_change=1e-16)

    def loss() -> torch.Tensor:
        search.zero_grad()
        away = (torch_flow(TorchField(beta), seen[0], times) - seen).square().sum()
        away.backward()
        return away

    search.step(loss)  # pyright: ignore[reportArgumentType]
    assert beta.item() == pytest.approx(3.0, abs=1e-5)


def test_a_control_has_its_gradient_through_the_flow():
    x = torch.from_numpy(X[:3])

    def end(push: torch.Tensor) -> torch.Tensor:
        def drift(t: float, y: torch.Tensor) -> torch.Tensor:
            along = push * math.cos(t)
            return TorchField(1.0)(t, y) + along - (along * y).sum(-1, keepdim=True) * y

        return torch_flow(drift, x, [0.0, 0.4], step=0.2)[-1]

    push = torch.tensor([[0.1, 0.2, -0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(end, push)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (AttentionField(scheme=scheme("pre")), "`scheme` Pre.*the field in torch is post-LN"),
        (AttentionField(kappa=5.0), "`kappa` 5.0"),
        (AttentionField(drive=Drive.frequency([1.0, 2.0])), "`drive` Drive"),
        (AttentionField(beta=math.inf), "`beta` inf: hardmax has no gradient"),
    ],
)
def test_parts_without_a_torch_form_are_refused(field, said: str):
    with pytest.raises(InputError, match=said):
        TorchField.of(field)


def test_what_does_not_fit_is_refused():
    x = torch.eye(3, dtype=torch.float64)
    for make, said in [
        (lambda: TorchField(kind="softmax"), "`kind` 'softmax' is none of"),
        (lambda: TorchField(values=torch.ones(3)), r"`values` have shape \(3,\)"),
        (
            lambda: TorchField(values=torch.eye(2))(0.0, x.float()),
            "tokens have d = 3, the matrices of the field d = 2",
        ),
        (lambda: TorchField()(0.0, x, torch.ones(2)), r"`weights` have shape \(2,\): 3 tokens need \(3,\)"),
        (lambda: torch_flow(TorchField(), x, [0.0, 0.0]), "`times`.*increasing"),
        (lambda: torch_flow(TorchField(), x, []), "`times`.*increasing"),
        (lambda: torch_flow(TorchField(), x, [0.0, 1.0], step=0.0), "`step` 0: must be positive"),
        (lambda: torch_flow(TorchField(), x, [0.0, 1e300]), "steps, where the limit is"),
    ]:
        with pytest.raises(InputError, match=said):
            make()
