"""Networks of others: built in our sizes, trained by our loop, refused where they do not fit."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import LABEL, history, small, stop_at, write_words

from spinodal.errors import InputError
from spinodal.inference import load_model
from spinodal.training import Experiment, Recipe, compare, override, train
from spinodal.training.build import build_model, prepare_data
from spinodal.training.experiment import model_config, parameter_count

MODULE = """
import torch
from torch import nn


class Bigram(nn.Module):
    def __init__(self, vocabulary: int, hidden: int, width: int = 8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.inner, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.output = nn.Linear(width, vocabulary)
        self.output.weight = self.embedding.weight

    def forward(self, ids):
        x = self.embedding(ids)
        return self.output(x + self.out(torch.relu(self.inner(x))))


def fixed(vocabulary):
    return nn.Embedding(vocabulary, vocabulary)


def narrow(vocabulary):
    return nn.Embedding(vocabulary, 3)


def no_module():
    return 3


class Peek(Bigram):
    def forward(self, ids):
        return super().forward(ids.roll(-1, 1))


class Keywords(Bigram):
    def __init__(self, **sizes):
        super().__init__(sizes["vocabulary"], sizes["hidden"], sizes["width"])


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        assert False, "odd width"


class Short(Bigram):
    def forward(self, ids):
        return super().forward(torch.arange(4)[ids][None])
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "others.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("others", None)


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt")
    values = {"method": "none", "task": "causal", "steps": 6, "evaluate_every": 6, "save_every": 2}
    return override(override(small(corpus), values), {"channel": "swiglu"})


@pytest.mark.slow
def test_a_network_goes_on_bit_for_bit_and_its_loss_is_ours(plain: Experiment, tmp_path: Path):
    asked = override(plain, {"network": "others:Bigram"})
    data = prepare_data(asked)
    model = build_model(asked, data).eval()
    sample = {name: value[None] for name, value in data.held_out[0].items()}
    logits = model(**sample).logits[0, :-1].log_softmax(-1)
    nats = -logits[torch.arange(len(logits)), sample["labels"][0, 1:]].mean()
    torch.testing.assert_close(model(**sample).loss, nats)
    whole = train(asked, tmp_path / "whole", LABEL)
    assert {group.kind for group in whole.groups} == {"tables", "vectors", "matrices"}
    assert whole.probe is None
    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "run", LABEL, progress=stop_at(5))
    assert history(train(asked, tmp_path / "run", LABEL, resume=True)) == history(whole)


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("transformers:LlamaForCausalLM", "causal"),
        ("transformers:GPT2LMHeadModel", "causal"),
        ("transformers:BertForMaskedLM", "masked"),
        ("others:Bigram", "masked"),
    ],
)
def test_the_inner_size_is_solved_for_equal_parameters(plain: Experiment, path: str, task: str):
    asked = override(plain, {"network": path, "task": task, "parameters": 30_000})
    config = model_config(asked, vocabulary=30)
    assert parameter_count(asked, config) == pytest.approx(30_000, rel=0.01)
    model = asked.kind(config).eval()
    ids = torch.randint(5, 30, (2, 16))
    out = model(input_ids=ids, labels=ids)
    assert out.logits.shape == (2, 16, 30)
    assert out.loss.isfinite()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"network": "others"}, "network=others: it takes package.module:Name"),
        ({"network": "nothing_here:Model"}, "nothing_here cannot be imported"),
        ({"network": "others:Trigram"}, "others has no class or function Trigram"),
        ({"network": "others:Bigram", "task": "translation"}, "task=translation takes our models alone"),
        ({"network": "others:Bigram", "method": "penalty"}, "it reports no residuals"),
    ],
    ids=["path", "module", "name", "task", "constraint"],
)
def test_what_is_no_network_is_refused_with_the_experiment(plain: Experiment, values: dict, said: str):
    with pytest.raises(InputError, match=said):
        override(plain, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"network": "others:narrow"}, r"it gives \(1, 16, 3\), and not logits \(1, 16, "),
        ({"network": "others:no_module"}, "it gives int, and not a torch module"),
        ({"network": "others:Peek", "hidden": 8}, "earlier tokens change by .* must not see what follows"),
        ({"network": "transformers:BertLMHeadModel"}, "must not see what follows"),
        ({"network": "others:Odd"}, r"it cannot be built \(AssertionError: odd width"),
        ({"network": "others:Short", "hidden": 8}, r"it fails on ids of shape \(1, 16\) \(IndexError"),
        (
            {"network": "others:fixed", "parameters": 30_000},
            "parameters, not the 30000 that it is compared at",
        ),
    ],
    ids=["logits", "module", "leak", "class that leaks", "error in building", "error in passing", "size"],
)
def test_a_network_that_does_not_fit_is_named_before_the_first_step(
    plain: Experiment, values: dict, said: str
):
    asked = override(plain, values)
    with pytest.raises(InputError, match=said):
        build_model(asked, prepare_data(asked))


def test_rivals_are_chosen_by_name_or_by_path():
    recipe = Recipe(Experiment(), {"swiglu": {"channel": "swiglu"}, "attention": {"mixer": "attention"}})
    chosen = recipe.with_rivals([" attention ", "others:Bigram", "llama=transformers:LlamaForCausalLM"])
    assert chosen.rivals == {
        "attention": {"mixer": "attention"},
        "Bigram": {"network": "others:Bigram"},
        "llama": {"network": "transformers:LlamaForCausalLM"},
    }
    with pytest.raises(InputError, match="there is a rival Bigram already"):
        recipe.with_rivals(["others:Bigram", "more:Bigram"])
    with pytest.raises(InputError, match="no rival gru"):
        recipe.with_rivals(["gru"])


@pytest.mark.slow
def test_a_rival_of_others_is_compared_and_tuned(plain: Experiment, tmp_path: Path):
    rivals = {"Bigram": {"network": "others:Bigram"}, "llama": {"network": "transformers:LlamaForCausalLM"}}
    grid = {"lr": [1e-6, 0.01]}
    done = compare("own", Recipe(plain, rivals), tmp_path / "out", seeds=1, jobs=1, tune=grid)
    sizes = {name: runs[0].parameters or 0 for name, runs in done.runs["equal parameters"].items()}
    assert sizes.keys() == {"own", "Bigram", "llama"}
    assert max(sizes.values()) < 1.1 * min(sizes.values())
    assert {found.chosen["lr"] for found in done.tuning.values()} == {0.01}


def test_a_module_that_cannot_be_imported_is_named(plain: Experiment, tmp_path: Path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(InputError, match=r"broken cannot be imported \(SyntaxError"):
        override(plain, {"network": "broken:f"})


def test_a_callable_with_keywords_is_given_all_sizes(plain: Experiment):
    asked = override(plain, {"network": "others:Keywords", "parameters": 2_000})
    assert parameter_count(asked, model_config(asked, vocabulary=30)) == pytest.approx(2_000, rel=0.02)


def test_heads_of_a_hugging_face_class_are_as_wide_as_ours(plain: Experiment):
    asked = override(
        plain, {"network": "transformers:Qwen3ForCausalLM", "width": 16, "heads": 4, "hidden": 8}
    )
    network: Any = asked.kind(model_config(asked, vocabulary=30)).network
    assert network.config.head_dim == 4


def test_a_network_whose_source_has_changed_is_not_compared_as_it_was(plain: Experiment, tmp_path: Path):
    """Neither its runs nor its trials are taken for those of the new one."""
    asked = Recipe(plain, {"mine": {"network": "others:Bigram"}})
    before = prepare_data(override(plain, {"network": "others:Bigram"})).digests
    told = pytest.warns(UserWarning, match="mine: trained at the rates of own")
    with told:
        first = compare("own", asked, tmp_path / "out", seeds=1, jobs=1)
    with told:
        assert compare("own", asked, tmp_path / "out", seeds=1, jobs=1) == first
    with pytest.raises(InputError, match="holds a network of others, others:Bigram: load its weights"):
        load_model(tmp_path / "out" / "equal-parameters" / "mine-seed0", "ForCausalLM")
    (tmp_path / "others.py").write_text(MODULE + "\n")
    assert prepare_data(override(plain, {"network": "others:Bigram"})).digests != before
    refused = pytest.raises(
        InputError, match=r"mine-seed0 was trained on something else: the network .* delete"
    )
    with told, refused:
        compare("own", asked, tmp_path / "out", seeds=1, jobs=1)


@pytest.mark.parametrize("name", ["../escape", "a/b", "a b", ".."])
def test_a_rival_has_a_name_that_a_folder_can_have(plain: Experiment, name: str):
    with pytest.raises(InputError, match="a name is of letters"):
        Recipe(plain).with_rivals([f"{name}=others:Bigram"])


def test_a_rival_is_not_called_as_the_recipe(plain: Experiment, tmp_path: Path):
    asked = Recipe(plain).with_rivals(["own=others:Bigram"])
    with pytest.raises(InputError, match="own is the recipe's own model"):
        compare("own", asked, tmp_path / "out")
