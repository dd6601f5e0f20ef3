"""A value of a wrong type is one InputError that names the field, and errors of engines name the option."""

import json
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows.engines.field import check
from spinodal.flows.state import State

CASES = {
    'flows.UniformStart("5")': "n",
    "flows.UniformStart(5, 3.0)": "d",
    'flows.UniformStart(5, 3, "0")': "seed",
    'flows.OrthonormalStart("3")': "n",
    "flows.LatticeStart(None)": "n",
    'flows.PerturbedStart("uniform", 0.1)': "start",
    'flows.PerturbedStart(flows.UniformStart(), "0.1")': "size",
    'flows.Adaptive("1e-8")': "tolerance",
    'flows.Layers("0.1")': "step",
    "flows.Noisy(0.1, 1.5)": "seed",
    'flows.Diagram(**DIAGRAM | {"d": [2]})': "d",
    'flows.Diagram(**DIAGRAM, n="4")': "n",
    'flows.Diagram(**DIAGRAM, threshold="0.9")': "threshold",
    'meanfield.DensityExperiment("sa")': "field",
    'meanfield.DensityExperiment(start="uniform")': "start",
    'meanfield.DensityExperiment(tolerance="1e-8")': "tolerance",
    "meanfield.DensityExperiment(until=None)": "until",
    'meanfield.WhiteNoise("0.01")': "sigma",
    "meanfield.WhiteNoise(seed=True)": "seed",
    'graphs.EquilibriumSearch("cycle:3")': "system",
    'graphs.EquilibriumSearch(SYSTEM, "9")': "starts",
    'graphs.GradientFlow(SYSTEM, time="20")': "time",
    'graphs.Continuation(SYSTEM, "mu", "0", 1.0)': "first",
    'graphs.StabilityAnalysis("cycle:3", np.zeros(3))': "system",
}
PROGRAM = """
import json, sys
import numpy as np
from spinodal import flows, graphs, meanfield
from spinodal.errors import InputError
SYSTEM = graphs.build_system("cycle:3")
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
    ],
)
def test_an_error_names_the_argument_in_backquotes(compute: Callable[[], object], fields: tuple[str, ...]):
    with pytest.raises(InputError) as refused:
        compute()
    assert refused.value.fields == fields
    assert all(f"`{name}`" in str(refused.value) for name in fields)
