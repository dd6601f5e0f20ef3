"""Faces open at once: what is loaded is counted in modules, which no machine's speed changes."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "spinodal"
HEAVY = {"torch", "transformers", "scipy", "numba", "matplotlib"}
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))
WALK = """
import sys, typer
from spinodal.cli import COMMANDS, app
from typer.testing import CliRunner

def pages(command, path):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from pages(child, [*path, name])

group = typer.main.get_command(app)
paths = [[], *(path for name in COMMANDS for path in pages(group.loaded(name), [name]))]
for path in paths:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0 and "Usage:" in done.output, (path, done.output)
    print("page", *path)
"""


def module(stub: Path) -> str:
    return ".".join(("spinodal", *stub.parent.relative_to(PACKAGE).parts))


def loaded(program: str) -> tuple[set[str], str]:
    """The modules that a program has loaded at its end, in a Python of its own, and what it printed."""
    program += "\nimport sys; print('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, _, names = done.stdout.rpartition("MODULES")
    return set(names.split()), said


def test_the_package_loads_nothing_heavy():
    bare, _ = loaded("")
    names, _ = loaded("import spinodal; dir(spinodal)")
    assert not names & (HEAVY | {"numpy", "typer", "rich", "jaxtyping"})
    assert len(names - bare) < 20


def test_the_package_lists_its_rooms():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "version"}
    assert set(dir(importlib.import_module("spinodal"))) == rooms - {"cli"} | {"__version__"}


@pytest.mark.parametrize(
    "room",
    [
        "types",
        "sphere",
        "theory",
        "observables",
        "graphs",
        "flows",
        "meanfield",
        "mixers",
        "shorten",
        "training",
        "watch",
    ],
)
def test_a_room_loads_no_torch_before_a_name_is_used(room: str):
    names, _ = loaded(f"import spinodal.{room}")
    assert not names & {"torch", "transformers", "matplotlib"}


def test_theory_and_graphs_compute_without_torch():
    names, _ = loaded(
        "import numpy as np\nimport spinodal\nfrom spinodal import graphs, theory\n"
        "theory.gamma_time_sa(0.999, 32, 5.0), spinodal.sphere.uniform(3, 2)\n"
        "system = graphs.System(graphs.named_graph('cycle:3'), graphs.coupling('sin'))\n"
        "graphs.equilibria(system), graphs.gradient_flow(system, np.arange(3.0), np.linspace(0, 1, 3))\n"
    )
    assert not names & {"torch", "transformers", "matplotlib"}


def test_flows_and_densities_compute_without_torch():
    names, _ = loaded(
        "import numpy as np\nfrom spinodal import flows, meanfield, sphere\n"
        "x = sphere.uniform(40, 3)\n"
        "flows.field(x, np.full(40, 1 / 40), beta=2.0)\n"
        "run = flows.simulate(flows.AttentionField(4.0), x, 1.0)\n"
        "run.times, run.tokens, run.merges\n"
        "start = meanfield.CircleModes(np.array([0.1]), np.zeros(1))\n"
        "meanfield.Circle(meanfield.drift_law('sa', 4.0), start).advance(0.1)\n"
    )
    assert not names & {"torch", "transformers", "matplotlib"}


@pytest.mark.slow
def test_a_torch_module_is_recorded_without_transformers():
    names, said = loaded(
        "import torch\nfrom torch import nn\nfrom spinodal import watch\n"
        "model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))\n"
        "model.forward = lambda x: model[1](model[0](x))\n"
        "print(*watch.record(model, {'x': torch.ones(1, 4, 3)}, layers=list(model)).tokens.shape)"
    )
    assert said.split() == ["3", "1", "4", "3"]
    assert not names & {"transformers", "matplotlib"}


def test_every_help_page_loads_nothing_heavy():
    names, said = loaded(WALK)
    assert not names & (HEAVY | {"jaxtyping"})
    assert {"page", "page simulate", "page graph equilibria", "page observe"} <= set(said.splitlines())


def test_the_list_of_commands_loads_none_of_their_files():
    names, said = loaded(
        "from spinodal.cli import app\nfrom typer.testing import CliRunner\n"
        "print(CliRunner().invoke(app, ['--help']).output)"
    )
    assert "Tokens on a graph" in said
    assert {name for name in names if name.startswith("spinodal.")} == {"spinodal.cli", "spinodal.errors"}


@pytest.mark.parametrize("stub", STUBS, ids=module)
def test_a_stub_lists_its_face_and_every_name_resolves(stub: Path):
    room = importlib.import_module(module(stub))
    tree = ast.parse(stub.read_text())
    listed = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert set(listed) == set(room.__all__) == set(dir(room))
    for name in listed:
        assert getattr(room, name) is not None


def test_every_face_has_a_stub_that_is_shipped():
    lazy = [path for path in PACKAGE.rglob("__init__.py") if "attach_stub" in path.read_text()]
    assert {path.with_suffix(".pyi") for path in lazy} == set(STUBS)
    with (PACKAGE.parent / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["spinodal"]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert {*STUBS, PACKAGE / "py.typed"} <= shipped
