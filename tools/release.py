"""A release: one version everywhere; wheel and source archive, built, installed and used outside the repository.

    python tools/release.py [--quick]

Builds dist/ from what git tracks. For every Python of PYTHONS that is at hand a clean environment takes torch of the
lock first, then the wheel and the rest of the lock, and runs COMMANDS in an empty folder; the first one does so with
the source archive too. --quick does no more than build and look into the archives. Prints a row a Python; exit status 1
where anything failed. Nothing is uploaded.
"""

import re
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
    "spinodal theory gamma_time_sa gamma=0.999 n=32 beta=1,5,9",
    "spinodal spectrum --d 3 --thresholds 8",
    "spinodal simulate --field sa --n 64 --d 3 --beta 1 --until 15 --out runs/sphere",
    "spinodal draw runs/sphere --format pdf --style paper --columns 1",
    "spinodal graph equilibria --graph cycle:8 --coupling sin",
    "spinodal draw f5-staircase --quick",
    "spinodal explore --out explorer.html",
)


def run(*command: str | Path, at: Path = ROOT) -> None:
    """Runs a command; SystemExit with the end of what it said where it fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}")


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


def tracked_copy(folder: Path) -> None:
    """Copies what git tracks, as it stands, so that nothing else comes into the archives."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (source := ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


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
    """SystemExit where a file of the package, but for bytecode, is missing in either archive."""
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spinodal").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as file:
        in_wheel = set(file.namelist())
    with tarfile.open(archive) as file:
        in_archive = {name.partition("/")[2] for name in file.getnames()}
    for where, names in ((wheel, in_wheel), (archive, in_archive)):
        if missing := sorted(package - names):
            raise SystemExit(f"{where.name} lacks {', '.join(missing[:5])}")


def interpreters() -> Iterator[tuple[str, str | None]]:
    """(version, interpreter) of PYTHONS: on the path or of pyenv; None where there is none."""
    for version in PYTHONS:
        of_pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        yield version, shutil.which(f"python{version}") or (str(of_pyenv[-1]) if of_pyenv else None)


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
            for command in COMMANDS:
                program, *words = command.split()
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
