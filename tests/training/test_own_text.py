"""Files of one's own for training, validation and test of running text, as they stand."""

from pathlib import Path

import numpy as np
import pytest
from marks import slow_but
from test_resume import LABEL, small, write_words
from torch.utils.data import default_collate
from typed import of_kind, present

from spinodal.data import tokens
from spinodal.data.samples import Contexts
from spinodal.errors import InputError
from spinodal.training import Experiment, override, train
from spinodal.training.build import build_model, prepare_data
from spinodal.training.evaluation import held_out_loss


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    counts = {"corpus": 300, "validation": 40, "test": 60}
    return {name: str(write_words(tmp_path / f"{name}.txt", count)) for name, count in counts.items()}


@pytest.fixture(params=slow_but(["masked", "causal"], "causal"))
def asked(request: pytest.FixtureRequest, files: dict[str, str]) -> Experiment:
    values = {
        "method": "none",
        "pathway": "none",
        "task": request.param,
        "steps": 2,
        "log_every": 1,
        "save_every": 2,
    }
    return override(small(Path(files["corpus"])), values | files)


def test_each_file_is_one_part(asked: Experiment, files: dict[str, str], tmp_path: Path):
    """Training reads all of its file; the test file is scored beside the loss of the last evaluation."""
    data = prepare_data(asked)
    parts = dict(zip(files, (data.training, data.held_out, present(data.test)), strict=True))
    tokenizer = present(data.tokenizer)
    for name, part in parts.items():
        text, stream = Path(files[name]).read_text(), of_kind(part, Contexts).tokens[:]
        assert tokenizer.decode(stream[:-1]) == text
        assert stream[-1] == tokenizer.eos_token_id
    result = train(asked, tmp_path / "run", LABEL)
    model = type(build_model(asked, data)).from_pretrained(tmp_path / "run" / "model")
    expected = held_out_loss(model, present(data.test), 8, default_collate)
    assert result.final["test_loss"] == pytest.approx(expected, rel=1e-6)
    assert result.final["test_loss"] != result.final["held_out_loss"]


def test_what_is_kept_is_what_is_read(asked: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Tokens of files that are kept in the cache are those of files that are not."""
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "cache"))
    tokens.tokens_of.cache_clear()
    plain = prepare_data(asked)
    monkeypatch.setattr(tokens, "LEAST_KEPT", 200)
    tokens.tokens_of.cache_clear()
    kept = prepare_data(asked)
    tokens.tokens_of.cache_clear()
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 3
    assert kept.digests == plain.digests
    for ours, theirs in zip(kept[:3], plain[:3], strict=True):
        assert np.array_equal(of_kind(ours, Contexts).tokens[:], of_kind(theirs, Contexts).tokens[:])


def test_what_is_wrong_with_a_file_is_said(asked: Experiment, files: dict[str, str], tmp_path: Path):
    before = prepare_data(asked).digests
    Path(files["test"]).write_text("phase split! ünd more of the text " * 4)
    with pytest.warns(
        UserWarning, match=r"of the 137 tokens of .*test.txt are characters that the training text"
    ):
        after = prepare_data(asked).digests
    assert before["text"] != after["text"]
    assert before["tokenizer"] == after["tokenizer"]
    with pytest.warns(UserWarning, match=r"corpus.txt holds the same text as .*corpus.txt"):
        prepare_data(override(asked, {"validation": files["corpus"], "test": ""}))
    Path(files["validation"]).write_text("phase")
    with pytest.raises(InputError, match=r"validation=.*: its 6 tokens do not fill one context of 16"):
        prepare_data(override(asked, {"test": ""}))
    with pytest.raises(InputError, match=r"test=.*: give `validation` too"):
        override(asked, {"validation": ""})
    with pytest.raises(InputError, match="neither a file, nor a folder"):
        prepare_data(override(asked, {"validation": str(tmp_path / "none.txt")}))
