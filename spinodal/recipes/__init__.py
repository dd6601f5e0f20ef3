"""Recipes: one claim a file, with the paper, the command, the minutes and the numbers to expect."""

import re
from types import ModuleType

FIELDS = ("Claim", "Paper", "Command", "Minutes", "Expected")


def header(module: ModuleType) -> dict[str, str]:
    """{"Claim": ..., "Paper": ..., ...} from a recipe's docstring; KeyError names a field that is missing."""
    found = dict(re.findall(r"^(\w+): +(.*(?:\n +.*)*)", module.__doc__ or "", flags=re.MULTILINE))
    return {name: " ".join(found[name].split()) for name in FIELDS}
