"""Imports only go down: each room imports the rooms below it and no others."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "spinodal"

# room -> the rooms it may import; a room's own files are always its own affair
DOORS: dict[str, set[str]] = {
    "types": set(),
    "version": set(),
    "errors": set(),
    "sphere": set(),
    "results": set(),
    "arrays": {"sphere"},
    "thermodynamics": {"loops"},
    "graphs": {"types", "results"},
    "data": set(),
    "threads": set(),
    "signals": set(),
    "runs": {"limits", "threads", "types"},
    "scores": set(),
    "limits": set(),
    "theory": {"limits"},
    "observables": {"types", "arrays"},
    "loops": {"threads"},
    "integrate": {"loops"},
    "flows": {
        "types",
        "sphere",
        "arrays",
        "limits",
        "loops",
        "integrate",
        "results",
        "runs",
        "observables",
        "signals",
    },
    "meanfield": {
        "types",
        "arrays",
        "limits",
        "results",
        "theory",
        "runs",
        "observables",
        "flows",
        "loops",
        "integrate",
    },
    "mixers": {"types", "thermodynamics", "graphs", "loops"},
    "layers": {"mixers"},
    "models": {"types", "loops", "mixers"},
    "training": {
        "types",
        "results",
        "runs",
        "models",
        "mixers",
        "data",
        "observables",
        "watch",
        "scores",
        "signals",
    },
    "inference": {"models", "data"},
    "watch": {"types", "results", "runs", "observables", "theory", "flows", "data", "models"},
    "shorten": {"types", "results", "runs", "data", "models", "watch", "scores"},
    "figures": {
        "types",
        "limits",
        "theory",
        "observables",
        "flows",
        "meanfield",
        "graphs",
        "watch",
        "runs",
        "training",
    },
    "explorer": {"sphere", "flows", "meanfield", "runs", "watch"},
    "report": {"runs", "explorer", "figures", "observables", "training", "watch", "shorten"},
}
OPEN = {"cli", "recipes", "__init__", "__main__"}  # these may import anything, and nobody imports them


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported_rooms(path: Path) -> set[str]:
    """The rooms of spinodal that a file imports, wherever in the file it does so."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            rooms |= {name.name.split(".")[1] for name in node.names if name.name.startswith("spinodal.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute in this house"
            if node.module == "spinodal":
                rooms |= {name.name for name in node.names}
            elif node.module and node.module.startswith("spinodal."):
                rooms.add(node.module.split(".")[1])
    return rooms


def test_imports_only_go_down():
    paths = [path for path in PACKAGE.rglob("*.py") if room(path) not in OPEN]
    unknown = {room(path) for path in paths} - DOORS.keys()
    assert not unknown, f"{unknown}: rooms without a door, which DOORS and docs/house.md should have"
    climbing = {
        str(path): imported_rooms(path) - DOORS[room(path)] - {room(path), "errors"} for path in paths
    }
    assert {path: rooms for path, rooms in climbing.items() if rooms} == {}


def test_theory_does_without_torch():
    for path in [*PACKAGE.glob("theory.py"), *PACKAGE.glob("theory/*.py")]:
        assert "torch" not in path.read_text().replace("pytorch", "")


def test_no_door_is_open_that_nobody_uses():
    used: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        used.setdefault(room(path), set()).update(imported_rooms(path))
    unused = {here: sorted(doors - used.get(here, set())) for here, doors in DOORS.items()}
    assert {here: doors for here, doors in unused.items() if doors} == {}
