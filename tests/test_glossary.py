"""Public names keep to docs/glossary.md: the synonyms in its last column are in none of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\|([^|]*)\|[^|]*\|([^|]*)\|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
REFUSED = {synonym: word.strip() for word, cell in ROWS for synonym in re.findall(r"`(\w+(?:\(\))?)`", cell)}


def names(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    """The public functions, classes, methods and aliases of types of a file."""
    for child in node.body:
        if isinstance(child, ast.Assign):
            yield from (
                x.id for x in child.targets if isinstance(x, ast.Name) and re.match("[A-Z]+[a-z]", x.id)
            )
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            if not child.name.startswith("_"):
                yield child.name
            if isinstance(child, ast.ClassDef):
                yield from names(child)


def words(name: str) -> list[str]:
    """The words of a name, in lower case: those of CamelCase and of snake_case alike."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return [part.lower() for part in parts]


def is_refused(name: str, synonym: str) -> bool:
    if synonym[0].isupper() or synonym.endswith("()"):
        return name == synonym.removesuffix("()")
    parts, refused = words(name), words(synonym)
    size = len(refused)
    return any(parts[i : i + size] == refused for i in range(len(parts) - size + 1))


def test_the_glossary_refuses_words():
    assert REFUSED["tape"] == "KV cache"
    assert is_refused("KeyTape", "tape")
    assert is_refused("tape_of", "tape")
    assert is_refused("moved", "moved()")
    assert not is_refused("moved_to", "moved()")
    assert is_refused("Flow", "Flow")
    assert not is_refused("flow", "Flow")


def test_public_names_keep_to_the_glossary():
    found = {
        (str(path), name): REFUSED[synonym]
        for path in sorted((ROOT / "spinodal").rglob("*.py"))
        for name in names(ast.parse(path.read_text()))
        for synonym in REFUSED
        if is_refused(name, synonym)
    }
    assert not found, f"names and the words of docs/glossary.md for them: {found}"
