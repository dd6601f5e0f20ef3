"""Keys of references.bib in any text, such as [glpr2023, eq. 3], lead to the bibliography, which names them by key."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.database import parse_file
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PAGE = "bibliography"  # that lists them


class KeyLabels(BaseLabelStyle):
    """An entry's label is its key."""

    def format_labels(self, sorted_entries):
        return (entry.key for entry in sorted_entries)


class ByKey(Style):
    default_label_style = KeyLabels


@cache
def any_key(bibliography: Path) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(map(re.escape, parse_file(bibliography).entries))})\b")


class Citations(SphinxTransform):
    """Makes a reference of every key that stands in running text, in an equation of a docstring, or in a cell."""

    default_priority = 400

    def apply(self, **options: Any) -> None:
        if self.env.docname == PAGE:
            return
        key = any_key(self.app.srcdir / self.config.bibtex_bibfiles[0])
        for block in self.document.findall(nodes.literal_block):
            if "equation" in block["classes"]:
                block.rawsource = ""  # or it is highlighted as code, without its links
        for text in list(self.document.findall(nodes.Text)):
            if may_hold_links(text) and key.search(text):
                parts = enumerate(key.split(text))
                linked = [self.reference(part) if k % 2 else nodes.Text(part) for k, part in parts if part]
                text.parent.replace(text, linked)

    def reference(self, key: str) -> addnodes.pending_xref:
        found = addnodes.pending_xref(
            key, refdomain="cite", reftype="label", reftarget=key, refexplicit=False, refwarn=True,
            refdoc=self.env.docname,
        )  # fmt: skip
        found += nodes.inline(key, key)
        return found


def may_hold_links(text: nodes.Text) -> bool:
    """Not what is a link already, a heading, or text that is shown letter by letter, but for equations."""
    above: Any = text.parent
    while above is not None:
        if isinstance(
            above, nodes.reference | addnodes.pending_xref | nodes.title | nodes.literal | nodes.raw
        ):
            return False
        if isinstance(above, nodes.literal_block | nodes.doctest_block):
            return "equation" in above["classes"]
        above = above.parent
    return True


def setup(app: Sphinx) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "keys", ByKey)
    app.add_transform(Citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
