"""What is known of the attention of every architecture that is built small: the table of docs/architectures-watch.md.

`python tests/watch/architectures_table.py` writes it; tests/watch/test_every_architecture.py holds it.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "architectures-watch.md"
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "watch")]

from reference_attention import beta, call_of, conditions  # noqa: E402
from small_architectures import inputs_of_architecture, shared_architecture  # noqa: E402

from spinodal.errors import InputError  # noqa: E402
from spinodal.watch import attention_layers, one_stack  # noqa: E402
from spinodal.watch.result import AttentionLayer  # noqa: E402

NOT_COMPARED = {  # the reference's own limits
    "beta": {"vit_mae"},  # every pass draws other patches to hide
    "alignment": {"albert", "mobilebert"},  # attention's module ends in a norm of the stream
    "conditions": {"ctrl"},  # its module reads queries, keys and values apart
}


@dataclass(frozen=True)
class Row:
    """One architecture: its stack, how far its numbers are from those of its own code, and what is refused."""

    kind: str
    stack: str = ""
    calls: str = ""
    beta: float | None = None
    symmetry: float | None = None
    alignment: float | None = None
    reason: str = ""

    @property
    def largest(self) -> float:
        return max(x for x in (0.0, self.beta, self.symmetry, self.alignment) if x is not None)


def row(kind: str) -> Row:
    """The first layer that has attention, against the architecture's own code; errors of beta are relative."""
    model = shared_architecture(kind)
    inputs = inputs_of_architecture(model)
    try:
        stack = one_stack(model, inputs)
    except InputError as error:
        return Row(kind, reason=str(error).split(": no list")[0])
    layers, reason = attention_layers(model, inputs, stack)
    if reason:
        return Row(kind, stack.name, reason=reason)
    ours = layers[0]
    module = stack.modules[0 if stack.tied else ours.layer - 1]
    try:
        call, x = call_of(model, inputs, module)
    except StopIteration:
        return Row(
            kind, stack.name, "torch's kernel, called by the model itself: not compared", reason=ours.reason
        )
    return Row(
        kind, stack.name, "attention interface", *differences(kind, ours, model, inputs, module, call, x)
    )


def differences(
    kind: str, ours: AttentionLayer, model: Any, inputs: dict, module: Any, call: Any, x: Any
) -> tuple:
    own = beta(call, x)
    found = np.array([np.nan if b is None else b for b in ours.effective_beta_of_heads])
    unknown = np.isnan(own).all() or kind in NOT_COMPARED["beta"]
    error = None if unknown else float(np.abs(own - found).max() / np.abs(own).max())
    if ours.symmetry is None or kind in NOT_COMPARED["conditions"]:
        return error, None, None, ours.reason
    symmetry, alignment = conditions(model, inputs, module)
    aligned = ours.alignment is not None and kind not in NOT_COMPARED["alignment"]
    return (
        error,
        float(abs(symmetry.mean() - ours.symmetry)),
        float(abs(alignment.mean() - ours.alignment)) if aligned and ours.alignment is not None else None,
        ours.reason,
    )


def written(rows: list[Row], others: dict[str, str]) -> str:
    """The page."""
    said = [r for r in rows if r.beta is not None]
    head = (
        "# Watching other architectures\n\n"
        "Written by `python tests/watch/architectures_table.py`, held by a slow test. Every model type of\n"
        "transformers that is built with three layers of width 32 is observed with random weights. Effective beta,\n"
        "symmetry and alignment of its first layer with attention are compared with values from its own queries,\n"
        "keys, values and scale: a function registered with the attention interface keeps what it is called with, and\n"
        "unit vectors are sent through the model's own module.\n\n"
        f"{len(rows)} model types are built, {len(said)} of them compared; the largest difference is "
        f"{max((r.largest for r in said), default=0):.0e} (of beta relative to its largest head). Where a\nnumber is "
        "refused the reason stands beside it; the rest of the observation goes on wherever layers are found.\n"
    )
    lines = [
        "| model type | layers | calls seen at | beta, symmetry, alignment compared | refused, and why |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        compared = ", ".join(
            name
            for name, x in (("beta", r.beta), ("symmetry", r.symmetry), ("alignment", r.alignment))
            if x is not None
        )
        lines.append(
            f"| {r.kind} | {r.stack or '–'} | {r.calls or '–'} | {compared or '–'} | {r.reason or '–'} |"
        )
    rest = ["", f"Not built small ({len(others)}): " + ", ".join(sorted(others)) + ".", ""]
    return "\n".join([head, *lines, *rest])


def main() -> None:
    from small_architectures import buildable

    warnings.simplefilter("ignore")
    kinds, others = buildable()
    TABLE.write_text(written([row(kind) for kind in kinds], others), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
