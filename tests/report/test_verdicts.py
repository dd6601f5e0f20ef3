"""Better, worse or not told apart: the paired t test against scipy's, and what it says in words."""

import pytest
from example_runs import run
from scipy import stats

from spinodal.report import verdicts


def arms(*losses: list[float]) -> dict:
    """One arm, the models a, b, ... with these losses over seeds 0, 1, ..."""
    return {
        "equal time": {
            name: [run(name, seed, final=loss) for seed, loss in enumerate(found)]
            for name, found in zip("abc", losses, strict=False)
        }
    }


CASES = {
    "better": ([3.0, 3.2, 3.1], [3.1, 3.31, 3.22], True),
    "worse": ([3.1, 3.31, 3.22], [3.0, 3.2, 3.1], False),
    "near": ([3.0, 3.2, 3.1], [3.1, 3.1, 3.15], None),
    "two seeds": ([3.0, 3.2], [3.1, 3.31], True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_is_that_of_the_paired_t_test(name: str):
    one, other, better = CASES[name]
    [found] = verdicts(arms(one, other))
    test = stats.ttest_rel(one, other)
    assert (test.pvalue < 0.05) == (better is not None)
    assert found.better is better
    assert found.difference / found.error == pytest.approx(test.statistic, rel=1e-9)
    told = {True: "a is better than b", False: "a is worse than b", None: "a is not told apart from b"}[
        better
    ]
    assert str(found).startswith(f"equal time: {told}: ")
    assert f"paired over {len(one)} seeds (t test, 5%)" in str(found)


def test_the_first_model_is_judged_in_every_arm_whatever_their_order():
    both = arms([3.0, 3.2], [3.1, 3.3], [3.2, 3.4])
    both["later"] = dict(reversed(both["equal time"].items()))
    assert [(v.arm, v.model, v.rival) for v in verdicts(both)] == [
        ("equal time", "a", "b"), ("equal time", "a", "c"), ("later", "a", "c"), ("later", "a", "b"),
    ]  # fmt: skip


def test_one_seed_cannot_tell_and_a_model_that_diverged_is_not_better():
    assert str(verdicts(arms([3.0], [3.1]))[0]) == "equal time: a and b: one seed cannot tell"
    assert verdicts(arms([float("nan"), 3.0], [3.1, 3.1]))[0].better is None
