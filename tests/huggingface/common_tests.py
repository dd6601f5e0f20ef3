"""transformers' own common tests of the installed release: fetched from its source archive, unpacked, importable.

None of their code is kept here. The archive carries the test modules without three files that they import;
empty stand-ins take their place. `python tests/huggingface/common_tests.py` fetches ahead of the tests.
"""

import importlib
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import transformers

from spinodal.data.archives import Archive

SHA256 = {
    "5.23.0": "19d647a4d5d903a7c644ca5cde2d86efc3dde7d8c687ae7988806ff2205efa71",
    "5.24.0": "906cb8c3cb2123575e263962586a4d21a979ce97feeb95fe6aaf66fe6ae88bf3",
}
STAND_INS = {
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "distributed_testing_utils.py": "def run_distributed(*args, **kwargs):\n    raise NotImplementedError\n",
}
BUILD = Path(__file__).parents[2] / "build" / "huggingface"
PACKAGE = "transformers_tests"


def unpacked() -> Path:
    """The folder with the package of common tests of the installed release, unpacked if it is not there."""
    version = transformers.__version__
    if version not in SHA256:
        raise LookupError(f"transformers {version}: add the sha256 of its source archive to {__file__}")
    folder = BUILD / version
    package = folder / PACKAGE
    if (package / "complete").exists():
        return folder
    archive, inside = (
        Archive("transformers", version, SHA256[version]).fetch(),
        f"transformers-{version}/tests/",
    )
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            if member.isfile() and member.name.startswith(inside) and member.name.endswith(".py"):
                path = package / member.name.removeprefix(inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = file.extractfile(member)
                assert content is not None
                path.write_bytes(content.read())
    for name, text in STAND_INS.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text)
    for part in {package, *(path.parent for path in package.rglob("*.py"))}:
        (part / "__init__.py").touch()
    (package / "complete").touch()
    return folder


def common(name: str) -> ModuleType:
    """A module of the common tests, `test_modeling_common` for one."""
    folder = str(unpacked())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(f"{PACKAGE}.{name}")


if __name__ == "__main__":
    print(unpacked())
