"""What a release says of itself, and what its archives must hold."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def release() -> Any:
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_one_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = release()
    version = tool.require_one_version()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == version == PROJECT["project"]["version"]
    assert str(cited["date-released"]) in (ROOT / "CHANGELOG.md").read_text().splitlines()[2]
    assert {"cff-version", "message", "title", "authors", "license"} <= cited.keys()
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "CITATION.cff").write_text("version: 9.9.9\n")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=rf"CITATION.cff does not name {version}"):
        tool.require_one_version()


def test_every_file_of_the_package_comes_with_it():
    """What is no Python is named in pyproject.toml as package data."""
    package, data = ROOT / "spinodal", PROJECT["tool"]["setuptools"]["package-data"]["spinodal"]
    named = {file for pattern in data for file in package.glob(pattern)}
    files = {file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    other = {file for file in files if file.suffix != ".py"}
    assert other <= named, other - named


def test_the_pythons_that_are_tried_are_those_that_are_named():
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert tuple(classified) == release().PYTHONS
    assert PROJECT["project"]["requires-python"] == f">={classified[0]}"
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def test_a_name_on_the_path_that_starts_nothing_is_no_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As pyenv's are of versions that are not chosen: the interpreter itself lies further on."""
    tool = release()
    shim = tmp_path / "python3.12"
    real = tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin" / "python"
    real.parent.mkdir(parents=True)
    for file, text in ((shim, "exit 127"), (real, "echo Python 3.12.1")):
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    monkeypatch.setattr(tool.Path, "home", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = dict(tool.interpreters())
    assert found["3.12"] == str(real)
    assert found["3.14"] is None


def test_the_wheel_runs_the_commands_of_readme(monkeypatch: pytest.MonkeyPatch):
    """Those that neither train nor read what another trained; and it is not the repository's package that runs."""
    tool = release()
    text = (ROOT / "README.md").read_text()
    parts = text[text.index("## Simulate") : text.index("## Build")]
    written = [
        line.partition(" #")[0].rstrip() for line in parts.splitlines() if line.startswith("spinodal ")
    ]
    assert len(written) == 5
    assert set(written) <= set(tool.COMMANDS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "PYTHONPATH" not in tool.run("env")
