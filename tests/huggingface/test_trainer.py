"""transformers' own Trainer on our models: it evaluates, keeps the best, trains in bfloat16 and with checkpoints."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small import ids, model_of
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainingArguments

from spinodal.errors import InputError
from spinodal.models import (
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
)

pytestmark = pytest.mark.filterwarnings("ignore")
DATA = [{"input_ids": row, "labels": row} for row in ids(6)]
LANGUAGE = (SpinodalForCausalLM, SpinodalForMaskedLM)


def trainer(model: Any, folder: Path, **values: Any) -> Trainer:
    settings: dict[str, Any] = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "max_steps": 2}
    metrics = values.pop("compute_metrics", None)
    return Trainer(
        model, TrainingArguments(str(folder), **settings | values), train_dataset=DATA, eval_dataset=DATA,
        compute_metrics=metrics,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [*LANGUAGE, SpinodalForSeq2SeqLM])
def test_evaluation_reports_the_loss_and_the_metrics(kind: type, tmp_path: Path):
    model = model_of(kind)
    found = trainer(model, tmp_path, compute_metrics=lambda p: {"shape": p.predictions[0].shape}).evaluate()
    with torch.no_grad():
        text = torch.stack([sample["input_ids"] for sample in DATA])
        assert found["eval_loss"] == pytest.approx(model(text, labels=text).loss.item(), rel=1e-5)
    assert found["eval_shape"] is not None


def test_a_translator_is_scored_on_what_it_writes(tmp_path: Path):
    settings: dict[str, Any] = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    arguments = Seq2SeqTrainingArguments(str(tmp_path), predict_with_generate=True, **settings)
    model = model_of(SpinodalForSeq2SeqLM)
    trained: Any = Seq2SeqTrainer  # which declares datasets that are no lists
    run = trained(model, arguments, eval_dataset=DATA, compute_metrics=lambda p: {"texts": len(p[0])})
    found = run.evaluate(max_length=9)
    assert found["eval_texts"] == len(DATA)
    text = torch.stack([sample["input_ids"] for sample in DATA])
    written = model.generate(text, max_length=9)
    predicted = torch.as_tensor(run.predict(DATA, max_length=9).predictions)
    assert torch.equal(predicted[:, : written.shape[1]], written)


def test_only_labels_are_taken_for_labels(tmp_path: Path):
    for kind in LANGUAGE:
        assert trainer(model_of(kind), tmp_path).label_names == ["labels"]
    names = trainer(model_of(SpinodalForQuestionAnswering), tmp_path).label_names
    assert names == ["start_positions", "end_positions"]


@pytest.mark.parametrize("kind", [*LANGUAGE, SpinodalForSeq2SeqLM])
def test_smoothed_labels_are_those_that_the_loss_compares(kind: type, tmp_path: Path):
    """(1 - epsilon) NLL + epsilon mean of -log p, over the labels that the model itself would score."""
    model, epsilon = model_of(kind), 0.1
    run = trainer(model, tmp_path, label_smoothing_factor=epsilon)
    labels = ids(2).masked_fill(ids(2) % 5 == 0, -100)
    inputs: dict[str, Any] = {"input_ids": ids(2, seed=2), "labels": labels}
    if kind is SpinodalForSeq2SeqLM:
        with pytest.raises(InputError, match="DataCollatorForSeq2Seq"):
            run.compute_loss(model, dict(inputs))
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
    logits = model(**inputs).logits
    if kind is SpinodalForCausalLM:
        logits, labels = logits[:, :-1], labels[:, 1:]
    surprise = -logits.log_softmax(-1)[labels != -100]
    aims = labels[labels != -100][:, None]
    expected = (1 - epsilon) * surprise.gather(1, aims).mean() + epsilon * surprise.mean()
    torch.testing.assert_close(run.compute_loss(model, inputs), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LANGUAGE)
def test_the_best_model_is_loaded_at_the_end(kind: type, tmp_path: Path):
    plan = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    run = trainer(model_of(kind), tmp_path, load_best_model_at_end=True, **plan)
    run.train()
    assert run.state.best_metric is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", LANGUAGE)
@pytest.mark.parametrize("values", [{"gradient_checkpointing": True}, {"label_smoothing_factor": 0.1}])
def test_it_trains(kind: type, values: dict, tmp_path: Path):
    model = model_of(kind)
    before = model.get_input_embeddings().weight.detach().clone()
    trainer(model, tmp_path, **values).train()
    after = model.get_input_embeddings().weight
    assert after.isfinite().all()
    assert not torch.equal(after, before)


@pytest.mark.slow
def test_it_trains_in_bfloat16(tmp_path: Path):
    """In a process of its own: accelerate makes outputs from dictionaries, which the checks of types refuse."""
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_trainer import LANGUAGE, model_of, trainer\n"
        "for kind in LANGUAGE:\n"
        "    trainer(model_of(kind), Path(sys.argv[2]), bf16=True).train()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", [*LANGUAGE, SpinodalForSeq2SeqLM])
def test_checkpointing_changes_no_gradient(kind: type, reentrant: bool):
    if reentrant and kind is SpinodalForSeq2SeqLM:
        with pytest.raises(InputError, match="use_reentrant=False"):
            model_of(kind).gradient_checkpointing_enable({"use_reentrant": True})
        return
    grads = []
    for checkpointed in (False, True):
        model = model_of(kind).train()
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model(ids(), labels=ids()).loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [SpinodalForCausalLM, SpinodalForSeq2SeqLM])
def test_checkpoints_return_no_cache_and_take_none(kind: type):
    model = model_of(kind)
    more = {"decoder_input_ids": ids()} if kind is SpinodalForSeq2SeqLM else {}
    cache = model(ids(), **more).cache
    model.gradient_checkpointing_enable()
    with pytest.warns(UserWarning, match="no cache is returned"):
        out = model.train()(ids(), labels=ids(), use_cache=True)
    assert out.cache is None
    out.loss.backward()
    with pytest.raises(InputError, match="give no cache"):
        model(ids(), cache=cache, **more)
    with torch.no_grad():
        assert model(ids(), use_cache=True, **more).cache is not None


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_counts_no_training_call_twice(reentrant: bool):
    """Blocks of the graph are linked to all others for so many calls: a repeated call has the links of the first."""
    grads: dict[bool, list[torch.Tensor]] = {False: [], True: []}
    for checkpointed, found in grads.items():
        graph = {"name": "graph", "block_size": 4, "top_blocks": 1, "dense_steps": 1}
        model = model_of(SpinodalForCausalLM, mixer=graph, kernel=0).train()
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        for call in range(3):
            model.zero_grad()
            model(ids(2, 40), labels=ids(2, 40)).loss.backward()
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
            assert {
                int(m.calls) for m in model.modules() if "calls" in dict(m.named_buffers(recurse=False))
            } == {call + 1}
    assert not torch.allclose(grads[False][0], grads[False][1], rtol=1e-3)  # the links are others
    for expected, found in zip(grads[False], grads[True], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_regression_and_several_labels_at_once():
    problems: tuple[tuple[dict[str, Any], torch.Tensor], ...] = (
        ({"num_labels": 1}, torch.tensor([0.1, 0.2])),
        ({"num_labels": 3, "problem_type": "regression"}, torch.randn(2, 3)),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, torch.ones(2, 3)),
        ({"num_labels": 3}, torch.tensor([0, 2])),
    )
    for values, labels in problems:
        model = model_of(SpinodalForSequenceClassification, **values)
        out = model(ids(), labels=labels)
        logits = out.logits.squeeze(-1)
        expected = {
            "regression": lambda z, y: (z - y).square().mean(),
            "multi_label_classification": lambda z, y: (
                -(z.sigmoid().log() * y + (-z).sigmoid().log() * (1 - y)).mean()
            ),
            "choice": lambda z, y: -z.log_softmax(-1).gather(1, y[:, None]).mean(),
        }[values.get("problem_type", "regression" if values["num_labels"] == 1 else "choice")]
        torch.testing.assert_close(out.loss, expected(logits, labels))


def test_the_ends_of_an_answer():
    model = model_of(SpinodalForQuestionAnswering)
    start, end = torch.tensor([1, 4]), torch.tensor([3, 99])
    out = model(ids(), start_positions=start, end_positions=end)
    first = -out.start_logits.log_softmax(-1).gather(1, start[:, None]).mean()
    last = -out.end_logits.log_softmax(-1)[0, 3]
    torch.testing.assert_close(out.loss, (first + last) / 2)
