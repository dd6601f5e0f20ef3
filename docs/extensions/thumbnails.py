"""The recipes that draw as cards, where gallery.md has the comment <!-- thumbnails -->."""

import re
from pathlib import Path

from generated import picture_of, title_of
from sphinx.application import Sphinx

from spinodal import recipes

MARK = "<!-- thumbnails -->"


def put_thumbnails(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, thumbnails(Path(app.srcdir)))


def thumbnails(docs: Path) -> str:
    """Every recipe that draws: its picture, its command and its minutes."""
    drawn = [name for name in recipes.names() if recipes.header(name)["Command"].startswith("spinodal draw")]
    drawn.sort(
        key=lambda name: (name[0], int(re.sub(r"\D", "", name.partition("-")[0]) or 0), name)
    )  # f2 before f10
    return "\n".join(["`````{grid} 2 3 3 4", ":gutter: 2", *(card(name, docs) for name in drawn), "`````"])


def card(name: str, docs: Path) -> str:
    """A card that leads to the recipe in the reference."""
    header, title, picture = recipes.header(name), title_of(name), picture_of(name, docs)
    image = [f":img-top: {picture}", f":img-alt: {title}"] if picture else []
    link = [f":link: recipe-{name}", ":link-type: ref", ":class-card: thumbnail"]
    foot = ["```{card-footer}", f"`{header['Command']}` · {header['Minutes']} min", "```"]
    return "\n".join(["````{grid-item-card}", *image, *link, "", title, "", *foot, "````"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", put_thumbnails)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
