"""W2, axial order and recurrence against closed forms and definitions written out."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spinodal import flows, observables, sphere, theory
from spinodal.errors import InputError
from spinodal.types import Trajectory


def circle(*angles: float) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], -1)


def test_w2_to_a_dirac_is_that_of_its_tokens():
    two = circle(0.3, -0.3)
    assert observables.wasserstein_to_dirac(two).item() == pytest.approx(2 * math.sin(0.15))
    assert observables.wasserstein_to_dirac(two, np.array([0.0, 2.0])).item() == pytest.approx(
        math.sqrt(2 - 2 * two.mean(0)[1])
    )
    assert observables.wasserstein_to_dirac(circle(0.0, math.pi)).item() == pytest.approx(math.sqrt(2))
    far = 1e-9
    assert observables.wasserstein_to_dirac(circle(far, -far)).item() == pytest.approx(far, rel=1e-6)


def test_the_nearest_dirac_is_the_nearest():
    x = sphere.uniform(20, 3, 0)[None, None]
    weights = torch.from_numpy(np.random.default_rng(0).random((1, 20)))
    least = observables.wasserstein_to_dirac(x, weights=weights).item()
    others = [
        observables.wasserstein_to_dirac(x, p, weights=weights).item() for p in sphere.uniform(50, 3, 1)
    ]
    assert least < min(others)


def test_w2_to_a_dirac_follows_the_theory_and_decays_at_half_the_rate_of_its_square():
    run = flows.simulate(flows.AttentionField(1.0), np.eye(6), 8.0, saves=[2.0, 7.0])
    found = observables.measure(run, ["wasserstein_dirac"])["wasserstein_dirac"][:, 0].numpy()
    entry = observables.OBSERVABLES["wasserstein_dirac"]
    assert entry.equiangular is not None
    expected = entry.equiangular(np.asarray(theory.gamma_sa(run.times, 6, 1.0)), 6, observables.Scales())
    assert found == pytest.approx(expected, rel=1e-6)
    assert math.log(found[2] / found[3]) == pytest.approx(1.0, abs=1e-3)  # 1 - gamma ~ e^{-2t}


def test_w2_is_the_cheapest_of_all_permutations():
    x, y = sphere.uniform(5, 3, 0), sphere.uniform(5, 3, 1)
    every = [((x - y[list(p)]) ** 2).sum(1).mean() for p in itertools.permutations(range(5))]
    assert observables.wasserstein(x, y).item() == pytest.approx(math.sqrt(min(every)))
    assert observables.wasserstein(x, x[::-1].copy()).item() == 0


def test_w2_of_a_turned_lattice_is_its_step_and_fewer_tokens_weigh_more():
    lattice = circle(*(2 * math.pi * np.arange(7) / 7))
    turned = circle(*(2 * math.pi * np.arange(7) / 7 + 0.2))
    assert observables.wasserstein(lattice, turned).item() == pytest.approx(2 * math.sin(0.1))
    pairs = circle(0.1, -0.1, math.pi + 0.1, math.pi - 0.1)
    assert observables.wasserstein(pairs, circle(0.0, math.pi)).item() == pytest.approx(2 * math.sin(0.05))


def test_w2_to_the_end_of_a_result_is_zero_in_the_end():
    run = flows.simulate(flows.AttentionField(1.0), sphere.uniform(6, 2, 0), 2.0, saves=[1.0])
    found = observables.wasserstein(run, run)[:, 0]
    assert found[-1] == 0
    assert (found.diff() < 0).all()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (np.eye(3)[:2], "`reference` holds 2 tokens, which do not divide 3"),
        (np.eye(2)[:1], "`reference` has d = 2, the tokens d = 3"),
        (np.ones((1, 2, 3, 3)), "`reference` holds 2 sequences"),
    ],
)
def test_references_that_do_not_fit_are_refused(reference, said: str):
    with pytest.raises(InputError, match=said):
        observables.wasserstein(np.eye(3), reference)


def test_points_without_a_direction_are_refused():
    with pytest.raises(InputError, match=r"`point` \[0.0, 0.0, 0.0\]: a direction in R\^3"):
        observables.wasserstein_to_dirac(np.eye(3), np.zeros(3))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("point", ["north", [1.0, math.nan, 0.0], [1j, 0, 0]])
def test_points_that_are_none_are_refused(point: Any):
    with pytest.raises(InputError, match="`point`"):
        observables.wasserstein_to_dirac(np.eye(3), point)


def test_w2_has_a_gradient_in_the_point():
    """d W2^2 / dp = -2 sum_j w_j x_j, less its part along p."""
    x, p = sphere.uniform(5, 3, 0), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    observables.wasserstein_to_dirac(x, p).square().sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == pytest.approx([*(-2 * x.mean(0)[:2]), 0.0])


def test_axial_order_is_one_on_a_line_and_the_second_order_parameter_on_the_circle():
    u = sphere.uniform(1, 7, 0)
    assert observables.axial_order(np.concatenate([3 * u, -u, -2 * u])).item() == pytest.approx(1)
    assert observables.axial_order(circle(*(2 * math.pi * np.arange(5) / 5))).item() == pytest.approx(0.5)
    x = sphere.uniform(30, 2, 0)[None, None]
    weights = torch.from_numpy(np.random.default_rng(0).random((1, 30)))
    second = observables.order_parameters(x, 2, weights=weights)[0, 0, 1]
    assert observables.axial_order(x, weights=weights).item() == pytest.approx((1 + second.item()) / 2)
    few = sphere.uniform(4, 9, 2)
    moment = few.T @ few / 4
    assert observables.axial_order(few).item() == pytest.approx(np.linalg.eigvalsh(moment)[-1])


def test_a_pattern_that_turns_recurs_and_one_that_comes_back():
    x, turn = sphere.uniform(8, 3, 0), np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    other = sphere.uniform(8, 3, 1)
    tokens = np.stack([x, x @ turn, other, x])[:, None]
    away = observables.departure(tokens)[:, 0].tolist()
    cosines = [frame[0] @ frame[0].T for frame in tokens]
    expected = [math.sqrt(((c - cosines[0]) ** 2).sum() / 56) for c in cosines]
    assert away == pytest.approx(expected, abs=1e-14)
    assert away[1] < 1e-14
    D = observables.recurrence(tokens)[..., 0].numpy()
    both = [[math.sqrt(((a - b) ** 2).sum() / 56) for a in cosines] for b in cosines]
    np.testing.assert_allclose(D, both, rtol=0, atol=1e-7)


class Largest(TorchDispatchMode):
    """The largest number of entries of a tensor that an operation returned."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.entries = max(self.entries, found.numel())
        return found


def test_recurrences_hold_one_row_of_times():
    tokens = torch.from_numpy(np.stack([sphere.uniform(4, 16, seed) for seed in range(20)]))[:, None]
    with Largest() as largest:
        observables.recurrence(tokens)
    assert largest.entries <= 20 * 16 * 16


def test_padding_is_no_part_of_a_pattern():
    x = torch.from_numpy(np.stack([sphere.uniform(6, 3, seed) for seed in range(2)]))[:, None]
    valid = torch.tensor([[True, True, False, True, True, True]])
    trajectory, kept = Trajectory(torch.arange(2.0), x, valid), x[:, :, valid[0]]
    for name in ("departure", "axial_order", "wasserstein_to_dirac", "recurrence"):
        observe = getattr(observables, name)
        torch.testing.assert_close(observe(trajectory), observe(kept))
