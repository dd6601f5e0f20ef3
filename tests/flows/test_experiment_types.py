"""A value of a wrong type is one InputError that names the field, and errors of engines name the option."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spinodal import flows, graphs, sphere
from spinodal.errors import InputError
from spinodal.flows.engines.field import check
from spinodal.flows.state import State
from spinodal.inference import Sampling, continuation, fillings
from spinodal.recipes import recall
from spinodal.runs.sweep import run
from spinodal.training import compare

CASES = {
    'flows.UniformStart("5")': "n",
    'flows.Head("diag:2,1")': "queries",
    "flows.UniformStart(5, 3.0)": "d",
    'flows.UniformStart(5, 3, "0")': "seed",
    'flows.OrthonormalStart("3")': "n",
    "flows.LatticeStart(None)": "n",
    'flows.PerturbedStart("uniform", 0.1)': "start",
    'flows.PerturbedStart(flows.UniformStart(), "0.1")': "size",
    'flows.Adaptive("1e-8")': "tolerance",
    'flows.Layers("0.1")': "step",
    "flows.Noisy(0.1, 1.5)": "seed",
    'observables.measure(np.eye(3), ["clusters"], observables.Scales(epsilon="0.01"))': "epsilon",
    'flows.Resampled(3, values="random:0", period="0.1")': "period",
    'flows.Resampled("3", values="random:0")': "d",
    "flows.Resampled(3, values=np.eye(3))": "values",
    'flows.Source(np.eye(3), share="0.3")': "share",
    "flows.Piecewise((0.0, 1.0), (flows.Head(), flows.Head()))": "stacks",
    'flows.Diagram(**DIAGRAM | {"d": [2]})': "d",
    'flows.Diagram(**DIAGRAM, n="4")': "n",
    'flows.Diagram(**DIAGRAM | {"times": ("1",)})': "times",
    'flows.Diagram(**DIAGRAM | {"clock": ("layer", "0.5")})': "clock",
    'flows.Diagram(**DIAGRAM | {"clock": ("layer",)})': "clock",
    'flows.Diagram(**DIAGRAM, threshold="0.9")': "threshold",
    'meanfield.DensityExperiment("sa")': "field",
    'meanfield.DensityExperiment(start="uniform")': "start",
    'meanfield.DensityExperiment(tolerance="1e-8")': "tolerance",
    "meanfield.DensityExperiment(until=None)": "until",
    'meanfield.WhiteNoise("0.01")': "sigma",
    "meanfield.WhiteNoise(seed=True)": "seed",
    'flows.AttentionField("1")': "beta",
    "flows.AttentionField(1.0, 3)": "kind",
    'flows.AttentionField(heads="identity")': "heads",
    "flows.AttentionField(heads=flows.UniformStart())": "heads",
    "flows.AttentionField(heads=(1.0,))": "heads",
    "flows.AttentionField(causal=1)": "causal",
    'flows.AttentionField(scheme="pre")': "scheme",
    "flows.AttentionField(kappa=None)": "kappa",
    "flows.AttentionField(feed_forward=1.0)": "feed_forward",
    "flows.AttentionField(engine=None)": "engine",
    "watch.Question(1)": "view",
    "watch.Question(stack=3)": "stack",
    'watch.Question(beta="4")': "beta",
    'watch.Question(epsilon="0.1")': "epsilon",
    'watch.Question(nulls="shuffled-tokens")': "nulls",
    "watch.Question(seed=0.5)": "seed",
    'watch.Question(observables="rank")': "observables",
    'watch.Observation("minilm")': "source",
    'watch.Observation(ARRAYS, "residual")': "question",
    'watch.Observation(ARRAYS, effect="spinodal_usa")': "effect",
    'watch.TrainedModel("minilm", "a text")': "inputs",
    'training.Experiment("shakespeare")': "data",
    "training.Experiment(model=3)": "model",
    "training.Experiment(schedule=400)": "schedule",
    'training.Experiment(constraint="dual")': "constraint",
    "training.Experiment(parameters=1e6)": "parameters",
    'training.Schedule("400")': "steps",
    "training.Schedule(batch=1.5)": "batch",
    'training.Schedule(lr="4e-3")': "lr",
    "training.DataConfig(3)": "corpus",
    'training.DataConfig(length="128")': "length",
    "training.DataConfig(masked=None)": "masked",
    'training.Constraint(tolerance="0.05")': "tolerance",
    'graphs.EquilibriumSearch("cycle:3")': "system",
    'graphs.EquilibriumSearch(SYSTEM, "9")': "starts",
    'graphs.GradientFlow(SYSTEM, time="20")': "time",
    'graphs.Continuation(SYSTEM, "mu", "0", 1.0)': "first",
    'graphs.StabilityAnalysis("cycle:3", np.zeros(3))': "system",
}
PROGRAM = """
import json, sys
import numpy as np
from spinodal import flows, graphs, meanfield, observables, training, watch
from spinodal.errors import InputError
SYSTEM = graphs.build_system("cycle:3")
ARRAYS = watch.Arrays("noise", np.arange(4.0), np.ones((4, 2, 6, 3)), np.ones((2, 6), bool))
DIAGRAM = {"d": (2,), "betas": (1.0,), "times": (1.0,), "clock": ("layer", 0.5)}
assert flows.UniformStart(np.int64(5), np.int64(3)).tokens().shape == (5, 3)
assert flows.Layers(np.float64(0.1)).step == 0.1
told = {}
for case in json.loads(sys.stdin.read()):
    try:
        eval(case)
    except InputError as error:
        told[case] = [str(error), list(error.fields)]
print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_wrong_type_is_one_error_that_names_the_field():
    """In a Python of its own, as users have it: here shapes and types are checked at every call."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(CASES)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for case, field in CASES.items():
        assert told[case][1] == [field], case
        assert re.match(f"`{field}` .* is needed$", told[case][0]), told[case]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"times": (1.0, 1.7)}, "times"),
        ({"times": (2.0, 1.0)}, "times"),
        ({"times": (2.0, 1.0), "clock": ("ode", 1e-6)}, "times"),
        ({"times": (1.0, np.nan), "clock": ("ode", 1e-6)}, "times"),
        ({"clock": ("layer", 0.0)}, "step"),
        ({"matrices": ("goe", "ones")}, "values"),
    ],
)
def test_a_diagram_that_cannot_be_computed_is_refused_before_its_first_row(changed: dict, field: str):
    plain = {"d": (2,), "betas": (1.0,), "times": (1.0, 1.5), "clock": ("layer", 0.5)}
    flows.Diagram(**plain)
    with pytest.raises(InputError) as refused:
        flows.Diagram(**plain | changed)
    assert field in refused.value.fields


X, W = sphere.uniform(20, 4), np.full(20, 1 / 20)


@pytest.mark.parametrize(
    ("compute", "fields"),
    [
        (lambda: flows.AttentionField(1.0, engine="circle")(0.0, State(X, np.ones(20)), W), ("engine",)),
        (lambda: flows.AttentionField(1.0, engine="sphere", causal=True), ("engine",)),
        (lambda: flows.AttentionField(np.inf, "usa"), ("kind",)),
        (lambda: flows.AttentionField(1.0, heads=(flows.Head(1e13),)), ("beta",)),
        (lambda: flows.AttentionField(800.0, "usa"), ("beta",)),
        (lambda: check(X, np.full(20, 1.0)), ("weights",)),
        (lambda: check(X, W[:3]), ("weights",)),
        (lambda: check(X, -W), ("weights",)),
        (lambda: sphere.uniform(0, 3), ("n", "d")),
        (lambda: graphs.named_graph("ring:3"), ("graph",)),
        (lambda: graphs.named_graph("cycle:x"), ("graph",)),
        (lambda: graphs.named_graph("none.graphml"), ("graph",)),
        (lambda: graphs.coupling("y**"), ("coupling",)),
        (lambda: graphs.coupling("y**2"), ("coupling",)),
        (lambda: graphs.coupling("y**40"), ("coupling",)),
        (lambda: graphs.coupling("a*y"), ("coupling", "parameters")),
        (lambda: Sampling(top_p=2.0).check(), ("top_p",)),
        (lambda: Sampling(beams=0).check(), ("beams",)),
        (lambda: continuation(Path("run"), "to be", tokens=0), ("tokens",)),
        (lambda: fillings(Path("run"), "<mask>", top=0), ("top",)),
        (lambda: compare("r", recall.RECIPE, "out", seeds=0), ("seeds",)),
        (lambda: compare("r", recall.RECIPE, "out", jobs=-1), ("jobs",)),
        (lambda: run(len, [], "out", workers=-1), ("workers",)),
    ],
)
def test_an_error_names_the_argument_in_backquotes(compute: Callable[[], object], fields: tuple[str, ...]):
    with pytest.raises(InputError) as refused:
        compute()
    assert refused.value.fields == fields
    assert all(f"`{name}`" in str(refused.value) for name in fields)
