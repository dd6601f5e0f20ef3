"""Defaults of options: those of the rooms, read from their sources, so that a help page loads no room."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent


def default(place: str) -> Any:
    """The default of a field or an argument: default("flows.Simulation.until") is 20.0.

    A name leads through values: flows.Simulation.start.n is the n of the start that a Simulation has by default.
    """
    names = place.split(".")
    module = f"spinodal.{names.pop(0)}"
    while is_module(module, names[0]):
        module += f".{names.pop(0)}"
    module, node = defined(module, names.pop(0))
    for name in names:
        module, node = member(module, node, name)
    return literal(module, node)


def is_module(module: str, name: str) -> bool:
    """Whether `name` is a room in a package, or a file in it of which its face lists nothing of that name."""
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return path.is_dir() or (path.with_suffix(".py").exists() and name not in listed(module))


def listed(module: str) -> set[str]:
    """The names that a module's source imports."""
    imports = (node for node in source(module).body if isinstance(node, ast.ImportFrom))
    return {x.asname or x.name for node in imports for x in node.names}


@cache
def source(module: str) -> ast.Module:
    """The file of a module; of a room, the stub that lists its face."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    stub = path / "__init__.pyi"
    file = stub if stub.exists() else path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def defined(module: str, name: str) -> tuple[str, ast.AST]:
    """The class, the function or the value of a name in a module, and the module that defines it."""
    for node in source(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if (
            isinstance(node, ast.Assign)
            and (value := assigned(node.targets[0], node.value, name)) is not None
        ):
            return module, value
        if isinstance(node, ast.ImportFrom) and any((x.asname or x.name) == name for x in node.names):
            original = next(x.name for x in node.names if (x.asname or x.name) == name)
            return defined(f"{module}.{node.module}" if node.level else str(node.module), original)
    raise LookupError(f"{module} defines no {name}")


def assigned(target: ast.expr, value: ast.expr, name: str) -> ast.expr | None:
    """What `name` is set to by `target = value`, alone or as one of several; None if it is not."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = map(assigned, target.elts, value.elts, [name] * len(target.elts))
        return next((found for found in pairs if found is not None), None)
    return value if isinstance(target, ast.Name) and target.id == name else None


def member(module: str, node: ast.AST, name: str) -> tuple[str, ast.AST]:
    """The default of a class's field or of a function's argument, or the field of a value that is made by a call."""
    if isinstance(node, ast.Name):
        return member(*defined(module, node.id), name)
    if isinstance(node, ast.Call):
        made = {word.arg: word.value for word in node.keywords}
        if name in made:
            return module, made[name]
        return member(module, made.get("default_factory", node.func), name)
    if isinstance(node, ast.ClassDef):
        fields = (x for x in node.body if isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name))
        values = {x.target.id: x.value for x in fields}  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(node, ast.FunctionDef):
        arguments, keywords = [*node.args.posonlyargs, *node.args.args], node.args.kwonlyargs
        last = node.args.defaults
        values = dict(zip((x.arg for x in arguments[len(arguments) - len(last) :]), last, strict=True))
        values |= {x.arg: value for x, value in zip(keywords, node.args.kw_defaults, strict=True)}
    else:
        values = {}
    if (value := values.get(name)) is None:
        raise LookupError(f"{module}: no default of {name}")
    return module, value


def literal(module: str, node: ast.AST) -> Any:
    """The value that a source writes out, or that it has from a constant of some module."""
    if isinstance(node, ast.Name):
        return literal(*defined(module, node.id))
    if isinstance(node, ast.Tuple):
        return tuple(literal(module, each) for each in node.elts)
    return ast.literal_eval(node)
