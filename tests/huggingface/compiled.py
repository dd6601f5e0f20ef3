"""Whether every mixer is one graph, in a process without checks of types: python compiled.py token|channel|cross."""

import sys
from typing import Any

import torch
from small import CHANNELS, TOKEN_MIXERS, ids, model_of

from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM

MODELS: dict[str, list[tuple[type, dict[str, Any]]]] = {
    "token": [(SpinodalForCausalLM, {"mixer": name, "channel": "swiglu"}) for name in TOKEN_MIXERS],
    "channel": [(SpinodalForMaskedLM, {"channel": name}) for name in CHANNELS],
    "cross": [(SpinodalForSeq2SeqLM, {"cross": name}) for name in ("attention", "static")],
}


def compiled(model: Any, *, train: bool) -> Any:
    torch._dynamo.reset()
    return torch.compile(model.train(train), fullgraph=True, backend="aot_eager" if train else "eager")


def gradient(model: Any, network: Any) -> torch.Tensor:
    model.zero_grad()
    network(ids(), labels=ids()).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def check(kind: type, values: dict[str, Any]):
    """The compiled model has the logits and the gradients of the model."""
    model = model_of(kind, **values)
    more = {"decoder_input_ids": ids()} if kind is SpinodalForSeq2SeqLM else {}
    with torch.no_grad():
        expected = model(ids(), **more).logits
        found = compiled(model, train=False)(ids(), **more).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    expected = gradient(model, model.train())
    torch.testing.assert_close(gradient(model, compiled(model, train=True)), expected, rtol=1e-4, atol=1e-6)


def failures(kind: str) -> dict[str, str]:
    """{options: error} of the mixers that are no single graph."""
    found = {}
    for model, values in MODELS[kind]:
        try:
            check(model, values)
        except Exception as error:
            found[str(values)] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


if __name__ == "__main__":
    for values, error in failures(sys.argv[1]).items():
        print(values, error)
