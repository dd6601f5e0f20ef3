"""Iterated layers: the map against the model's own passes, exponents, returns and fixed points in closed form."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_models import inputs_of, small
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.runs import equal, open_run, read
from spinodal.watch import (
    Iteration,
    IterationResult,
    LayerMap,
    Subject,
    Texts,
    TrainedModel,
    fixed_point,
    iterate_model,
    layer_maps,
    nearest_return,
    one_stack,
    record,
    sequence_exponent,
    without,
)
from spinodal.watch.iteration import NUMBERS, kept_frames, measured_layers
from spinodal.watch.lyapunov import Tangents, exponent_of
from spinodal.watch.pairs import NAMES, pair_statistics
from spinodal.watch.resolution import flow_states

SOURCE = TrainedModel("small", Texts(("a text",)))
KINDS = (
    "AlbertForMaskedLM",
    "BertForMaskedLM",
    "LlamaForCausalLM",
    "GPT2LMHeadModel",
    "T5ForConditionalGeneration",
)


class Function(nn.Module):
    """A function of tokens as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def map_of(function: Callable[[Tensor], Tensor]) -> LayerMap:
    return LayerMap(Function(function), (torch.zeros(0),), {}, 0)


def albert(**changes) -> Subject:
    return Subject("small", small("AlbertForMaskedLM", **changes), None)


@pytest.fixture(scope="module")
def iterated() -> IterationResult:
    inputs = inputs_of("AlbertForMaskedLM", b=3, n=6)
    asked = Iteration(SOURCE, 40, without=("mlp",), searched=1)
    return iterate_model(albert(), [inputs], asked)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_the_layers_of_the_model(kind: str):
    """Each map takes what its layer received to what the next one did; tied maps give the model's own passes."""
    model, inputs = small(kind), inputs_of(kind)
    stack = one_stack(model, inputs)
    layers = layer_maps(model, inputs, stack)
    frames = record(model, inputs).tokens
    x = layers.received[0]
    with torch.no_grad():
        for k, layer in enumerate(layers.maps):
            assert torch.equal(layers.received[k], frames[k])
            torch.testing.assert_close(layer(layers.received[k]), frames[k + 1])
            x = layers.maps[0](x)
    if stack.tied:
        torch.testing.assert_close(x, frames[-1])


def test_a_step_and_its_tangent_against_differences():
    kind = "AlbertForMaskedLM"
    inputs = inputs_of(kind)
    model = small(kind)
    layers = layer_maps(model, inputs, one_stack(model, inputs))
    layer, x = layers.maps[0].double(), layers.received[0].double()
    v = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for h in (1.0, 0.3):
        y, dy = layer.tangent_step(x, v, h)
        torch.testing.assert_close(y, x + h * (layer(x) - x))
        apart = (layer.step(x + 1e-6 * v, h) - layer.step(x - 1e-6 * v, h)) / 2e-6
        torch.testing.assert_close(dy, apart, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("kind", "norms"), [("AlbertForMaskedLM", True), ("LlamaForCausalLM", False)])
def test_layers_without_a_part_keep_their_norms(kind: str, norms: bool):
    model, inputs = small(kind), inputs_of(kind)
    layers = layer_maps(model, inputs, one_stack(model, inputs))
    layer, x = layers.maps[0], layers.received[0]
    with torch.no_grad():
        if norms:
            own = layer.layer.get_submodule("albert_layers.0")
            after = own.get_submodule("attention")(x)[0]
            expected = {
                "mlp": own.get_submodule("full_layer_layer_norm")(after),
                "attention": map_without_attention(own, x),
            }
        else:
            a = record(model, inputs, view="attention").tokens[0]
            m = layer.layer.get_submodule("mlp")(layer.layer.get_submodule("post_attention_layernorm")(x))
            expected = {"mlp": x + a, "attention": x + m}
        whole = layer(x)
        for part, y in expected.items():
            with without(part, layers.maps, layers.received):
                torch.testing.assert_close(layer(x), y)
                torch.testing.assert_close(layer.double()(x.double()).float(), y)
        assert torch.equal(layer(x), whole)


def map_without_attention(own: nn.Module, x: Tensor) -> Tensor:
    norm, last = own.get_submodule("attention.LayerNorm"), own.get_submodule("full_layer_layer_norm")
    after = norm(x)
    m = own.get_submodule("ffn_output")(own.get_submodule("activation")(own.get_submodule("ffn")(after)))
    return last(after + m)


def test_what_cannot_be_left_out_is_refused():
    kind = "AlbertForMaskedLM"
    model, inputs = small(kind, inner_group_num=2), inputs_of(kind)
    layers = layer_maps(model, inputs, one_stack(model, inputs, "albert_layer_groups"))
    with pytest.raises(InputError, match="several attentions"), without("mlp", layers.maps, layers.received):
        pass


def test_exponents_of_linear_layers():
    """log |eigenvalue| of the leading direction; 0 of a rotation; log of what a random direction grows by."""
    A = torch.diag(torch.tensor([0.9, 0.5, -0.2], dtype=torch.float64))
    x, valid = torch.zeros(2, 4, 3, dtype=torch.float64), torch.ones(2, 4, dtype=torch.bool)
    tangents = Tangents(x, valid, 0)
    for _ in range(200):
        tangents.step(map_of(lambda x: x @ A), x, 1.0)
    found = exponent_of(np.stack(tangents.growths[100:]))
    assert found.mean == pytest.approx(math.log(0.9), abs=1e-12)
    assert found.error == pytest.approx(0, abs=1e-12)
    assert len(found.of_texts) == 2
    for h in (0.25, 0.5):  # I + h (A - I)
        slower = Tangents(x, valid, 0)
        for _ in range(300):
            slower.step(map_of(lambda x: x @ A), x, h)
        assert slower.growths[-1] == pytest.approx(math.log(1 - 0.1 * h), abs=1e-6)
    turn = torch.tensor([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]], dtype=torch.float64)
    growths = sequence_exponent([map_of(lambda x: x @ turn)] * 5, x, valid)
    assert growths == pytest.approx(np.zeros((5, 2)), abs=1e-12)


def test_tangents_live_on_the_tokens_that_are_there():
    """What padding reads of the tokens does not come back to them, and is no growth."""
    x, valid = torch.zeros(1, 3, 2, dtype=torch.float64), torch.tensor([[True, True, False]])
    mixed = lambda x: torch.stack([0.5 * x[:, 0], 0.5 * x[:, 1], 100 * x[:, 0]], 1)
    tangents = Tangents(x, valid, 0)
    for _ in range(5):
        tangents.step(map_of(mixed), x, 1.0)
    assert np.stack(tangents.growths) == pytest.approx(np.full((5, 1), math.log(0.5)))


def test_nearest_returns_of_orbits():
    k = torch.arange(128, dtype=torch.float64)
    for period in (2, 3, 26):
        angle = 2 * math.pi * k / period
        found = nearest_return(torch.stack([angle.cos(), angle.sin(), 0 * k + 3], 1))
        assert found.period == period
        assert found.distance == pytest.approx(0, abs=1e-6)
        assert found.step == pytest.approx(2 * math.sin(math.pi / period) / math.sqrt(10))
    assert nearest_return(torch.ones(128, 3)).period is None
    drift = torch.stack([k, 0 * k + 1], 1)
    assert nearest_return(drift[64:]).period is None


def test_fixed_points_of_affine_layers_and_their_stability():
    """x* = (I - A)^-1 b; eigenvalues 1 + h (a - 1) of a step and a - 1 of the field, small and by ARPACK."""
    for n, a in ((2, [-1.5, 0.5, 0.2]), (9, [1.2, 0.5, 0.2])):
        A, b = torch.diag(torch.tensor(a, dtype=torch.float64)), torch.tensor([1.0, -2.0, 3.0]).double()
        valid = torch.ones(n + 1, dtype=torch.bool)
        valid[-1] = False
        start = torch.randn(1, n + 1, 3, generator=torch.Generator().manual_seed(0)).double()
        point = fixed_point(map_of(lambda x, A=A, b=b: x @ A + b), start, valid, 0.5)
        assert point.converged
        assert point.residual < 1e-9
        assert point.multiplier == pytest.approx(max(abs(1 + 0.5 * (x - 1)) for x in a), rel=1e-6)
        assert point.rate == pytest.approx(max(a) - 1, rel=1e-6)
        assert point.groups == n
    nowhere = fixed_point(map_of(lambda x: x + 1), start, valid, 1.0)
    assert not nowhere.converged
    assert nowhere.multiplier is None


def test_the_flow_of_a_linear_layer():
    """x' = (A - I) x has the solution e^{t (A - I)} x."""
    A = torch.diag(torch.tensor([0.5, -1.0], dtype=torch.float64))
    x = torch.ones(1, 2, 2, dtype=torch.float64)
    found = flow_states(map_of(lambda x: x @ A), x, 3.0, step=0.125)
    torch.testing.assert_close(
        found[0, 0], torch.tensor([math.exp(-1.5), math.exp(-6.0)]).double(), rtol=1e-3, atol=0
    )


@pytest.mark.slow
def test_numbers_are_those_of_a_deeper_model(iterated: IterationResult):
    """A tied model that is 40 layers deep, recorded whole."""
    model, inputs = small("AlbertForMaskedLM", num_hidden_layers=40), inputs_of("AlbertForMaskedLM", b=3, n=6)
    model.load_state_dict(albert().model.state_dict())
    frames = record(model, inputs).tokens
    course = iterated.courses["model"]
    columns = [NAMES.index(name) for name in ("clusters", "mean_cosine", "effective_rank")]
    for b in range(3):
        every = pair_statistics(frames[:, b], {"all": torch.ones(6, dtype=torch.bool)}, 1.0, 0.01)[
            "all"
        ].numbers
        expected = every[course.layers][:, columns]
        found = np.stack([getattr(course, name)[b] for name in NUMBERS[:3]], 1)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    move = (frames[1:] - frames[:-1]).flatten(2).norm(dim=2) / frames[:-1].flatten(2).norm(dim=2)
    assert course.residual[:, 5] == pytest.approx(move[5].numpy(), rel=1e-3)
    kept = frames[list(kept_frames(40)), 0].numpy()
    assert iterated.kept_tokens == pytest.approx(kept, rel=1e-3, abs=1e-3)
    assert iterated.trajectory.tokens.shape == (len(iterated.kept_layers), 1, 6, 16)


def test_an_iteration_is_whole(iterated: IterationResult, tmp_path):
    """Courses, nulls and ablations side by side, in words; saved and read back equal."""
    assert list(iterated.courses) == ["model", "without mlp", "random-weights", "random-weights without mlp"]
    assert "groups at the start (cosine at least 0.99)" in iterated.summary[0]
    assert any(line.startswith("Without mlp: ") for line in iterated.summary)
    assert len(iterated.courses["model"].fixed_points) == 1
    assert iterated.distance is not None
    assert len(iterated.distance.of_texts) == 3
    assert set(iterated.plot().axes[0].get_title("left")) > set("groups")
    with open_run(tmp_path, kind="observe-iteration", config=iterated.experiment) as folder:
        folder.finish(iterated)
    again = read(tmp_path)
    assert equal(again, iterated)
    assert equal(again.experiment, iterated.experiment)


def test_what_is_kept_does_not_grow_with_depth():
    assert len(measured_layers(2000, (12,))) < 120
    assert len(measured_layers(1_000_000)) < 200
    assert {0, 1, 12, 48, 200, 1000, 2000} <= set(measured_layers(2000, (12, 48)).tolist())
    assert len(kept_frames(2000)) < 15
    assert measured_layers(1).tolist() == [0, 1]


def test_layers_that_differ_are_iterated_each_by_itself():
    kind = "BertForMaskedLM"
    inputs = inputs_of(kind)
    model = small(kind)
    found = iterate_model(
        Subject(kind, model, None), [inputs], Iteration(SOURCE, 3, step=0.5, nulls=(), searched=0)
    )
    assert list(found.courses) == ["layer 1", "layer 2", "layer 3"]
    assert found.distance is None
    assert found.sequence.layers == 3
    layers = layer_maps(model, inputs, one_stack(model, inputs))
    x = layers.received[1]
    with torch.no_grad():
        for _ in range(3):
            x = x + 0.5 * (layers.maps[1](x) - x)
    end = pair_statistics(x[:1], {"all": torch.ones(7, dtype=torch.bool)}, 1.0, 0.01)["all"].numbers[0]
    assert found.courses["layer 2"].mean_cosine[0, -1] == pytest.approx(
        end[NAMES.index("mean_cosine")], rel=1e-4
    )


@pytest.mark.slow
def test_tokens_that_rest_are_not_followed_further():
    """A layer that returns nearly a constant: later layers are filled in, its exponent is that of the fixed point."""
    subject = albert()
    last = subject.model.get_submodule(
        "albert.encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm"
    )
    with torch.no_grad():
        last.get_parameter("weight").mul_(0.05)
        last.get_parameter("bias").normal_(generator=torch.Generator().manual_seed(0))
    layers = []
    asked = Iteration(SOURCE, 3000, nulls=(), searched=2)
    found = iterate_model(
        subject, [inputs_of("AlbertForMaskedLM")], asked, progress=lambda done, of: layers.append((done, of))
    )
    course = found.courses["model"]
    assert course.rested is not None
    assert course.rested < 100
    assert len(layers) < 300
    assert layers[-1][0] == layers[-1][1]
    assert np.isfinite(course.groups).all()
    for point in course.fixed_points:
        assert point.converged
        assert point.multiplier is not None
        assert course.exponent.of_texts[point.text] == pytest.approx(math.log(point.multiplier), abs=0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"depth": 0}, "`depth` 0"),
        ({"step": 0.0}, "`step` 0"),
        ({"without": ("norm",)}, "`without` norm: layers have attention and mlp"),
        ({"without": ("mlp", "mlp")}, "stands twice"),
        ({"nulls": ("noise",)}, "the nulls are"),
        ({"epsilon": 2.0}, "`epsilon` 2"),
        ({"searched": -1}, "`searched` -1"),
        ({"source": TrainedModel("small", Texts(("a",)), 3)}, "an iteration has its own"),
    ],
)
def test_iterations_that_make_no_sense_are_refused(change: dict, said: str):
    with pytest.raises(InputError, match=said):
        Iteration(**{"source": SOURCE, "depth": 5, **change})


def test_steps_that_leave_all_bounds_are_told():
    kind = "LlamaForCausalLM"
    subject = Subject(kind, small(kind), None)
    with pytest.raises(InputError, match="not finite: lower `step`"):
        iterate_model(subject, [inputs_of(kind)], Iteration(SOURCE, 50, step=3e38, nulls=(), searched=0))
