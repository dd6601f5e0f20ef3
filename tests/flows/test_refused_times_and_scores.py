"""Times of fixed steps, schedules, scores and lengths that are refused, or said, before they mislead."""

import re

import numpy as np
import pytest

from spinodal.cli import main
from spinodal.errors import ConvergenceError, InputError
from spinodal.flows import (
    AttentionField,
    Head,
    Layers,
    Noisy,
    Piecewise,
    PointStart,
    Positions,
    Simulation,
    Source,
    UniformStart,
    ensemble,
    evolve,
)
from spinodal.flows.fields import scheme
from spinodal.flows.time.euclidean import require_near
from spinodal.observables import OBSERVABLES, Scales, measure

START, ROWS = UniformStart(8, 3), np.zeros((8, 8))


def test_two_times_of_one_step_are_refused():
    for method, kappa in ((Layers(0.3), np.inf), (Noisy(0.3), 4.0)):
        field = AttentionField(1.0, kappa=kappa)
        with pytest.raises(InputError, match=r"`times` hold 0.1 and 0.2, both of the step to t = 0.3"):
            evolve(Simulation(field, START, 1.0, method, times=np.array([0.1, 0.2, 0.25])))
        later = evolve(Simulation(field, START, 1.0, method, times=np.array([0.0, 0.5, 1.0])))
        np.testing.assert_allclose(later.times, [0, 0.6, 1.2])


def test_weights_change_between_layers_alone():
    stacks = ((Head(),), (Head(values=-1.0),))
    with pytest.raises(InputError, match=r"`times` of weights hold 0.55, which is 5.5 of the `step` 0.1"):
        Simulation(AttentionField(depth=Piecewise((0.0, 0.55), stacks)), START, 1.0, Layers(0.1))
    Simulation(AttentionField(depth=Piecewise((0.0, 0.1 + 0.2), stacks)), START, 1.0, Layers(0.1))
    for wrong in (np.nan, np.inf):
        with pytest.raises(InputError, match=r"`times`.* increase from 0, and are finite"):
            Piecewise((0.0, wrong), stacks)


def test_observables_that_read_lengths_are_those_of_points():
    x = np.random.default_rng(1).standard_normal((1, 8, 2))
    longer = x * np.linspace(0.5, 3, 8)[:, None]
    names = ["hull_volume", "vertex_distance", "boolean_rows", "attention_rank", "leaders", "hull_vertices"]
    assert {name for name, one in OBSERVABLES.items() if one.of_points} == set(names)
    others = [name for name in OBSERVABLES if name not in names]
    one, other = measure(x, others, Scales(4.0)), measure(longer, others, Scales(4.0))
    for name in others:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: Positions("product", 1e300, np.arange(8.0) * 1e10),
            "`strength` 1e+300: with `places` up to",
        ),
        (
            lambda: AttentionField(positions=Positions("product", 1e12, np.arange(8.0))),
            "lower `beta`, or the `strength` of `positions`",
        ),
        (
            lambda: Simulation(
                AttentionField(positions=Positions("matrix", places=ROWS - np.inf)), START, 1.0
            ),
            "where all scores of `positions` are -inf",
        ),
        (
            lambda: Simulation(AttentionField(scheme=scheme("none")), PointStart(1e160 * np.eye(3)), 1.0),
            "`start` holds 1e+160",
        ),
        (
            lambda: Simulation(AttentionField(heads=(), source=Source(np.eye(4))), UniformStart(5, 3), 1.0),
            "`source` has d = 4, the tokens of `start` d = 3",
        ),
        (lambda: Source(2 * np.eye(3)), "`source`: "),
        (lambda: measure(np.eye(3), "clusters"), "`observables` 'clusters': a list of names"),
        (
            lambda: ensemble(Simulation(AttentionField(), START), "clusters"),
            "`observables` 'clusters': a list",
        ),
    ],
)
def test_the_message_names_what_is_to_blame(build, says):
    with pytest.raises(InputError, match=re.escape(says)):
        build()


def test_rescaled_tokens_that_grow_are_sent_to_none():
    with pytest.raises(ConvergenceError, match="`normalisation` none follows"):
        require_near(np.full((2, 2), 1e151), 1.0, rescaled=True)


def test_the_command_names_its_own_options(monkeypatch, tmp_path, capsys):
    def said(*options):
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *options, "--out", str(tmp_path / "run")])
        with pytest.raises(SystemExit):
            main()
        return " ".join(capsys.readouterr().err.split())

    np.save(tmp_path / "p.npy", np.zeros((4, 3)))
    assert "--start -5" in said("--start", "cube:-5", "--normalisation", "none")
    text = said("--positions", str(tmp_path / "p.npy"))
    assert "--positions" in text
    assert "--places" not in text
    np.save(tmp_path / "y.npy", np.eye(4))
    assert "--source has d = 4" in said("--d", "3", "--source", str(tmp_path / "y.npy"))


def test_the_last_step_and_directions_are_said(capsys):
    from spinodal.cli._evolution import directed, show_ends, show_last_step

    show_last_step(evolve(Simulation(AttentionField(), UniformStart(3, 2), 1.0, Layers(0.3))))
    show_last_step(evolve(Simulation(AttentionField(), UniformStart(3, 2), 1.0, Layers(0.1))))
    values = {"clusters": [3, 3], "hull_volume": [2, 1]}
    show_ends(values, directed(values))
    assert capsys.readouterr().out.splitlines() == [
        "the end is that of the first step at or after --until 1: steps are whole, of 0.3",
        "clusters of the directions of tokens: 3 to 3",
        "hull_volume: 2 to 1",
    ]
