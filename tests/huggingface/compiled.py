"""Whether every mixer is one graph, in a process without checks of types: python compiled.py token|channel|cross."""

import json
import sys
from typing import Any

import torch
from small import ids, model_of

from spinodal.mixers import registry
from spinodal.mixers.entry import Kind
from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM

FEW_PHASES = {name: {"name": name, "phases": 3} for name in ("partition", "literal", "dense")}
GRAPHS = ({"name": "graph", "levels": 2}, {"name": "graph", "block_size": 4, "top_blocks": 1})
CHANNELS = [FEW_PHASES.get(name, name) for name in registry.entries(Kind.CHANNEL)]
MODELS: dict[str, list[tuple[type, dict[str, Any]]]] = {
    "token": [
        (SpinodalForCausalLM, {"mixer": mixer, "channel": "swiglu"})
        for mixer in (*registry.entries(Kind.TOKEN), *GRAPHS)
    ],
    "channel": [
        (SpinodalForMaskedLM, {"mixer": "attention", "channel": channel, "length": ids().shape[1]})
        for channel in CHANNELS
    ],
    "cross": [(SpinodalForSeq2SeqLM, {"cross": name}) for name in registry.entries(Kind.CROSS)],
}


def compiled(model: Any, *, train: bool) -> Any:
    torch._dynamo.reset()
    return torch.compile(model.train(train), fullgraph=True, backend="aot_eager" if train else "eager")


def gradient(model: Any, network: Any) -> torch.Tensor:
    model.zero_grad()
    network(ids(), labels=ids()).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def check(kind: type, values: dict[str, Any], *, train: bool):
    """The compiled model has the logits of the model, or in training its gradients."""
    model = model_of(kind, **values)
    if train:
        expected = gradient(model, model.train())
        torch.testing.assert_close(
            gradient(model, compiled(model, train=True)), expected, rtol=1e-4, atol=1e-6
        )
        return
    more = {"decoder_input_ids": ids()} if kind is SpinodalForSeq2SeqLM else {}
    with torch.no_grad():
        expected = model(ids(), **more).logits
        found = compiled(model, train=False)(ids(), **more).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def failures(kind: str) -> dict[str, str]:
    """{mixer in training or inference: error} of the mixers that are no single graph."""
    found = {}
    for model, values in MODELS[kind]:
        mixer = values["mixer" if kind == "token" else kind]
        for train in (False, True):
            try:
                check(model, values, train=train)
            except Exception as error:
                name = f"{mixer} in {'training' if train else 'inference'}"
                found[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


if __name__ == "__main__":
    print(json.dumps(failures(sys.argv[1])))
