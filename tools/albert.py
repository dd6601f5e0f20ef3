"""The tokens of a trained model for a story of the explorer: `python tools/albert.py` writes source/albert.js.

A reaction in the pinned ALBERT of rxnmapper, layer by layer: directions in the space that the n tokens of a layer
span, n numbers of a byte each. Each layer is turned towards the one before (Procrustes), which leaves its cosines as
they are.
"""

import base64
import json
from pathlib import Path

import numpy as np

from spinodal.watch import Observation, Question, observe, source_named

REACTION = "CCCCCCCC>>CCCC"
OUT = Path(__file__).parent.parent / "spinodal" / "explorer" / "source" / "albert.js"
SIGN = (
    "// The tokens of a reaction in a trained ALBERT, layer by layer: directions in the span of a layer, base64 of "
    "bytes.\n"
    "// `python tools/albert.py` writes this file.\n"
)


def turned(layers: np.ndarray) -> np.ndarray:
    """The layers [t n n], the first along its main axes, each of the others turned to be nearest to the one before."""
    out = [layers[0] @ np.linalg.svd(layers[0])[2].T]
    for layer in layers[1:]:
        left, _, right = np.linalg.svd(layer.T @ out[-1])
        out.append(layer @ left @ right)
    return np.stack(out)


def main() -> None:
    seen = observe(Observation(source_named("rxnmapper", text=REACTION), Question(nulls=())))
    tokens = seen.shown.tokens
    assert tokens is not None
    x = tokens.astype(np.float64)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    codes = (127 * turned(np.linalg.qr(x.swapaxes(1, 2), mode="r").swapaxes(1, 2))).round().astype(np.int8)
    y = codes / np.linalg.norm(codes, axis=-1, keepdims=True)
    error = np.abs(y @ y.swapaxes(1, 2) - x @ x.swapaxes(1, 2)).max()
    told = {
        "title": "ALBERT", "n": x.shape[1], "d": x.shape[1], "layers": True, "times": list(range(len(x))),
        "words": seen.shown.words, "step": float(f"{seen.clock.step_at_beta:.4g}"), "beta": float(f"{seen.beta:.4g}"),
        "bytes": base64.b64encode(codes.tobytes()).decode(),
    }  # fmt: skip
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    OUT.write_text(
        f"{SIGN}export const ALBERT = JSON.parse(\n  '{text}',\n);\n", encoding="utf-8", newline="\n"
    )
    print(f"{OUT.name}: {x.shape[1]} tokens, {len(x)} layers, {OUT.stat().st_size / 1000:.1f} kB")
    print(f"cosines to {error:.3f}")


if __name__ == "__main__":
    main()
