"""Whether every compiled package of the lock has a wheel for the systems and Pythons that docs/demo.md names.

    python tools/wheels.py

Asks the package index for names alone and downloads nothing. Prints a table; exit status 1 if a wheel is missing.
torch is compiled too, and is asked for without the suffix of a build.
"""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
PYTHONS = ("3.11", "3.13", "3.14")
SYSTEMS = {
    "Linux x86-64": (
        "manylinux_2_28_x86_64",
        "manylinux_2_27_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ),
    "macOS arm64": ("macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"),
    "Windows x86-64": ("win_amd64",),
}


def compiled(name: str) -> bool:
    """Whether the installed package is made for one system."""
    return "Root-Is-Purelib: false" in (distribution(name).read_text("WHEEL") or "")


def has_wheel(name: str, version: str, python: str, tags: tuple[str, ...]) -> bool:
    """Whether the index has a wheel of this very version."""
    platforms = [word for tag in tags for word in ("--platform", tag)]
    found = subprocess.run(
        [
            sys.executable, "-m", "pip", "index", "versions", name, "--pre", "--only-binary=:all:",
            "--python-version", python, *platforms,
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    listed = found.stdout.partition("Available versions:")[2].splitlines()
    return bool(listed) and version in {there.strip().partition("+")[0] for there in listed[0].split(",")}


def main() -> int:
    pinned = dict(line.split("==") for line in LOCK.read_text().splitlines())
    packages = {name: version for name, version in pinned.items() if compiled(name)}
    missing = 0
    print("| package |", " | ".join(f"{system}, {python}" for system in SYSTEMS for python in PYTHONS), "|")
    print("|---|" + "---|" * (len(SYSTEMS) * len(PYTHONS)))
    for name, version in packages.items():
        row = [has_wheel(name, version, python, tags) for tags in SYSTEMS.values() for python in PYTHONS]
        missing += row.count(False)
        print(f"| {name} {version} |", " | ".join("yes" if there else "NO" for there in row), "|", flush=True)
    print(f"{len(packages)} compiled packages, {missing} wheels missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
