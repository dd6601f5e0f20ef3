"""Rates by kind and fan-in: which parameter is in which group, what a step of each is, and what a run says of them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_architectures import small_architecture
from test_resume import LABEL, history, small, stop_at, write_words
from torch import nn

from spinodal.errors import InputError
from spinodal.mixers.base import OutputProjection
from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.runs import read, read_run
from spinodal.training import Experiment, MuonAdamW, TrainingResult, override, parameter_groups, train
from spinodal.training.build import build_model, prepare_data


class Foreign(nn.Module):
    """Every rule once: a tied and an untied output, a convolution, attention, recurrence, a table without a module."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(40, 16)
        self.tied = nn.Linear(16, 40)
        self.tied.weight = self.embedding.weight
        self.untied = nn.Linear(16, 40, bias=False)
        self.places = nn.Parameter(torch.randn(7, 16))
        self.convolution = nn.Conv1d(16, 16, 3, groups=16)
        self.norm = nn.LayerNorm(16)
        self.decay = nn.Parameter(torch.zeros(()))
        self.attention = nn.MultiheadAttention(16, 2)
        self.inner = nn.Linear(16, 64, bias=False)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.memory = nn.GRU(16, 24)
        self.out = OutputProjection(64, 16)


def named_groups(model: nn.Module) -> dict[str, tuple[str, int]]:
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, lr=0.008)
    return {names[id(p)]: (group["kind"], group["inputs"]) for group in groups for p in group["params"]}


def test_modules_and_shapes_say_what_a_parameter_is():
    table, vector = ("tables", 0), ("vectors", 0)
    gates = {f"memory.weight_{part}_l0": ("matrices", m) for part, m in (("ih", 16), ("hh", 24))}
    assert named_groups(Foreign()) == gates | {
        "embedding.weight": table, "untied.weight": table, "places": table, "convolution.weight": table,
        "convolution.bias": vector, "tied.bias": vector, "norm.weight": vector, "norm.bias": vector, "decay": vector,
        "attention.in_proj_weight": ("matrices", 16), "attention.in_proj_bias": vector,
        "attention.out_proj.weight": ("matrices", 16), "attention.out_proj.bias": vector,
        "inner.weight": ("matrices", 16), "out.weight": ("outputs", 64),
        "memory.bias_ih_l0": vector, "memory.bias_hh_l0": vector,
    }  # fmt: skip


def test_rates_are_those_of_the_table():
    """lr, and matrix_lr sqrt(128 / m); vectors do not decay; Muon scales by shape itself."""
    for group in parameter_groups(Foreign(), lr=0.008, matrix_lr=0.001, weight_decay=0.1):
        share = {"matrices": 0.001, "outputs": 0.001 / 2}.get(group["kind"])
        assert group["lr"] == pytest.approx(share * math.sqrt(128 / group["inputs"]) if share else 0.008)
        assert group["weight_decay"] == (0.0 if group["kind"] == "vectors" else 0.1)
    by_muon = parameter_groups(Foreign(), lr=0.008, optimizer="muon")
    assert {group["lr"] for group in by_muon if group["inputs"]} == {2.5 * 0.008}


def test_the_default_of_a_matrix_is_a_share_of_lr():
    rates = {group["inputs"]: group["lr"] for group in parameter_groups(nn.Linear(128, 3), lr=0.005)}
    assert rates == {0: 0.005, 128: pytest.approx(0.2 * 0.005)}


@pytest.mark.parametrize("model", ["ours", "gpt2"])
def test_every_trainable_parameter_is_in_one_group(model: str):
    config = SpinodalConfig(vocab_size=30, width=8, depth=2, heads=2, length=8, is_decoder=True)
    network: nn.Module = SpinodalForCausalLM(config) if model == "ours" else small_architecture(model)
    grouped = [p for group in parameter_groups(network, lr=0.01) for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in network.parameters() if p.requires_grad}
    if model == "gpt2":  # whose layers hold [in, out]
        assert {group["inputs"] for group in parameter_groups(network, lr=0.01)} == {0, 32, 48}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr": 0.0}, "lr=0.0: a rate is positive"),
        ({"lr": 0.1, "matrix_lr": -1.0}, "matrix_lr=-1.0: a rate"),
        ({"lr": 0.1, "weight_decay": -0.1}, "weight_decay=-0.1: it must not be negative"),
        ({"lr": 0.1, "optimizer": "sgd"}, "optimizer=sgd: one of adamw, muon"),
    ],
    ids=["lr", "matrix_lr", "decay", "optimizer"],
)
def test_what_is_no_rate_is_named(options: dict, said: str):
    with pytest.raises(InputError, match=said):
        parameter_groups(nn.Linear(2, 2), **options)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(InputError, match="no trainable parameters"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), lr=0.1)


def test_muon_with_adamw_is_each_alone_bit_for_bit_and_goes_on_from_its_state():
    """Against torch's two optimisers on the same parameters, over a save in between."""

    def parameters() -> tuple[nn.Linear, nn.LayerNorm]:
        torch.manual_seed(0)
        return nn.Linear(6, 12, bias=False), nn.LayerNorm(12)

    def gradients(step: int, *modules: nn.Module) -> None:
        torch.manual_seed(100 + step)
        for module in modules:
            for p in module.parameters():
                p.grad = torch.randn_like(p)

    ours, theirs = nn.Sequential(*parameters()), parameters()
    both = MuonAdamW(parameter_groups(ours, lr=0.01, matrix_lr=0.02, optimizer="muon"))
    muon = torch.optim.Muon(theirs[0].parameters(), lr=0.02, weight_decay=0.01)
    adamw = torch.optim.AdamW(theirs[1].parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(6):
        gradients(step, *ours)
        both.step()
        gradients(step, *theirs)
        muon.step()
        adamw.step()
        if step == 2:
            state = both.state_dict()
            both = MuonAdamW(parameter_groups(ours, lr=1.0, optimizer="muon"))
            both.load_state_dict(state)
    for mine, other in zip(ours.parameters(), [p for m in theirs for p in m.parameters()], strict=True):
        assert torch.equal(mine, other)


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt")
    values = {
        "method": "none",
        "steps": 12,
        "evaluate_every": 12,
    }
    values |= {"warmup": 0.0, "weight_decay": 0.0, "save_every": 1, "save_total": 12}
    return override(override(small(corpus), {"method": "none"}), values | {"channel": "competition"})


def test_the_first_step_of_adam_moves_every_entry_by_the_rate_of_its_group(plain: Experiment, tmp_path: Path):
    """g / |g| times it; the record has every group with rate and count."""
    asked = override(plain, {"steps": 1, "evaluate_every": 1, "lr": 0.01})
    start = build_model(asked, prepare_data(asked)).state_dict()
    run, end = (
        train(asked, tmp_path / "run", LABEL),
        load_file(tmp_path / "run" / "model" / "model.safetensors"),
    )
    rates = {
        "model.embedding.weight": 0.01, "model.norm.weight": 0.01,
        "model.blocks.0.mixers.0.mixer.qkv.weight": 0.002 * math.sqrt(128 / 16),
        "model.blocks.0.mixers.1.out.weight": 0.001 * math.sqrt(128 / 16),
    }  # fmt: skip
    for name, rate in rates.items():
        assert float((end[name] - start[name]).abs().max()) == pytest.approx(rate, rel=1e-3)
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["groups"] == [vars(group) for group in run.groups]
    assert [(g.kind, g.inputs) for g in run.groups] == [
        ("tables", 0), ("vectors", 0), ("matrices", 16), ("outputs", 16),
    ]  # fmt: skip
    assert sum(g.parameters for g in run.groups) == run.parameters
    assert run.groups[3].lr == pytest.approx(0.001 * math.sqrt(128 / 16))
    assert read_run(tmp_path / "run").result_as(TrainingResult).groups == run.groups
    assert read(tmp_path / "run").groups == run.groups


@pytest.mark.slow
def test_an_optimiser_of_one_rate_has_one_group(plain: Experiment, tmp_path: Path):
    run = train(
        override(plain, {"steps": 1, "evaluate_every": 1, "optimizer": "sgd"}), tmp_path / "run", LABEL
    )
    assert [(g.kind, g.parameters, g.lr) for g in run.groups] == [("all", run.parameters, 4e-3)]


@pytest.mark.slow
def test_muon_goes_on_bit_for_bit(plain: Experiment, tmp_path: Path):
    asked = override(plain, {"optimizer": "muon", "save_every": 4})
    whole = train(asked, tmp_path / "whole", LABEL)
    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "run", LABEL, progress=stop_at(7))
    assert history(train(asked, tmp_path / "run", LABEL, resume=True)) == history(whole)
    ours, theirs = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert next(row["learning_rate"] for row in whole.metrics if "loss" in row) == 4e-3


@pytest.mark.slow
def test_a_run_from_before_there_were_groups_is_refused_and_goes_on_as_what_it_was(
    plain: Experiment, tmp_path: Path
):
    """Its record has no optimiser: it is one of AdamW at one rate."""
    old, out = override(plain, {"optimizer": "adamw-one-rate", "save_every": 4}), tmp_path / "run"
    assert "optimizer" not in old.flat()
    assert Experiment.from_flat(old.flat()) == Experiment.from_flat(
        old.flat() | {"optimizer": "adamw-one-rate"}
    )
    with pytest.raises(KeyboardInterrupt):
        train(old, out, LABEL, progress=stop_at(7))
    with pytest.raises(InputError, match=r"\(optimizer=adamw-one-rate there, adamw asked\): it goes on with"):
        train(override(old, {"optimizer": "adamw"}), out, LABEL, resume=True)
    assert train(old, out, LABEL, resume=True).final["steps"] == 12


def test_a_rate_of_matrices_is_for_optimisers_that_have_one(plain: Experiment):
    with pytest.raises(
        InputError, match=r"matrix_lr=0.001: optimizer=sgd trains all parameters at lr; adamw and"
    ):
        override(plain, {"optimizer": "sgd", "matrix_lr": 0.001})


class Bytes(nn.Module):
    """A model of bytes whose inner layers, tables of positions and output have shapes in common."""

    def __init__(self, *, tied: bool = False):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(64, 16), nn.Embedding(16, 16)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 64), nn.Linear(64, 16)) for _ in range(2))
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, 64)
        if tied:
            self.head.weight = self.tokens.weight


@pytest.mark.parametrize("tied", [False, True])
def test_an_inner_layer_of_the_shape_of_a_table_is_a_matrix(tied: bool):
    found = named_groups(Bytes(tied=tied))
    tables = {name for name, (kind, _) in found.items() if kind == "tables"}
    assert tables == {"tokens.weight", "positions.weight"} | (set() if tied else {"head.weight"})


def test_every_gate_of_the_recipe_that_writes_verse_is_a_matrix():
    """Its 16 x 64 rows of 256 features are as many as its 1,024 tokens."""
    sizes: dict[str, Any] = {"vocab_size": 64, "width": 16, "depth": 2, "heads": 2, "phases": 4, "hidden": 16}
    model = SpinodalForCausalLM(SpinodalConfig(length=8, is_decoder=True, **sizes))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    alike = {name for name, shape in shapes.items() if shape == (64, 16) and name.startswith("model.blocks")}
    assert alike
    assert {named_groups(model)[name][0] for name in alike} == {"matrices"}


def test_a_hugging_face_model_names_its_output_layer():
    from transformers import BertConfig, BertForMaskedLM

    sizes: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = BertConfig(**sizes, intermediate_size=40, max_position_embeddings=16, tie_word_embeddings=False)
    found = named_groups(BertForMaskedLM(config))
    embeddings = {name for name in found if "embeddings" in name and found[name][0] == "tables"}
    tables = {name for name, (kind, _) in found.items() if kind == "tables"}
    assert tables - embeddings == {"cls.predictions.decoder.weight"}


def test_the_lengths_of_a_parametrised_weight_are_a_vector():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 4))
    assert named_groups(layer) == {
        "bias": ("vectors", 0), "parametrizations.weight.original0": ("vectors", 0),
        "parametrizations.weight.original1": ("matrices", 8),
    }  # fmt: skip


def test_layers_without_a_shape_are_refused():
    with pytest.raises(InputError, match="weight has no shape yet"):
        parameter_groups(nn.LazyLinear(4), lr=0.1)
    with pytest.raises(InputError, match="weight_decay=nan"):
        parameter_groups(nn.Linear(2, 2), lr=0.1, weight_decay=math.nan)


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 32), (32, 8)])
def test_a_step_of_muon_is_the_same_for_a_matrix_that_is_stored_turned(inputs: int, outputs: int):
    from transformers.pytorch_utils import Conv1D

    torch.manual_seed(0)
    linear, turned = nn.Linear(inputs, outputs, bias=False), Conv1D(outputs, inputs)
    gradient = torch.randn(outputs, inputs)
    steps = []
    for layer, transposed in ((linear, False), (turned, True)):
        before = layer.weight.detach().clone()
        layer.weight.grad = gradient.T.contiguous() if transposed else gradient
        MuonAdamW(parameter_groups(layer, lr=0.01, weight_decay=0.0, optimizer="muon")).step()
        step = layer.weight.detach() - before
        steps.append(step.T if transposed else step)
    torch.testing.assert_close(steps[1], steps[0], rtol=0.1, atol=1e-4)  # its iteration is in bfloat16


def test_muon_takes_groups_of_its_own_rates_and_schedulers_of_any_kind():
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    for groups in (
        model.parameters(),
        [{"params": list(model.parameters())}],
        parameter_groups(model, lr=0.01),
    ):
        with pytest.raises(InputError, match='optimizer="muon"'):
            MuonAdamW(groups)
    optimizer = MuonAdamW(parameter_groups(model, lr=0.01, optimizer="muon"))
    rates = [group["lr"] for group in optimizer.param_groups]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=4)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    assert all(math.isfinite(float(p.detach().sum())) for p in model.parameters())
