"""The sources that a function rests on: all of its room, and of every room of its package that they import."""

import ast
import contextlib
import hashlib
import sys
from collections.abc import Callable, Container
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def code(function: Callable[..., Any]) -> str:
    """sha256 of the sources that a function rests on, and the version of its package.

    They are all files of its room, a.b of a.b.c, and of every room of its package or of this one that they import,
    wherever in a file, and so on down.
    """
    name, module = getattr(function, "__qualname__", "<unnamed>"), function.__module__
    if "<" in name:
        raise TypeError(f"{name}: workers import a function by its name, so it must belong to a module")
    package = module.partition(".")[0]
    roots = {package: root_of(package), "spinodal": Path(__file__).parent.parent}
    sources = closure(".".join(module.split(".")[:2]), roots)
    with contextlib.suppress(PackageNotFoundError):
        package = f"{package} {version(package)}"
    digest = hashlib.sha256(package.encode())
    for source, content in sorted(sources.items()):
        digest.update(source.encode() + b"\0" + content)
    return digest.hexdigest()


def root_of(package: str) -> Path:
    """The folder of a package, or the file of a module that stands alone."""
    file = Path(getattr(sys.modules[package], "__file__", None) or "")
    if not file.name:
        raise TypeError(f"{package}: workers import a function by its name, so it must belong to a file")
    return file.parent if file.name == "__init__.py" else file


def closure(room: str, roots: dict[str, Path]) -> dict[str, bytes]:
    """The sources, by room and name, of a room and of every room that they import, as far as `roots` reach."""
    waiting, known, sources = [room], {room}, {}
    while waiting:
        package, _, part = (room := waiting.pop()).partition(".")
        root = roots[package]
        place = root / part if root.is_dir() else root
        if place.is_dir():
            files = [file for file in sorted(place.rglob("*.py*")) if file.suffix in (".py", ".pyi")]
        else:
            files = [file for file in (place, place.with_suffix(".py")) if file.is_file()][:1]
        for file in files:
            content = file.read_bytes()
            name = file.relative_to(place).as_posix() if place.is_dir() else file.name
            sources[f"{room}:{name}"] = content
            found = imported_rooms(ast.parse(content), roots) - known
            known |= found
            waiting += sorted(found)
    return sources


def imported_rooms(tree: ast.AST, roots: Container[str]) -> set[str]:
    """The rooms "package.room" that a source imports; "package" itself where it takes the whole of it by name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if "." not in node.module
                else {node.module}
            )
    return {".".join(name.split(".")[:2]) for name in names if name.partition(".")[0] in roots}
