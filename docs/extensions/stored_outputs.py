"""Notebooks whose outputs are kept in files, because they train or hear for minutes: NAME.stored.md and NAME.json.

`make notebooks` runs them and writes the outputs; the site shows these. Outputs are those of the cells as they stand:
where a cell has changed since, the site is not built.
"""

import hashlib
import json
import sys
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient
from nbformat import NotebookNode

SUFFIX = ".stored.md"
FOLDER = Path(__file__).parent.parent / "tutorials"


def read(text: str) -> NotebookNode:
    """The notebook with its outputs; for nb_custom_formats of MyST-NB, which gives the text alone."""
    notebook = read_myst_markdown_notebook(text, add_source_map=True)
    outputs = stored(code_hash(notebook))
    for cell, found in zip(code_cells(notebook), outputs, strict=True):
        cell.outputs, cell.execution_count = [nbformat.from_dict(output) for output in found], 1
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = 1
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_hash(notebook: NotebookNode) -> str:
    """Of all cells: an output depends on those before it."""
    return hashlib.sha256("\n\n".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()


def stored(wanted: str) -> list[list[dict]]:
    for path in sorted(FOLDER.glob("*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["cells"] == wanted:
            return held["outputs"]
    raise ValueError("a notebook has no outputs of its cells as they stand: `make notebooks` writes them")


def remake(names: list[str]) -> None:
    """Runs the notebooks, all if none is named, in a folder of their own, and keeps the outputs of their cells."""
    for path in sorted(FOLDER.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        if names and name not in names:
            continue
        notebook = read_myst_markdown_notebook(path.read_text(encoding="utf-8"))
        with TemporaryDirectory() as place:
            resources = {"metadata": {"path": place}}
            NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
        # what libraries say on stderr is of the machine, not of the notebook
        outputs = [
            [dict(output) for output in cell.outputs if output.get("name") != "stderr"]
            for cell in code_cells(notebook)
        ]
        for output in chain.from_iterable(outputs):
            output.pop("execution_count", None)
        held = {"cells": code_hash(notebook), "outputs": outputs}
        text = json.dumps(held, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        print(f"{name}: {len(outputs)} cells")


if __name__ == "__main__":
    remake(sys.argv[1:])
