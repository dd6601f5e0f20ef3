"""Dataclasses go to JSON and come back equal; what does not fit is named."""

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.runs import decode, encode, equal, register


class Norm(enum.Enum):
    PRE = 1
    POST = 2


@register("test-euler")
@dataclass(frozen=True)
class Euler:
    step: float = 0.1


@register("test-adaptive")
@dataclass(frozen=True)
class Adaptive:
    tolerance: float = 1e-8
    order: int = 5


class Life(NamedTuple):
    start: float
    clusters: int = 1


@dataclass(frozen=True)
class Simulation:
    start: Float[np.ndarray, "n d"]
    until: float
    method: Euler | Adaptive
    norm: Norm = Norm.POST
    engine: Literal["auto", "direct"] = "auto"
    noise: float | None = None
    levels: tuple[int, ...] = ()
    pair: tuple[str, bool] = ("a", True)
    lives: list[Life] = field(default_factory=list)
    named: Mapping[str, float] = field(default_factory=dict)
    by_degree: dict[int, Euler] = field(default_factory=dict)
    folder: Path | None = None
    anything: Any = None


FINITE_OR_NOT = st.floats(allow_nan=True, allow_infinity=True)
TEXT = st.text(max_size=8).filter(lambda text: text not in ("inf", "-inf", "nan"))
METHODS = st.one_of(st.builds(Euler, FINITE_OR_NOT), st.builds(Adaptive, FINITE_OR_NOT, st.integers()))
SIMULATIONS = st.builds(
    Simulation,
    start=arrays_of.arrays(
        st.sampled_from([np.float64, np.int32]), arrays_of.array_shapes(min_side=0, max_side=3)
    ),
    until=FINITE_OR_NOT,
    method=METHODS,
    norm=st.sampled_from(Norm),
    engine=st.sampled_from(["auto", "direct"]),
    noise=st.none() | FINITE_OR_NOT,
    levels=st.lists(st.integers(), max_size=3).map(tuple),
    pair=st.tuples(TEXT, st.booleans()),
    lives=st.lists(st.builds(Life, FINITE_OR_NOT, st.integers()), max_size=2),
    named=st.dictionaries(TEXT, FINITE_OR_NOT, max_size=2),
    by_degree=st.dictionaries(st.integers(), st.builds(Euler, FINITE_OR_NOT), max_size=2),
    folder=st.none() | st.just(Path("some") / "where"),
    anything=st.none() | st.integers() | st.lists(TEXT, max_size=2) | METHODS,
)


@given(SIMULATIONS)
def test_a_value_comes_back_equal_from_strict_json(value: Simulation):
    coded, arrays = encode(value)
    text = json.dumps(coded, allow_nan=False)
    again = decode(Simulation, json.loads(text), arrays)
    assert equal(again, value)
    for f in dataclasses.fields(Simulation):
        if f.name not in ("start", "until", "noise", "method", "lives", "named", "by_degree", "anything"):
            assert getattr(again, f.name) == getattr(value, f.name)
    assert type(again.method) is type(value.method)
    np.testing.assert_array_equal(again.start, value.start)


def test_what_is_not_finite_is_a_string_and_comes_back():
    for x in (math.inf, -math.inf, math.nan):
        coded, _ = encode(Euler(x))
        assert coded == {"type": "test-euler", "step": str(x)}
        assert str(decode(Euler, coded).step) == str(x)


def test_numbers_of_numpy_are_numbers():
    assert encode({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)})[0] == {
        "a": 0.5,
        "b": 3,
        "c": True,
    }


def sound() -> dict:
    return encode(Simulation(np.eye(2), 1.0, Euler()))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"untill": 2.0}, "untill: no field of Simulation, which has start, until"),
        ({"until": "late"}, "until: a number is needed, not 'late'"),
        ({"until": True}, "until: a number is needed, not 'True'"),
        ({"method": {"type": "test-euler", "step": "big"}}, "method.step: a number is needed"),
        ({"method": {"type": "test-euler", "steps": 1}}, "method: steps: no field of Euler"),
        ({"method": {"type": "nobody"}}, "one of|is needed"),
        ({"norm": "SIDE"}, "norm: one of PRE, POST is needed"),
        ({"engine": "steam"}, "engine: one of auto, direct is needed"),
        ({"levels": 3}, "levels: a list is needed"),
        ({"levels": [1, 2.5]}, r"levels.1: a whole number is needed, not '2.5'"),
        ({"pair": ["a"]}, "pair: 2 entries are needed"),
        ({"lives": [{"clusters": 1}]}, "lives.0: start of Life is missing"),
        ({"noise": "loud"}, "noise: a number is needed"),
        ({"start": [[1.0]]}, "start: an array is needed"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, said: str):
    with pytest.raises(InputError, match=said):
        decode(Simulation, sound() | change, {"start": np.eye(2)})


def test_a_missing_field_without_a_default_and_arrays_that_are_not_those():
    with pytest.raises(InputError, match="until of Simulation is missing"):
        decode(Simulation, {k: v for k, v in sound().items() if k != "until"}, {"start": np.eye(2)})
    with pytest.raises(InputError, match="the array 'start' is missing"):
        decode(Simulation, sound())
    with pytest.raises(InputError, match="the array 'start' is not what was written"):
        decode(Simulation, sound(), {"start": np.ones((2, 2))})


def test_what_cannot_be_saved_is_refused():
    with pytest.raises(TypeError, match=r"method.call: a function cannot be saved"):
        encode({"method": {"call": lambda: 1}})
    with pytest.raises(TypeError, match="neither text nor"):
        encode({1.5: 1})
    with pytest.raises(TypeError, match="the keys 1 and '1' are one key"):
        encode({"a": {1: "x", "1": "y"}})
    with pytest.raises(TypeError, match=r"a\.b: two arrays have this name"):
        encode({"a": {"b": np.zeros(1)}, "a.b": np.ones(1)})
    with pytest.raises(ValueError, match="registered for Euler"):
        register("test-euler")(Adaptive)
