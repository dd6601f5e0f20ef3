"""Numbers of pairs: against the library's observables, closed forms, and a sample against all."""

import numpy as np
import pytest
import torch

from spinodal import observables
from spinodal.errors import InputError
from spinodal.types import Trajectory
from spinodal.watch import pairs as module
from spinodal.watch.pairs import NAMES, PairStatistics, pair_statistics, without_first


def one(x: torch.Tensor, beta: float, epsilon: float) -> PairStatistics:
    """All tokens of a single frame, the axis of frames taken away."""
    found = pair_statistics(x[None], {"all": torch.ones(len(x), dtype=torch.bool)}, beta, epsilon)["all"]
    return found._replace(
        numbers=found.numbers[0], histogram=found.histogram[0], energy_shares=found.energy_shares[0]
    )


def clouds(n: int, d: int, *, seed: int = 0, spread: float = 0.3) -> torch.Tensor:
    """Tokens of any length about three centres."""
    torch.manual_seed(seed)
    centres = torch.randn(3, d, dtype=torch.float64)
    x = centres[torch.arange(n) % 3] + spread * torch.randn(n, d, dtype=torch.float64) / np.sqrt(d)
    return x * (1 + torch.rand(n, 1, dtype=torch.float64))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (17, 5), (40, 64)])
def test_agrees_with_the_observables_that_are_defined_elsewhere(n: int, d: int):
    x = clouds(n, d)
    unit = x / x.norm(dim=-1, keepdim=True)
    beta, epsilon = 3.0, 0.02
    trajectory = Trajectory(
        torch.zeros(1, dtype=torch.float64), unit[None, None], torch.ones(1, n, dtype=torch.bool)
    )
    found = dict[str, float](zip(NAMES, one(x, beta, epsilon).numbers, strict=True))
    mass = observables.pair_probability(trajectory, torch.tensor(module.THRESHOLDS, dtype=torch.float64))[
        0, 0
    ]
    E = observables.log_energy(trajectory, beta) + np.log(2 * beta) - beta
    expected = {
        "mean_cosine": observables.mean_cosine(trajectory),
        "effective_rank": observables.effective_rank(trajectory),
        "energy": E.exp(),
        "clusters": observables.cluster_count(trajectory, epsilon),
        "clusters_.9": observables.cluster_count(trajectory, 0.1),
    } | {f"above_{a:g}".replace("0.", "."): p for a, p in zip(module.THRESHOLDS, mass, strict=True)}
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-10, abs=1e-12), name
    histogram = observables.cosine_histogram(trajectory, module.BINS)[0, 0].numpy()
    assert np.array_equal(one(x, beta, epsilon).histogram, histogram)


def test_at_consensus_and_at_orthogonality():
    at_one = dict(zip(NAMES, one(torch.ones(6, 4), 5.0, 0.1).numbers, strict=True))
    assert at_one["mean_cosine"] == pytest.approx(1)
    assert at_one["energy"] == pytest.approx(1)
    assert at_one["effective_rank"] == pytest.approx(1)
    assert (at_one["clusters"], at_one["clusters_.999"], at_one["above_.999"]) == (1, 1, 1)
    apart = dict(zip(NAMES, one(torch.eye(6), 5.0, 0.1).numbers, strict=True))
    assert apart["mean_cosine"] == pytest.approx(0)
    assert apart["effective_rank"] == pytest.approx(6)
    assert apart["energy"] == pytest.approx((1 + 5 * np.exp(-5)) / 6)
    assert (apart["clusters"], apart["above_.9"]) == (6, 0)


def test_shares_of_the_energy_sum_to_it_and_belong_to_their_tokens():
    x = clouds(12, 6)
    found = one(x, 2.0, 0.1)
    unit = x / x.norm(dim=-1, keepdim=True)
    by_token = (2.0 * (unit @ unit.mT - 1)).exp().sum(1) / 144
    assert found.energy_shares == pytest.approx(by_token.numpy())
    assert found.energy_shares.sum() == pytest.approx(found.numbers[NAMES.index("energy")])


def test_a_sample_is_near_all_and_what_is_exact_stays_exact(monkeypatch: pytest.MonkeyPatch):
    x = clouds(1500, 8, spread=2.0)
    exact = one(x, 2.0, 0.1)
    monkeypatch.setattr(module, "SAMPLE", 700)
    sampled = one(x, 2.0, 0.1)
    assert len(sampled.sample) == 700
    for name, value, truth in zip(NAMES, sampled.numbers, exact.numbers, strict=True):
        if name in ("mean_cosine", "effective_rank"):
            assert value == pytest.approx(truth, rel=1e-9)
        elif not name.startswith("clusters"):
            assert value == pytest.approx(truth, rel=0.1, abs=1e-4), name
    assert (
        np.abs(sampled.histogram / sampled.histogram.sum() - exact.histogram / exact.histogram.sum()).max()
        < 0.01
    )


def test_a_hundred_thousand_tokens_take_no_square_of_them():
    torch.manual_seed(0)
    found = one(torch.randn(100_000, 4) + 1, 1.0, 0.1)
    assert len(found.sample) == module.SAMPLE
    assert found.histogram.sum() == module.SAMPLE * (module.SAMPLE - 1) / 2


@pytest.mark.parametrize("block", [module.BLOCK, 30])
def test_selections_are_the_tokens_that_they_select(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(module, "BLOCK", block)
    tokens = torch.randn(3, 5, 4)
    valid = torch.tensor([False, True, True, True, False])
    assert without_first(valid).tolist() == [False, False, True, True, False]
    found = pair_statistics(tokens, {"some": valid, "fewer": without_first(valid)}, 1.0, 0.1)
    for k in range(3):
        alone = one(tokens[k, 1:4], 1.0, 0.1)
        assert found["some"].numbers[k] == pytest.approx(alone.numbers)
        assert found["some"].histogram[k].tolist() == alone.histogram.tolist()
        assert found["some"].energy_shares[k] == pytest.approx(alone.energy_shares)
        assert found["fewer"].numbers[k] == pytest.approx(one(tokens[k, 2:4], 1.0, 0.1).numbers)


def test_what_has_no_cosines_is_named():
    tokens = torch.randn(3, 5, 4)
    tokens[1, 3] = 0
    every = torch.ones(5, dtype=torch.bool)
    with pytest.raises(InputError, match="layer 1: token 3 is zero"):
        pair_statistics(tokens, {"all": every}, 1.0, 0.1)
    with pytest.raises(InputError, match="at least two tokens"):
        pair_statistics(tokens, {"one": torch.arange(5) == 1}, 1.0, 0.1)
