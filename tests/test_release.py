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
