"""The sources that a function depends on: those of its subpackage, and of all subpackages they import."""

import ast
import contextlib
import hashlib
import sys
from collections.abc import Callable, Container
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def code(function: Callable[..., Any]) -> str:
    """sha256 of the sources that a function depends on, and of the version of its package.

    They are all files of its room, which is the subpackage a.b of its module a.b.c, and of every room, of its
    package or of this one, that is imported anywhere in these files, and so on recursively.
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
    """{"room:file": content} of a room's sources and, recursively, of all rooms they import in `roots`."""
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
    """The rooms "package.room" that a source imports, and "package" where it imports the package itself."""
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
