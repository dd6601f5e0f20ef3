"""Whether the built site is whole: `python tools/check_site.py build/site`, the last step of `make docs`.

Every link within the site leads to a file and a place in it, every picture and frame says what it shows, and no page
loads anything from elsewhere. Prints what is wrong, page by page, and ends with status 1.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "iframe": "src", "video": "src", "source": "src"}
PICTURES = (".png", ".gif", ".svg", ".jpg", ".webp")


class Page(HTMLParser):
    """The links of a page, its places, and what is wrong with its elements."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        loaded = given.get(LOADS.get(tag, ""), "")
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "prefetch"):
            loaded = given.get("href", "")
        if tag in ("a", "link") and "href" in given:
            self.links.append(given["href"])
        if loaded:
            self.links.append(loaded)
            if urlsplit(loaded).netloc:
                self.faults.append(f"loads {loaded}")
        if tag == "img" and (not given.get("alt", "").strip() or given["alt"].endswith(PICTURES)):
            self.faults.append(f"the picture {given.get('src')} has no words in its place")
        if tag == "iframe" and not given.get("title"):
            self.faults.append(f"the frame {given.get('src')} has no title")


def faults(site: Path) -> Iterator[str]:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f"{name}: {fault}" for fault in page.faults)
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            place = unquote(parts.fragment)
            if not target.exists():
                yield f"{name}: there is no {link}"
            elif (
                place and target in pages and path.parent.name != "live" and place not in pages[target].places
            ):
                yield f"{name}: there is no place {link}"


def main() -> int:
    found = list(faults(Path(sys.argv[1]).resolve()))
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
