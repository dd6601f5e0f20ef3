"""The site: every page has its place, docstrings keep their characters as markup, and what is broken is found."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def loaded(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_has_its_place_in_the_site():
    """A page that stands in no list of index.md is a warning of Sphinx, and so an error of `make docs`."""
    lists = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    named = {line for block in lists for line in block.splitlines() if line and not line.startswith(":")}
    pages = [*DOCS.glob("*.md"), *(DOCS / "tutorials").glob("*.md")]
    names = {str(page.relative_to(DOCS)).removesuffix(".md").removesuffix(".stored") for page in pages}
    assert named - {"reference/index"} == names - {"index"}


def test_the_versions_of_the_site_lie_in_their_ranges_and_beside_the_lock():
    pins = {
        file: {
            canonicalize_name(name): version
            for name, version in (line.split("==") for line in (ROOT / file).read_text().splitlines())
        }
        for file in ("requirements-docs.txt", "requirements.lock")
    }
    assert not pins["requirements-docs.txt"].keys() & pins["requirements.lock"].keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in map(Requirement, project["optional-dependencies"]["docs"]):
        assert pins["requirements-docs.txt"][canonicalize_name(wanted.name)] in wanted.specifier, wanted


def test_a_source_has_one_key_and_a_key_one_source():
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "references.bib").read_text(), re.MULTILINE)
    assert len(keys) == len(set(keys))


DOCSTRING = """u_i = 1 + sum_j L_j (K_ij - 1)  [qajar2024, eq. 8b].

How thin a `component` is; |x| and x_j are kept.

    z   overall *composition*
    K   factors

- an item
  of two lines

>>> 1 + 1
2
"""


def test_a_docstring_keeps_its_columns_and_its_characters():
    lines = "\n".join(loaded("docs/extensions/rst.py").restructured(DOCSTRING.splitlines()))
    assert r"   u\_i = 1 + sum\_j L\_j (K\_ij - 1)  [qajar2024, eq. 8b]." in lines
    assert r"How thin a \ ``component``\  is; \|x\| and x\_j are kept." in lines
    assert "::\n\n   z   overall *composition*\n   K   factors\n" in lines
    assert "- an item\n  of two lines\n" in lines
    assert "\n>>> 1 + 1\n2\n" in lines
    assert ".. parsed-literal::" in lines


FAULTS = {
    '<a href="gone.html">x</a>': "there is no gone.html",
    '<a href="other.html#gone">x</a>': "there is no place other.html#gone",
    '<img src="dot.png" alt="dot.png">': "no words in its place",
    '<img src="dot.png">': "no words in its place",
    '<iframe src="other.html"></iframe>': "no title",
    '<script src="https://elsewhere.org/x.js"></script>': "loads https://elsewhere.org/x.js",
    '<a href="other.html#here">x</a><img src="dot.png" alt="a dot"><a href="https://elsewhere.org">x</a>': "",
}


@pytest.mark.parametrize("body", FAULTS)
def test_what_is_broken_in_a_site_is_found(body: str, tmp_path: Path):
    (tmp_path / "index.html").write_text(body)
    (tmp_path / "other.html").write_text('<p id="here">')
    (tmp_path / "dot.png").touch()
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_site.py", tmp_path], capture_output=True, text=True
    )
    assert checked.returncode == bool(FAULTS[body])
    assert FAULTS[body] in checked.stdout
