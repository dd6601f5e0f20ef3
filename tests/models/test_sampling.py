"""Tokens drawn from a compiled step's logits are those of transformers' processors and of torch.multinomial."""

import pytest
import torch
from marks import slow_but
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import StoppingCriteriaList

from spinodal.models.step import loop
from spinodal.models.step.loop import GrowingIds, Rules

WARPERS = {
    "none": [],
    "temperature": [TemperatureLogitsWarper(0.8)],
    "likeliest": [TopKLogitsWarper(50)],
    "share": [TopPLogitsWarper(0.9)],
    "three of at least": [TopPLogitsWarper(0.01, min_tokens_to_keep=3)],
    "more than there are": [TopKLogitsWarper(5000), TopPLogitsWarper(1.0)],
    "all": [TemperatureLogitsWarper(1.7), TopKLogitsWarper(40), TopPLogitsWarper(0.8)],
    "late temperature": [TopKLogitsWarper(40), TemperatureLogitsWarper(0.5), TopPLogitsWarper(0.8)],
    "hot": [TemperatureLogitsWarper(0.1), TemperatureLogitsWarper(100.0), TopKLogitsWarper(1500)],
    "a filter that lets pass": [TopKLogitsWarper(4, filter_value=-1.0)],
    "a penalty": [RepetitionPenaltyLogitsProcessor(1.3), TopPLogitsWarper(0.9)],
}
LOGITS = {
    "even": lambda: 0.02 * torch.randn(2000),
    "usual": lambda: 2 * torch.randn(2000),
    "steep": lambda: 30 * torch.randn(2000),
    "many ties": lambda: torch.randint(-3, 3, (500,)).float(),
    "two tokens": lambda: torch.randn(2),
    "tokens forbidden": lambda: torch.where(torch.rand(300) < 0.5, -torch.inf, torch.randn(300)),
}


@pytest.mark.parametrize("warpers", slow_but(WARPERS, "none", "more than there are", "all", "a penalty"))
@pytest.mark.parametrize("kind", slow_but(LOGITS, "usual", "many ties", "tokens forbidden"))
def test_a_seed_draws_the_tokens_of_transformers(warpers: str, kind: str):
    torch.manual_seed(0)
    processors, text = LogitsProcessorList(WARPERS[warpers]), GrowingIds(torch.tensor([[1, 0, 1]]))
    rules = Rules(processors, StoppingCriteriaList(), sample=True)
    for seed in range(40):
        logits = LOGITS[kind]()
        given = logits.numpy().copy()
        state = torch.get_rng_state()
        shares = rules.processed(text, logits.numpy()).softmax(-1)
        expected, after = int(torch.multinomial(shares, 1)), torch.get_rng_state()
        torch.set_rng_state(state)
        assert rules.choose(text, logits.numpy()) == expected, seed
        assert torch.equal(torch.get_rng_state(), after)
        assert (logits.numpy() == given).all()


def test_rounding_decides_nothing(monkeypatch: pytest.MonkeyPatch):
    """Most draws need no processor, and one that is as near as rounding asks for it."""
    torch.manual_seed(0)
    processors, text = LogitsProcessorList(WARPERS["all"]), GrowingIds(torch.tensor([[1]]))
    rules, asked = Rules(processors, StoppingCriteriaList(), sample=True), []
    whole = rules.processed
    monkeypatch.setattr(rules, "processed", lambda *given: asked.append(1) or whole(*given))
    for _ in range(100):
        rules.choose(text, (2 * torch.randn(2000)).numpy())
    assert len(asked) < 10
    asked.clear()
    rules.choose(text, torch.zeros(100).numpy())
    assert asked
    monkeypatch.setattr(loop, "CLOSE", 1.0)
    asked.clear()
    rules.choose(text, torch.randn(100).numpy())
    assert asked


def test_logits_that_are_no_numbers_are_refused_as_torch_refuses_them():
    rules = Rules(LogitsProcessorList(WARPERS["all"]), StoppingCriteriaList(), sample=True)
    with pytest.raises(RuntimeError, match="probability tensor"):
        rules.choose(GrowingIds(torch.tensor([[1]])), torch.full((5,), torch.nan).numpy())
