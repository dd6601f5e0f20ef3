"""Every program of docs/layers.md runs as it stands, and what it trains learns."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from marks import slow_but

PAGE = (Path(__file__).parents[2] / "docs" / "layers.md").read_text()
PROGRAMS = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_page_has_a_program_under_each_head():
    assert len(PROGRAMS) == PAGE.count("```python") == PAGE.count("\n## ") == 3


@pytest.mark.parametrize(
    ("title", "program"), slow_but(PROGRAMS, PROGRAMS[-1]), ids=[title for title, _ in PROGRAMS]
)
def test_a_program_of_the_page_learns(title: str, program: str):
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(compile(program, title, "exec"), names)
    losses = names["losses"]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4]), losses
