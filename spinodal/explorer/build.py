"""The explorer's page from its sources: one HTML file that loads nothing.

`python -m spinodal.explorer.build` writes explorer.html from source/, and component.json, the player for reports. ES
modules follow one another, each in a scope of its own, without its imports and exports; comments and indentation go.
The policy in the page names the scripts and the style by their hashes, so that nothing else runs. The same sources give
the same bytes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from spinodal.errors import InputError
from spinodal.explorer.component import COMPONENT
from spinodal.explorer.page import PAGE

SOURCE = Path(__file__).parent / "source"
CORE = (  # what a worker runs, in the order of what needs what
    "ziggurat", "random", "sphere", "field", "merging", "flow", "starts", "measures", "noise", "work",
)  # fmt: skip
VIEW = ("theory", "format", "canvas", "stage", "plot", "charts", "hands", "player")
APP = (*VIEW, "archive", "recorded", "albert", "state", "front", "table", "app")
REPORT = ("sphere", "measures", *VIEW, "archive", "recorded", "report")

IMPORT = re.compile(r"^import\s[^;]*?from \"\./(\w+)\.js\";\n", re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|let|class|function\*?) (\w+))", re.MULTILINE)
TEXT = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)""")
ENDS = (";", "{", ",", "(", "[")
COMMENT = re.compile(r"^\s*(?://.*|/\*\*?(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)


def built_page() -> str:
    """The page, from the sources as they are."""
    core, app, style = bundle(CORE), bundle(APP, after=CORE), stylesheet("style.css", "player.css")
    policy = content_policy([core, app], [style])
    player = filled(unindented(text_of("player.html")), {"of": ""})
    parts = {"policy": policy, "style": style, "player": player, "core": core, "app": app}
    return filled(unindented(text_of("page.html")), parts)


def built_component() -> dict[str, str]:
    """The player for other pages: its element, with {{of}} in the place of a title, its style and its script."""
    element = unindented(text_of("player.html"))
    return {"element": element, "style": stylesheet("player.css"), "script": bundle(REPORT)}


def bundle(names: Sequence[str], after: Sequence[str] = ()) -> str:
    """The modules as one classic script, after those of `after`; InputError where one imports what comes later."""
    known, taken, scopes = set(after), dict[str, str](), ['"use strict";']
    for name in names:
        text = (SOURCE / f"{name}.js").read_text(encoding="utf-8")
        if late := set(IMPORT.findall(text)) - known:
            raise InputError(f"{name}.js imports {', '.join(sorted(late))}, which does not come before it")
        exported = EXPORT.findall(text)
        if twice := taken.keys() & set(exported):
            raise InputError(f"{name}.js exports {', '.join(sorted(twice))}, as {taken[twice.pop()]}.js does")
        known.add(name)
        taken |= dict.fromkeys(exported, name)
        body = COMMENT.sub("", EXPORT.sub("", IMPORT.sub("", text)))
        names_out = ",".join(exported)
        head, back = (f"const {{{names_out}}} = ", f"return {{{names_out}}};") if exported else ("", "")
        scopes.append(f"{head}(() => {{{dedented(body)}{back}}})();")
    script = "\n".join(scopes)
    if "</script" in script or re.search(r"^(import|export)\b", script, re.MULTILINE):
        raise InputError("a module closes its script, or has an import or export of a form that is not known")
    return script


def dedented(code: str) -> str:
    """The code without indentation, and without line ends where a statement plainly goes on or has ended.

    Sources have no text that runs over lines.
    """
    lines = (tightened(uncommented(line.strip())) for line in code.splitlines())
    joined = (line if line == "}" or line.endswith(ENDS) else f"{line}\n" for line in lines if line)
    return "".join(joined)


def uncommented(line: str) -> str:
    """The line without the comment at its end; sources have no " // " in a text."""
    return line.partition(" // ")[0]


def tightened(line: str) -> str:
    """The line without blanks around operators and brackets, its texts as they are.

    Sources have no regular expression with a blank beside an operator, and none that holds a single quote.
    """
    parts = TEXT.split(line)
    for k in range(0, len(parts), 2):  # between texts
        part = re.sub(r" ?([=<>?:,{}()\[\]&|*/!;%]+) ?", r"\1", parts[k])
        parts[k] = re.sub(r"(?<![+-]) ?([+-]=?) ?(?![+-])", r"\1", part)
    return "".join(parts)


def unindented(text: str) -> str:
    return "".join(f"{line.strip()}\n" for line in text.splitlines())


def stylesheet(*names: str) -> str:
    """The style sheets, joined, without comments and without the blanks after punctuation."""
    text = re.sub(r"/\*.*?\*/", "", "".join(map(text_of, names)), flags=re.DOTALL)
    return re.sub(r"\s*([{}:;,])\s+", r"\1", text).strip()


def text_of(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The sha256 of an element's text, in the form of a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def content_policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A Content-Security-Policy under which these scripts and styles run and nothing is loaded."""
    return (
        f"default-src 'none'; script-src {' '.join(map(digest, scripts))}; "
        f"style-src {' '.join(map(digest, styles))}; worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def filled(template: str, parts: dict[str, str]) -> str:
    """The template with each {{name}} replaced by its part, once."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


if __name__ == "__main__":
    PAGE.write_text(built_page(), encoding="utf-8", newline="\n")
    COMPONENT.write_text(json.dumps(built_component(), indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"{PAGE.name}: {PAGE.stat().st_size / 1000:.1f} kB")
