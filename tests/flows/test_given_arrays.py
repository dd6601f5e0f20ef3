"""Tokens, weights and matrices in every form that a caller has them: the same digits, or one error with the name."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows.state import State

X, W = sphere.uniform(6, 3, 0), np.full(6, 1 / 6)
MATRIX = np.arange(9.0).reshape(3, 3) / 9
FIELD = flows.AttentionField(5.0)

FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda x: x.tolist(),
    "tensor": torch.from_numpy,
    "sparse tensor": lambda x: torch.from_numpy(x).to_sparse(),
    "Fortran order": np.asfortranarray,
    "a slice": lambda x: np.concatenate([x, x], -1)[..., : x.shape[-1]],
    "every second": lambda x: np.repeat(x, 2, 0)[::2],
    "a transposed tensor": lambda x: torch.from_numpy(x.T.copy()).T,
    "bytes swapped": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble),
    "read only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_tokens_gives_the_same_digits(form: str):
    given = FORMS[form](X)
    plain = flows.field(X, W, beta=5.0)
    for one, other in zip(plain, flows.field(given, W, beta=5.0), strict=True):
        assert np.array_equal(one, np.asarray(other))
    run, again = flows.simulate(FIELD, X, 1.0), flows.simulate(FIELD, given, 1.0)
    assert np.array_equal(run.tokens, again.tokens)
    rate = FIELD(0.0, State(given, np.ones(6)), W)  # pyright: ignore[reportArgumentType]
    assert np.array_equal(rate.drift, FIELD(0.0, State(X, np.ones(6)), W).drift)
    for rows in (2, 6):  # in their span, and with as many dimensions as there are
        for one, other in zip(
            flows.reduce_to_span(X[:rows]), flows.reduce_to_span(FORMS[form](X[:rows])), strict=True
        ):
            assert np.array_equal(one, other)


SAME = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_given_arrays import FORMS, MATRIX, X
from spinodal import flows
weights = np.array([0.3, 0.3, 0.1, 0.1, 0.1, 0.1])
def parts(x, w, matrix):
    head = flows.Head(queries=matrix, values=matrix)
    simulation = flows.Simulation(flows.AttentionField(2.0, heads=(head,)), x, 1.0, weights=w)
    return *simulation.initial, head.queries, head.values
plain = parts(X, weights, MATRIX)
def same(change):
    given = parts(change(X), change(weights), change(MATRIX))
    return all(a.flags.c_contiguous and (a == b).all() for a, b in zip(given, plain, strict=True))
print([form for form, change in FORMS.items() if not same(change)])
"""


@pytest.mark.slow
def test_every_form_of_a_start_of_weights_and_of_matrices_gives_the_same_digits():
    """In a Python of its own, as users have it: here shapes and types are checked at every call."""
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", SAME, here], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("kind", [np.float32, np.float16, torch.float32, torch.bfloat16])
def test_tokens_of_lower_precision_are_scaled_in_double(kind: Any):
    """Rounding moved their lengths and the sum of their weights from 1; nothing else may be off by as much."""
    tensors = isinstance(kind, torch.dtype)

    def low(x: np.ndarray) -> Any:
        return torch.from_numpy(x).to(kind) if tensors else x.astype(kind)

    double = np.asarray(low(X).double() if tensors else low(X).astype(np.float64))
    unit = sphere.normalise(double)
    assert abs(sphere.lengths(double) - 1).max() > 1e-9
    for one, other in zip(flows.field(unit, W, beta=5.0), flows.field(low(X), low(W), beta=5.0), strict=True):
        assert np.array_equal(one, np.asarray(other))
    plain = flows.simulate(FIELD, unit, 1.0).tokens
    assert np.array_equal(flows.simulate(FIELD, low(X), 1.0, weights=low(W)).tokens, plain)
    if not tensors:
        assert np.allclose(flows.TokenStart(low(X)).tokens(), unit, atol=1e-15, rtol=0)
    with pytest.raises(InputError, match="and not 1"):
        flows.field(low(1.2 * X), W, beta=5.0)
    with pytest.raises(InputError, match="divide by their sum"):
        flows.field(X, low(1.2 * W), beta=5.0)


BAD = {  # in a Python of its own, as users have it: here shapes and types are checked at every call
    "np.ma.masked_array(X, False)": "masked",
    "X[0]": "has shape",
    "X[None]": "has shape",
    "X[:0]": "no token|at least two",
    "X[:, :1]": "d = 1",
    "X + 1j": "real numbers",
    "X + 0j": "real numbers",
    "T(X) + 1j": "real numbers",
    "X.astype(str)": "real numbers",
    "X.astype(object)": "real numbers",
    "X > 0": "real numbers",
    "T(X) > 0": "real numbers",
    "T(X).to('meta')": "real numbers",
    "[[1.0, 0.0], [1.0]]": "real numbers",
    "None": "real numbers|a start",
    "'text'": "real numbers|a start",
    "T(X).requires_grad_()": "no gradient",
}
OTHERS = {
    "F(X, None, beta=5.0)": "`weights` None",
    "F(X, W + 1j, beta=5.0)": "`weights`.*real",
    "F(X, np.ma.masked_array(W, False), beta=5.0)": "`weights`.*masked",
    "F(X, W, beta=None)": "`beta` None: a number",
    "F(X, W, beta='5')": "`beta` '5': a number",
    "F(X, W, beta=np.array([1.0, 2.0]))": "`beta`.*a number",
    "F(X, W, beta=np.array(5.0))": "`beta`.*a number",
    "F(X, W, beta=5 + 0j)": "`beta`.*a number",
    "F(X, W, beta=True)": "`beta` True: a number",
    "F(X, W, beta=5.0, tolerance=-1)": "`tolerance` -1: must be 0 or more",
    "F(X, W, beta=5.0, tolerance=float('nan'))": "`tolerance` nan: must be 0 or more",
    "F(X, W, beta=5.0, tolerance=None)": "`tolerance` None: a number",
    "F(X, W, beta=5.0, kind=['sa'])": "`kind`.*a text",
    "F(X, W, beta=5.0, engine=None)": "`engine` None: a text",
    "S(A, X, '5')": "`until` '5': a number",
    "S(A, X, None)": "`until` None: a number",
    "S(A, X, True)": "`until` True: a number",
    "S(A, X, np.ones(2))": "`until`.*a number",
    "S(A, X, float('nan'))": "`until` nan",
    "S(None, X, 1.0)": "`field` None",
    "S(A, X, 1.0, method='layers')": "`method` 'layers'",
    "S(A, X, 1.0, checkpoints='here')": "`checkpoints` 'here'",
    "S(A, X, 1.0, weights='w')": "`weights` 'w'",
    "S(A, X, 1.0, saves=None)": "`saves` None",
    "S(A, X, 1.0, saves='ab')": "`saves` 'ab'",
    "S(A, X, 1.0, saves=5)": "`saves`: increasing times",
    "S(A, X, 1.0, saves=[-0.5, 0.5])": "`saves`: increasing times",
    "S(A, X, 1.0, saves=[0.5, 0.2])": "`saves`: increasing times",
    "S(A, X, 1.0, saves=[0.5, float('nan')])": "`saves`: increasing times",
    "S(A, X, 1.0, saves=[0.5, 2.0])": "`saves` hold 2, after the end: `until` is 1",
    "S(A, X, 1.0, saves=iter([-0.5]))": "`saves` must increase from 0",
    "flows.Simulation(A, X, 1.0, times=[0.5, 2.0])": "`times` hold 2, after the end: `until` is 1",
    "flows.Simulation(A, X, '5')": "`until` '5'",
    "S(A, State(X, np.ones(3)), 1.0)": "one positive length a token",
    "S(A, State(X, -np.ones(6)), 1.0)": "one positive length a token",
    "flows.reduce_to_span(2 * X[:2])": "and not 1",
    "flows.evolve(None)": "`simulation` None",
    "flows.Head(values=np.eye(3) + 1j)": "`values`.*real",
    "flows.Head(queries='a')": "`queries` 'a'",
    "flows.Head(keys=np.ma.masked_array(np.eye(3), False))": "`keys`.*masked",
    "flows.stack_heads([[1], [1, 2]], 1.0, 1.0)": "`queries`.*real",
    "flows.FeedForward(np.eye(3), np.eye(3), 'b')": "`bias` 'b'",
    "flows.FeedForward(np.eye(3), np.eye(3), np.ones(3) + 1j)": "`bias`.*real",
    "flows.UnnormalisedField('5')": "`beta` '5': a number",
    "flows.law('sa', None)": "`beta` None: a number",
    "flows.law(['sa'], 1.0)": "`kind`.*a text",
    "flows.usa_clock('5')": "`beta` '5': a number",
    "OdeClock(None)": "`tolerance` None: a number",
    "LayerClock('1')": "`step` '1': a number",
}
PROGRAM = """
import json, sys, warnings
warnings.simplefilter("error")
import numpy as np
import torch
from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows.state import State
from spinodal.flows.ensembles import LayerClock, OdeClock
from spinodal.flows.state import State
X, W, A = sphere.uniform(6, 3, 0), np.full(6, 1 / 6), flows.AttentionField(5.0)
T, F, S = torch.from_numpy, flows.field, flows.simulate
answers = {}
for case in json.loads(sys.stdin.read()):
    try:
        eval(case)
    except InputError as error:
        answers[case] = str(error)
print(json.dumps(answers))
"""


@pytest.mark.slow
def test_what_is_no_tokens_no_weights_and_no_number_is_one_error():
    """The error names the argument, and ends before work starts: no error of NumPy, torch or numba, and no warning."""
    calls = (
        "F({}, W, beta=5.0)",
        "S(A, {}, 1.0)",
        "flows.Simulation(A, {}, 1.0)",
        "flows.reduce_to_span({})",
    )
    cases = {call.format(bad): told for bad, told in BAD.items() for call in calls} | OTHERS
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(cases)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert {case for case in cases if not re.search(cases[case], answers.get(case, ""), re.DOTALL)} == set()


def test_a_compiler_that_is_turned_off_is_one_error():
    """With NUMBA_DISABLE_JIT=1 the loops, some of which are written as machine code, cannot run."""
    done = subprocess.run(
        [sys.executable, "-c", "from spinodal.flows import field"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1].startswith(
        "spinodal.errors.InputError: NUMBA_DISABLE_JIT=1 turns off"
    )


def test_saved_times_may_be_an_endless_iterator():
    """It goes beyond the end, as a list may not."""
    run = flows.simulate(FIELD, X, 1.0, saves=(0.3 * k for k in itertools.count(1)))
    assert np.allclose(run.times, [0, 0.3, 0.6, 0.9, 1.0])
