"""What training is said to take it takes, within a quarter; what cannot fit is refused before the first step."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from marks import slow_but
from test_resume import LABEL, small, write_words
from torch.distributed._tools.mem_tracker import MemTracker
from torch.optim import SGD, AdamW, Optimizer
from transformers import Adafactor

from spinodal.errors import InputError
from spinodal.training import Experiment, memory, override, train
from spinodal.training.build import build_model, prepare_data
from spinodal.training.memory import estimate_memory
from spinodal.training.tasks import task_named

WIDE = {"width": 64, "depth": 3, "hidden": 64, "length": 64, "batch": 16, "method": "none"}
MIXERS = {
    "attention": {"mixer": "attention", "channel": "swiglu"},
    "partition": {"mixer": "toeplitz", "channel": "partition", "pathway": "none"},
    "narrow": {"mixer": "attention", "channel": "swiglu", "batch": 1},
    "sgd": {"mixer": "attention", "channel": "swiglu", "optimizer": "sgd"},
    "large": {
        "mixer": "attention",
        "channel": "swiglu",
        "width": 512,
        "heads": 8,
        "hidden": 1024,
        "batch": 2,
    },
    "checkpointing": {"mixer": "attention", "channel": "swiglu", "activation_checkpointing": True},
}


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt", 2000)
    return override(small(corpus), {"method": "none", "pathway": "none"})


def measured_peak(experiment: Experiment) -> int:
    """Bytes of tensors at the peak of a step: weights, gradients, moments and all that a step allocates."""
    data = prepare_data(experiment)
    model = build_model(experiment, data).train()
    if experiment.schedule.activation_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    adam = experiment.schedule.optimizer == "adamw"
    optimizer = (AdamW if adam else SGD)(model.parameters(), lr=1e-3)
    batch = [data.training[i] for i in range(experiment.schedule.batch)]
    inputs = task_named(experiment.data.task).collate(batch)

    def step() -> None:
        model(**inputs, scored_only=True).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # the moments begin with the first
    tracker = MemTracker()
    tracker.track_external(model, optimizer)
    with tracker:
        step()
    peak = tracker.get_tracker_snapshot("peak")
    return max(kinds["Total"] for kinds in peak.values())


@pytest.mark.parametrize("name", slow_but(MIXERS, "attention"))
def test_the_estimate_is_within_a_quarter_of_the_peak(plain: Experiment, name: str):
    experiment = override(plain, WIDE | MIXERS[name])
    data = prepare_data(experiment)
    found = estimate_memory(experiment, build_model(experiment, data), data)
    assert found.total == pytest.approx(measured_peak(experiment), rel=0.25)


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_a_batch_that_does(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment = override(plain, WIDE | MIXERS["attention"])
    data = prepare_data(experiment)
    found = estimate_memory(experiment, build_model(experiment, data), data)
    room = found.total - 10 * found.sample
    monkeypatch.setattr(memory, "machine_memory", lambda: room)
    with pytest.raises(InputError, match=r"training takes .* GB .*: take batch=4 accumulate=4, or") as error:
        train(experiment, tmp_path / "run", LABEL)
    assert not (tmp_path / "run").exists()
    batch, accumulate = map(int, re.findall(r"(?:batch|accumulate)=(\d+)", str(error.value)))
    train(
        override(experiment, {"batch": batch, "accumulate": accumulate, "steps": 1}), tmp_path / "run", LABEL
    )


def test_an_estimate_draws_no_numbers(plain: Experiment):
    experiment = override(plain, {"dropout": 0.5})
    data = prepare_data(experiment)
    model = build_model(experiment, data)
    before = torch.random.get_rng_state()
    estimate_memory(experiment, model, data)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_estimate_counts_no_call_of_training(plain: Experiment):
    taught = {"method": "penalty", "constrain": "selection", "tolerance": 0.0, "rate": 1.0}
    experiment = override(plain, taught | {"mixer": "graph", "block_size": 4, "dense_steps": 9})
    data = prepare_data(experiment)
    model = build_model(experiment, data)
    estimate_memory(experiment, model, data)
    assert [int(calls) for name, calls in model.named_buffers() if name.endswith("calls")] == [0]


@pytest.mark.parametrize(
    ("name", "made"),
    [("adamw", AdamW), ("adafactor", partial(Adafactor, relative_step=False)), ("sgd", SGD)],
    ids=["adamw", "adafactor", "sgd"],
)
def test_moments_are_the_bytes_that_the_optimiser_keeps(name: str, made: Callable[..., Optimizer]):
    """Of a parameter of a matrix, without what is kept of its rows and columns."""
    matrix = torch.nn.Parameter(torch.ones(200, 200))
    optimizer = made([matrix], lr=1e-3)
    matrix.square().sum().backward()
    optimizer.step()
    kept = sum(value.nbytes for value in optimizer.state[matrix].values() if torch.is_tensor(value))
    assert memory.MOMENTS[name] == round(kept / matrix.numel())


def test_logits_are_counted_of_scored_tokens_alone(plain: Experiment):
    """As in training: a forward pass that gives those of all tokens keeps more."""
    experiment = override(plain, {"vocabulary": 300, "length": 64, "batch": 16})
    data = prepare_data(experiment)
    model = build_model(experiment, data)
    asked = []
    model.register_forward_pre_hook(lambda _, __, given: asked.append(given["scored_only"]), with_kwargs=True)
    estimate_memory(experiment, model, data)
    assert asked
    assert all(asked)
