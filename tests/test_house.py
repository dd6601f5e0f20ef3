"""The house keeps its rules: every key is in references.bib, every recipe has its header."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spinodal import cli, recipes
from spinodal.recipes import header
from spinodal.training import Recipe

ROOT = Path(__file__).parent.parent
KEYS = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "references.bib").read_text(), flags=re.MULTILINE))
RECIPES = [module.name for module in pkgutil.iter_modules(recipes.__path__)]
ARGUMENTS = "(out: pathlib.Path, *, seed: int = 0, quick: bool = False)"
PLACES = (ROOT, ROOT / "spinodal", ROOT / "docs")  # that paths are named from
SOURCES = sorted([*ROOT.glob("spinodal/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"])
TEXTS = sorted({*SOURCES, *ROOT.glob("*.md"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py")})


def test_every_key_that_is_cited_exists():
    cited = {path: re.findall(r"\b([a-z]+(?:19|20)\d\d)\b(?=[\],;])", path.read_text()) for path in SOURCES}
    unknown = {str(path): set(keys) - KEYS for path, keys in cited.items()}
    assert {path: keys for path, keys in unknown.items() if keys} == {}


def test_every_file_that_is_named_exists():
    missing = {str(path.relative_to(ROOT)): missing_files(path) for path in TEXTS}
    assert {path: names for path, names in missing.items() if names} == {}


def missing_files(path: Path) -> set[str]:
    """What a text names as a path from the root or the package, or as a link, and is not there; NAME is any name."""
    text = path.read_text()
    named = set(re.findall(r"(?<![\w/.:])(?:[a-z_]+/)+\w+\.(?:py|md|bib|toml|png|gif)\b", text))
    ours = {name for name in named if any((at / name.split("/")[0]).is_dir() for at in PLACES)}
    missing = {name for name in ours if "NAME" not in name and not any((at / name).exists() for at in PLACES)}
    if path.suffix == ".md":
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
        missing |= {link for link in links if not (path.parent / link).exists()}
    return missing


def test_the_page_of_the_house_names_every_room_and_file():
    """Every room of the package, and every file that lies beside them, stands in the plan of docs/house.md."""
    plan = (ROOT / "docs" / "house.md").read_text().split("```")[1]
    at = ROOT / "spinodal"
    rooms = {f"{path.parent.name}/" for path in at.glob("*/__init__.py")}
    files = {path.name for path in at.glob("[a-z]*.py")} - {"version.py"}
    unnamed = {
        name for name in rooms | files if not re.search(rf"^  (\w+/ )*{name}( |$)", plan, re.MULTILINE)
    }
    named = re.findall(r"^  ((?:\w+/|\w+\.py)(?: \w+/)*)", plan, re.MULTILINE)
    missing = {name for names in named for name in names.split() if not (at / name).exists()}
    assert (unnamed, missing) == (set(), set())


CONFIGURATIONS = {  # what experiments and models are made of; options of mixers have their meaning beside them
    "data/masking.py": ("Masking",),
    "data/recall.py": ("Recall",),
    "flows/ensembles/diagram.py": ("Diagram",),
    "flows/experiment.py": ("Simulation",),
    "flows/fields/composed.py": ("AttentionField",),
    "flows/fields/heads.py": ("Head",),
    "flows/starts.py": ("UniformStart", "OrthonormalStart", "LatticeStart", "TokenStart", "PerturbedStart"),
    "flows/time/methods.py": ("Adaptive", "Layers", "Noisy"),
    "graphs/couplings.py": ("Coupling",),
    "graphs/energy.py": ("OnSite", "System"),
    "graphs/experiment.py": ("EquilibriumSearch", "GradientFlow", "Continuation", "StabilityAnalysis"),
    "meanfield/experiment.py": ("DensityExperiment",),
    "meanfield/modes.py": ("CircleModes", "ZonalModes", "SphereModes"),
    "meanfield/starts.py": ("WhiteNoise",),
    "mixers/channel/partition_network.py": ("PartitionForm",),
    "mixers/graph/form.py": ("Descent", "FlowForm"),
    "models/configuration.py": ("SpinodalConfig",),
    "training/constraints.py": ("Constraint",),
    "training/experiment.py": ("Experiment",),
    "training/schedule.py": ("Schedule",),
    "training/tasks.py": ("DataConfig",),
    "watch/iteration.py": ("Iteration",),
    "watch/training_series.py": ("TrainingSeries",),
    "watch/experiment.py": ("Texts", "Sound", "TrainedModel", "Arrays", "Question", "Observation"),
}


@pytest.mark.parametrize("path", CONFIGURATIONS)
def test_every_field_of_a_configuration_has_its_comment(path: str):
    """Beside it or above it, or its class's docstring names it."""
    text = (ROOT / "spinodal" / path).read_text()
    lines = ["", *text.splitlines()]
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    for name in CONFIGURATIONS[path]:
        docstring = ast.get_docstring(classes[name]) or ""
        for field in (node for node in classes[name].body if isinstance(node, ast.AnnAssign)):
            said = "".join(lines[field.lineno : (field.end_lineno or field.lineno) + 1])
            named = re.search(rf"\b{ast.unparse(field.target)}\b", docstring)
            assert "#" in said or named or lines[field.lineno - 1].strip().startswith("#"), (name, said)


@pytest.mark.parametrize("file", cli.FILES.values())
def test_a_command_is_a_short_file(file: str):
    """Options, a call and what is printed: what takes more lines belongs to a room, or to a file that helps it."""
    assert len((ROOT / "spinodal" / "cli" / f"{file}.py").read_text().splitlines()) <= 120


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_its_header_and_trains_or_draws(name: str):
    module = importlib.import_module(f"spinodal.recipes.{name}")
    found = header(name)
    assert found["Paper"] in KEYS
    assert float(found["Minutes"]) > 0
    drawn = hasattr(module, "draw")
    assert drawn != hasattr(module, "RECIPE"), "a recipe trains or draws, and not both"
    verb = "draw" if drawn else "(train|compare)"
    assert re.fullmatch(rf"spinodal {verb} {name.replace('_', '-')}", found["Command"])
    for low, high in recipes.expected_intervals(module).values():
        assert low <= high
    assert recipes.expected_intervals(module)
    if drawn:
        assert str(inspect.signature(module.draw)).partition(" -> ")[0] == ARGUMENTS
    else:
        assert isinstance(module.RECIPE, Recipe)


TOY = '''"""A toy that measures a half.

Claim: a half is between a third and one
Paper: glpr2023
Command: spinodal draw toy-recipe
Minutes: 0.1
Expected: a number from 1/3 to 1, to be seen beside a second that is outside
"""

from pathlib import Path

EXPECTED = {"half": (1 / 3, 1), "nest: one": (2, 3)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    return {"half": 0.5, "nest": {"one": 1.0}, "words": "no number"}
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A recipe by one file in a folder of its own."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy_recipe.py").write_text(TOY)
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path / "more")])
    monkeypatch.chdir(tmp_path)
    yield "toy-recipe"
    sys.modules.pop("spinodal.recipes.toy_recipe", None)


def test_a_recipe_is_one_file(toy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """It is listed, drawn, judged, and held to the rules of its header."""

    def printed(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["spinodal", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return " ".join(capsys.readouterr().out.split())

    test_every_recipe_has_its_header_and_trains_or_draws("toy_recipe")
    assert toy in recipes.names()
    assert "between a third" in printed("list")
    said = printed("draw", toy, "--out", "drawn")
    assert "0.333333333 to 1" in said
    assert "warning: nest: one is 1, outside what is expected, 2 to 3" in said
    assert json.loads(Path("drawn/run.json").read_text())["outside"] == ["nest: one"]
