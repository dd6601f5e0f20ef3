"""The table of architectures that docs/architectures.md holds: what each makes of an interaction in its attention.

`python tests/models/attention_table.py` writes it anew; `test_architectures.py` compares it with what it finds.
"""

import copy
import inspect
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from small_architectures import (
    buildable,
    inputs_of_architecture,
    shared_architecture,
    small_architecture,
    windows_of,
)
from torch import Tensor
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from spinodal.errors import InputError
from spinodal.models import INTERACTIONS, interaction, replaced_attention

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
BEGIN, END = "<!-- attention functions: begin -->", "<!-- attention functions: end -->"
NEUTRAL = ("spinodal_beta:1", "spinodal_threshold:1e9")
OTHERS = ("spinodal_usa", "spinodal_sin", "spinodal_graph")
CLOSE = 2e-4  # of the largest output, in float32
WINDOW = 4  # tokens, of twelve
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}


class Row(NamedTuple):
    """What one architecture does: forms of mask that it takes, and what each interaction comes to."""

    kind: str
    forms: str
    neutral: str
    others: str
    gap: float


def masks(n: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Forms of mask: what an interaction is given, and what the architecture's own attention is given."""
    ones = torch.ones(n, n, dtype=torch.bool).tril()
    least = torch.finfo(torch.float32).min
    padding = torch.ones(2, n, dtype=torch.long)
    padding[1, n - 4 :] = 0
    additive = torch.zeros(n, n).masked_fill(~ones, least)[None, None].expand(2, 1, n, n)
    places = torch.arange(n)
    biases = additive - 0.3 * (places[:, None] - places[None]).abs()
    return {
        "padding": (padding, padding),
        "boolean": (ones[None, None].expand(2, 1, n, n), additive),
        "additive": (additive, additive),
        "biases": (biases, biases),
    }


class Case(NamedTuple):
    """A form of mask, what a model is given, the outputs of its own attention, and which tokens are compared."""

    form: str
    model: Any
    given: dict[str, Tensor]
    own: list[Tensor]
    compared: Tensor | None = None


def outputs(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Every tensor of numbers that a pass returns; the seed is that of the inputs' own pass."""
    torch.manual_seed(3)
    with torch.no_grad():
        found = model(**inputs)
    return [x for x in found.values() if isinstance(x, Tensor) and x.is_floating_point()]


def largest_gap(ours: list[Tensor], own: list[Tensor], compared: Tensor | None = None) -> float:
    """The largest difference, relative to the largest output; nan counts where one side alone has it."""
    gaps = [0.0]
    for x, y in zip(ours, own, strict=True):
        if compared is not None and x.shape[:2] == compared.shape:
            x, y = x[compared], y[compared]
        x, y = x.nan_to_num(1e9), y.nan_to_num(1e9)
        gaps.append(float((x - y).abs().max() / y.abs().max().clamp(min=1e-9)))
    return max(gaps)


def cases_of(kind: str) -> list[Case]:
    """Inputs of every form that the architecture takes, with the outputs of its own attention.

    With a small window padding sees nothing of the text, and what is made of a token that sees nothing is compared
    nowhere: the library's own functions differ there.
    """
    model = shared_architecture(kind)
    inputs = inputs_of_architecture(model)
    found = [Case("none", model, inputs, outputs(model, inputs))]
    ids = inputs.get("input_ids")
    if ids is None or "attention_mask" not in inspect.signature(model.forward).parameters:
        return found
    forms = masks(ids.shape[1])
    padding, _ = forms["padding"]
    asked: list[tuple[str, Any, Tensor, Tensor, Tensor | None]]
    asked = [(form, model, *pair, None) for form, pair in forms.items()]
    if windows_of(kind):
        asked.append(("window", small_architecture(kind, window=WINDOW), padding, padding, padding.bool()))
    for form, of, given, theirs, compared in asked:
        try:
            own = outputs(of, inputs | {"attention_mask": theirs})
        except Exception:  # the library's own refusals of a form have no one class
            continue
        found.append(Case(form, of, inputs | {"attention_mask": given}, own, compared))
    return found


def result_of(model: Any, name: str, inputs: dict[str, Tensor]) -> list[Tensor] | str:
    """The outputs with an interaction, or why there are none."""
    try:
        with replaced_attention(model, interaction(name), inputs):
            return outputs(model, inputs)
    except InputError as error:
        return str(error)


def row_of(kind: str) -> Row:
    """What the architecture does; the library's own error where it cannot be built small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = cases_of(kind)
        forms, gaps = ", ".join(case.form for case in cases), [0.0]
        for name in NEUTRAL:
            for case in cases:
                ours = result_of(case.model, name, case.given)
                if isinstance(ours, str):
                    return Row(kind, forms, short(ours), "", 0.0)
                gaps.append(largest_gap(ours, case.own, case.compared))
                if gaps[-1] > CLOSE:
                    return Row(kind, forms, f"differs: {name}, {case.form}", "", gaps[-1])
        said = {name: result_of(cases[0].model, name, cases[0].given) for name in OTHERS}
    refused = [f"{name} refused: {short(text)}" for name, text in said.items() if isinstance(text, str)]
    return Row(kind, forms, "equal", "; ".join(refused) or "run", max(gaps))


def leaks() -> dict[str, tuple[str, dict[str, float]]]:
    """By causal architecture: what its stream reads, and by interaction how far a later token moves an earlier one.

    A router gives its experts batches of other sizes, which some processors round otherwise: there ROUNDING is allowed,
    of doubles where the architecture runs in them.
    """
    found = {}
    for kind in buildable()[0]:
        model = shared_architecture(kind)
        inputs = inputs_of_architecture(model)
        name = "decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"
        allowed = 0.0
        if has_experts(model):
            model, inputs = in_doubles(model, inputs)
            allowed = ROUNDING[model.dtype]
        own = None if inputs.get(name) is None else leak(model, inputs, name)
        if own is None or own > allowed:
            continue
        gaps = {}
        for what in INTERACTIONS:
            try:
                with replaced_attention(model, interaction(what), inputs):
                    gap = leak(model, inputs, name)
            except InputError:  # the table has the reason
                continue
            gaps[what] = gap if gap is not None and gap > allowed else 0.0
        if gaps:
            found[kind] = name, gaps
    return found


def has_experts(model: Any) -> bool:
    return any(
        re.search("moe|expert|router", type(module).__name__, re.IGNORECASE) for module in model.modules()
    )


def in_doubles(model: Any, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """A copy of the model and its inputs in float64, or both as they are where some part of it takes float32 alone."""
    doubled = copy.deepcopy(model).double()
    given = {key: x.double() if x.is_floating_point() else x for key, x in inputs.items()}
    try:
        doubled.set_experts_implementation("eager")  # the others have no doubles
        outputs(doubled, given)
    except (RuntimeError, ValueError):
        return model, inputs
    return doubled, given


def leak(model: Any, inputs: dict[str, Tensor], name: str) -> float | None:
    """How far the last token of `name` moves the others' last states; None where the states are not those tokens'."""
    later = inputs[name].clone()
    later[:, -1] = (later[:, -1] - 2) % 57 + 3
    states = []
    for ids in (inputs[name], later):
        torch.manual_seed(3)
        with torch.no_grad():
            states.append(getattr(model(**inputs | {name: ids}), "last_hidden_state", None))
    a, b = states
    if a is None or a.shape[:2] != later.shape or torch.equal(a[:, -1], b[:, -1]):
        return None
    return float((a - b)[:, :-1].abs().max())


def short(text: str) -> str:
    """The kind of a refusal."""
    for mark, kind in (
        ("ignores attention plug-ins", "makes no call of attention"),
        ("in some layers alone", "makes no call in some of its layers"),
        ("learned sinks", "has learned sinks"),
        ("chosen", "chooses its keys by an index"),
        ("cross-attention", "has cross-attention"),
        ("does not fit", "its own mask does not fit"),
    ):
        if mark in text:
            return kind
    return text


def rows() -> tuple[list[Row], dict[str, str]]:
    """Every architecture that is built small and run, and why the others are not."""
    found, others = [], {}
    for kind in sorted(MODEL_MAPPING_NAMES):
        try:
            found.append(row_of(kind))
        except Exception as error:  # the library's own refusals have no one class
            others[kind] = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    return found, others


def table(found: list[Row], others: dict[str, str]) -> str:
    """The section as Markdown."""
    equal = sum(row.neutral == "equal" for row in found)
    lines = [
        BEGIN, "",
        f"Of transformers {transformers.__version__}, {len(found)} architectures are built small and run; in {equal} "
        "of them `spinodal_beta` with beta = 1 and `spinodal_threshold` with an infinite width are the architecture's "
        f"own attention (outputs within {CLOSE:g} of the largest, float32) in every form of mask that it takes.", "",
        "| architecture | forms of mask | beta = 1, width = inf | usa, sin, graph |",
        "| --- | --- | --- | --- |",
        *(f"| {row.kind} | {row.forms} | {row.neutral} | {row.others} |" for row in found), "",
        "Not built small, with the library's reason:", "",
        *(f"- {kind}: `{why.replace('`', '')}`" for kind, why in others.items()), "",
        END,
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Writes the section into the page."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    text, section = PAGE.read_text(), table(*rows())
    head, tail = text.split(BEGIN)[0], text.split(END)[-1]
    PAGE.write_text(head + section + tail)


if __name__ == "__main__":
    main()
