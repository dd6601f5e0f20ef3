"""What installs is written down: the lock is plain and whole, and the ranges are what the two ends are tested at."""

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RANGES = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]


def pins(lines: list[str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def test_the_lock_holds_names_and_versions_alone():
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9a-z.]+", line) for line in LOCK)
    assert sorted(LOCK, key=str.lower) == LOCK
    assert "spinodal" not in pins(LOCK)
    assert pins(LOCK)["torch"] == "2.13.0"


def test_the_lock_lies_in_the_ranges():
    for wanted in RANGES:
        assert pins(LOCK)[canonicalize_name(wanted.name)] in wanted.specifier, wanted


def test_the_lock_holds_what_its_packages_need():
    """Transitive packages too, as this machine's environment markers choose them."""
    locked = pins(LOCK)
    for name, version in locked.items():
        found = installed(name)
        if found is None or found.version.partition("+")[0] != version:
            continue  # another version than the lock's, with needs of its own
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in locked, f"{name} needs {needed}"


def test_the_oldest_versions_are_the_lower_bounds():
    lines = (ROOT / "requirements-oldest.txt").read_text().splitlines()
    oldest = pins([line for line in lines if not line.startswith("#")])
    bounds = {
        canonicalize_name(wanted.name): next(s.version for s in wanted.specifier if s.operator == ">=")
        for wanted in RANGES
    }
    assert oldest.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert Version(oldest[name]) == Version(bound), name
