"""The explorer, written beside the pages as live/explorer.html, which docs/explorer.md shows in a frame."""

from pathlib import Path

from sphinx.application import Sphinx

from spinodal.explorer import explorer_page


def write_explorer(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        path = Path(app.outdir) / "live" / "explorer.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(explorer_page(None), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write_explorer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
