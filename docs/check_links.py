"""Check that every relative link and picture in the Markdown files leads somewhere; no network is used.

python docs/check_links.py [ROOT]
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
ELSEWHERE = ("http://", "https://", "mailto:")


def pages(root: Path) -> list[Path]:
    return sorted(
        [*root.glob("*.md"), *(page for page in root.glob("docs/**/*.md") if "_build" not in page.parts)]
    )


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown renderers make them."""
    headings = HEADING.findall(CODE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken(root: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere."""
    for page in pages(root):
        for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
            if link.startswith(ELSEWHERE):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                yield f"{page.relative_to(root)}: {link} leads nowhere"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    lines = list(broken(root))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
