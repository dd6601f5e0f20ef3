"""A release: one version everywhere; wheel and source archive, built, installed and used outside the repository.

    python tools/release.py [--quick]

Builds dist/ from what git tracks. For every Python of PYTHONS that is at hand a clean environment takes torch of the
lock first, then the wheel and the rest of the lock, and runs COMMANDS in an empty folder; the first one does so with
the source archive too. --quick does no more than build and look into the archives. Prints a row a Python; exit status 1
where anything failed. Nothing is uploaded.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST, BUILD = ROOT / "dist", ROOT / "build" / "release"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
COMMANDS = (
    "spinodal --version",
    "spinodal list",
    # those of README
    "spinodal simulate --field sa --n 200 --d 2 --beta 25 --until consensus --out runs/last-merge",
    "spinodal list papers",
    "spinodal draw f1-sphere",
    "spinodal explore --out explorer.html",
    'spinodal observe rxnmapper --text "CC(=O)O.OCC>>CC(=O)OCC" --out runs/albert',
    # and of other rooms
    "spinodal theory gamma_time_sa gamma=0.999 n=32 beta=1,5,9",
    "spinodal spectrum --d 3 --thresholds 8",
    "spinodal draw runs/last-merge --format pdf --style paper --columns 1",
    "spinodal graph equilibria --graph cycle:8 --coupling sin",
)


def run(*command: str | Path, at: Path = ROOT) -> str:
    """What a command prints; SystemExit with the end of it where it fails. PYTHONPATH would show it the repository."""
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=at,
        env=outside,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}")
    return done.stdout


def require_one_version() -> str:
    """The version of pyproject.toml; SystemExit where CITATION.cff or the first section of CHANGELOG.md has another."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for file, line in (
        ("CITATION.cff", rf"^version: {version}$"),
        ("CHANGELOG.md", rf"\A# Changelog\n\n## {version} "),
    ):
        if not re.search(line, (ROOT / file).read_text(), re.MULTILINE):
            raise SystemExit(f"{file} does not name {version}, the version of pyproject.toml")
    return version


def tracked_files() -> list[str]:
    """The names of what git tracks and what is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def tracked_copy(folder: Path) -> None:
    """Copies what git tracks, as it stands, so that nothing else comes into the archives."""
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def build_archives() -> tuple[Path, Path]:
    """(wheel, source archive) in dist/."""
    maker = BUILD / "maker"
    venv.create(maker, with_pip=True, clear=True)
    run(maker / "bin" / "pip", "install", "--quiet", "build")
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        tracked_copy(Path(place))
        run(maker / "bin" / "python", "-m", "build", "--outdir", DIST, place)
    (wheel,), (archive,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, archive


def require_contents(wheel: Path, archive: Path) -> None:
    """SystemExit where an archive lacks a file of the package, but for bytecode, or the source archive a tracked one.

    Hidden files, which only the repository reads, may be missing.
    """
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spinodal").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as file:
        in_wheel = set(file.namelist())
    with tarfile.open(archive) as file:
        in_archive = {name.partition("/")[2] for name in file.getnames()}
    tracked = {name for name in tracked_files() if not name.startswith(".")}
    for where, needed in ((wheel, package - in_wheel), (archive, (package | tracked) - in_archive)):
        if missing := sorted(needed):
            raise SystemExit(f"{where.name} lacks {', '.join(missing[:5])}")


def interpreters() -> Iterator[tuple[str, str | None]]:
    """(version, interpreter) of PYTHONS: on the path or of pyenv; None where there is none."""
    for version in PYTHONS:
        of_pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"), reverse=True)
        found = [shutil.which(f"python{version}"), *map(str, of_pyenv)]
        yield version, next((python for python in found if python and is_python(python, version)), None)


def is_python(interpreter: str, version: str) -> bool:
    """Whether it starts and is of this version: pyenv puts names on the path that start nothing."""
    asked = subprocess.run([interpreter, "--version"], capture_output=True, text=True)
    return asked.returncode == 0 and asked.stdout.startswith(f"Python {version}.")


def use(python: str, archives: Sequence[Path]) -> None:
    """Installs each archive in a clean environment of this interpreter and runs COMMANDS in an empty folder."""
    torch = next(
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("torch==")
    )
    for archive in archives:
        with tempfile.TemporaryDirectory() as place:
            home, empty = Path(place) / "env", Path(place) / "empty"
            empty.mkdir()
            run(python, "-m", "venv", home)
            pip = home / "bin" / "pip"
            run(pip, "install", "--quiet", torch)
            run(pip, "install", "--quiet", "--constraint", ROOT / "requirements.lock", archive)
            place_of = "import spinodal; print(spinodal.__file__)"
            if not Path(found := run(home / "bin" / "python", "-c", place_of, at=empty)).is_relative_to(home):
                raise SystemExit(f"{archive.name}: the package that ran is {found.strip()}")
            for command in COMMANDS:
                program, *words = shlex.split(command)
                run(home / "bin" / program, *words, at=empty)


def main() -> int:
    version = require_one_version()
    wheel, archive = build_archives()
    require_contents(wheel, archive)
    print(
        f"spinodal {version}: {wheel.name} {wheel.stat().st_size:,} bytes, {archive.name} {archive.stat().st_size:,}"
    )
    if "--quick" in sys.argv:
        return 0
    failed, first = 0, True
    for python, interpreter in interpreters():
        if interpreter is None:
            print(f"Python {python}: no interpreter at hand, not tested", flush=True)
            continue
        try:
            use(interpreter, (wheel, archive) if first else (wheel,))
            print(f"Python {python}: {len(COMMANDS)} commands ran outside the repository", flush=True)
        except SystemExit as error:
            failed += 1
            print(f"Python {python}: FAILED\n{error}", flush=True)
        first = False
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
