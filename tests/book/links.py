"""Follows every link and picture of a folder of HTML that stays within it, and tells which lead nowhere."""

import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """What a page points at, and the places in it that can be pointed at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name in ("href", "src") and value and tag != "link":
                self.links.append(value)


def main(root: Path) -> int:
    # The page of all pages, for printing, repeats them from another place.
    pages = {path.resolve(): Page(path) for path in root.rglob("*.html") if path.name not in ("print.html", "404.html")}
    sound, broken = 0, []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            there = target.exists() and (not parts.fragment or not anchors or parts.fragment in anchors)
            if there:
                sound += 1
            else:
                broken.append(f"{path.relative_to(root.resolve())}: {link}")
    print("\n".join(broken))
    print(f"{sound} passed, {len(broken)} failed")
    # A book of nothing has no broken links.
    return 1 if broken or sound < 100 else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
