"""Observables by name: a toy is one object and one entry, and is found wherever numbers are asked for."""

import numpy as np
import pytest
import torch
from small_models import inputs_of, small

from spinodal import cli, figures, flows, watch
from spinodal.errors import InputError
from spinodal.observables import OBSERVABLES, Observable, Scales, measure, observables_named
from spinodal.report.observation import observation_page
from spinodal.runs import encode, equal, read_run
from spinodal.theory import gamma_sa
from spinodal.types import Trajectory
from spinodal.watch.pairs import NAMES, pair_statistics

TOY = Observable(
    "toy",
    "first coordinate of the mean",
    "A toy, <for> tests.",
    values=lambda trajectory, scales: trajectory.tokens.double().mean(2)[..., 0] * scales.beta,
    equiangular=lambda g, n, scales: n * g,
)
TOKENS = np.random.default_rng(0).standard_normal((4, 2, 6, 3))
ARRAYS = watch.Arrays("a.npz", np.arange(4.0), TOKENS, np.ones((2, 6), dtype=bool))


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(OBSERVABLES, "toy", TOY)


@pytest.mark.usefixtures("toy")
@pytest.mark.slow
def test_a_toy_is_observed_drawn_and_reported():
    asked = watch.Question(beta=2.0, observables=("toy",))
    found = watch.observe(watch.Observation(ARRAYS, asked))
    mean = 2.0 * TOKENS.mean(2)[..., 0]
    assert [layer.number("toy") for layer in found.layers] == pytest.approx(mean.mean(1))
    errors = [layer.standard_error.number("toy") for layer in found.layers]
    assert errors == pytest.approx(mean.std(1, ddof=1) / np.sqrt(2))
    drawn = figures.draw(found)["toy"].axes[0]
    assert drawn.get_title(loc="left") == TOY.label
    theory = [layer.theory * 6 for layer in found.layers]
    assert any(np.allclose(line.get_ydata(), theory) for line in drawn.lines)
    assert "A toy, &lt;for&gt; tests." in observation_page(found)
    value, arrays = encode(watch.without_trajectory(found))
    assert value["layers"][0]["observables"].keys() == {"toy"}
    assert not arrays


@pytest.mark.usefixtures("toy")
def test_a_toy_is_compared_with_the_nulls_of_a_model():
    kind = "BertForMaskedLM"
    subject = watch.Subject(kind, small(kind), None)
    asked = watch.Question(beta=1.0, nulls=("random-weights",), observables=("toy",))
    found = watch.observe_model(subject, [inputs_of(kind)], asked)
    null = found.nulls["random-weights"]
    own, other = found.layers[-1].observables["toy"], null.layers[-1].observables["toy"]
    assert own is not None
    assert other is not None
    assert null.last["toy"].mean == pytest.approx(own - other)


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_a_toy_is_found_by_simulate_and_listed(monkeypatch, capsys, tmp_path):
    def spinodal(*line) -> str:
        monkeypatch.setattr("sys.argv", ["spinodal", *map(str, line)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in (0, None), capsys.readouterr().err
        return capsys.readouterr().out

    flow = [
        "simulate",
        "--start",
        "orthonormal",
        "--n",
        3,
        "--d",
        3,
        "--beta",
        2,
        "--until",
        1,
        "--frames",
        4,
    ]
    said = spinodal(*flow, "--observables", "toy,mean_cosine", "--out", tmp_path / "run")
    with np.load(tmp_path / "run" / "observables.npz") as found:
        result = read_run(tmp_path / "run").result_as(flows.Evolution)
        assert found["toy"] == pytest.approx(2 * result.tokens.mean(1)[:, 0])
        assert found["mean_cosine"] == pytest.approx(gamma_sa(result.times, 3, 2.0), abs=1e-7)
    assert (tmp_path / "run" / "observables.png").stat().st_size > 1000
    assert "toy: 0.666667 to" in said
    assert "first coordinate of the mean" in spinodal("list", "observables")


def test_what_was_observed_before_there_were_observables_is_read_alike():
    """A question without them is saved as it was, so that its run is resumed and its numbers compare."""
    value, _ = encode(watch.Question())
    assert "observables" not in value
    found = watch.observe(watch.Observation(ARRAYS))
    assert "observables" not in encode(watch.without_trajectory(found))[0]["layers"][0]
    assert not equal(watch.Question(), watch.Question(observables=("polarisation",)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("temperature",), "`observables` temperature: no observable has this name; they are mean_cosine"),
        (("polarisation", "polarisation"), "one of them stands twice"),
        (("energy",), "`observables` energy: this is measured always"),
    ],
)
def test_names_that_make_no_sense_are_refused(names, said):
    with pytest.raises(InputError, match=said) as error:
        watch.Question(observables=names)
    assert error.value.fields == ("observables",)


@pytest.mark.parametrize("name", [name for name in OBSERVABLES if name in NAMES])
def test_the_numbers_of_an_observation_are_the_observables(name: str):
    """`watch.pairs` takes all of them from one product of directions; each alone is the definition."""
    x = torch.randn(3, 1, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, :, 1] = 2 * x[:, :, 0] + 0.01
    keep = torch.ones(1, 9, dtype=torch.bool)
    seen = pair_statistics(x[:, 0], {"all": keep[0]}, 3.0, 0.1)["all"].numbers[:, NAMES.index(name)]
    trajectory = Trajectory(torch.arange(3.0), x, keep)
    assert measure(trajectory, observables_named([name]), Scales(3.0, 0.1))[name][
        :, 0
    ].numpy() == pytest.approx(seen)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_the_theory_of_equiangular_tokens_is_their_value(name: str):
    entry, n, scales = OBSERVABLES[name], 5, Scales(2.0, 0.15)
    cosines = np.array([-0.1, 0.0, 0.4, 0.88, 0.95, 0.9995])
    frames = [np.linalg.cholesky((1 - g) * np.eye(n) + g) for g in cosines]
    tokens = torch.from_numpy(np.stack(frames))[:, None]
    trajectory = Trajectory(torch.arange(6.0), tokens, torch.ones(1, n, dtype=torch.bool))
    assert entry.equiangular is not None
    assert entry.values(trajectory, scales)[:, 0].numpy() == pytest.approx(
        entry.equiangular(cosines, n, scales)
    )
