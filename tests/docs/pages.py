"""README and docs as tests see them: fenced blocks, tables, headings, links."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
BENCHMARKS = "docs/benchmarks.md"
"""Its commands take minutes; the bench has tests of its own."""

_FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_ROW = re.compile(r"^\|(.*)\|$")


class Block(msgspec.Struct, frozen=True):
    """A fenced block."""

    page: str
    line: int
    heading: str
    """The one it stands under, of any level."""
    language: str
    content: str
    shown: str | None
    """The output that the page shows: a `text` or `json` block with nothing but blank lines before it."""

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(*languages: str, page: str | None = None) -> list[Block]:
    """Return the fenced blocks in these languages, of all pages with examples or of one; all blocks for no language."""
    pages = [page] if page is not None else [each for each in PAGES if each != BENCHMARKS]
    return [block for each in pages for block in _blocks(each) if not languages or block.language in languages]


def _blocks(page: str) -> list[Block]:
    text = read(page)
    found = list(_FENCE.finditer(text))
    return [
        Block(
            page,
            text.count("\n", 0, fence.start()) + 1,
            _HEADING.findall(_FENCE.sub("", text[: fence.start()]))[-1],
            fence["language"],
            fence["content"],
            following["content"] if following is not None and _is_output(text, fence, following) else None,
        )
        for fence, following in zip(found, [*found[1:], None], strict=True)
    ]


def _is_output(text: str, fence: re.Match[str], following: re.Match[str]) -> bool:
    return following["language"] in {"text", "json"} and not text[fence.end() : following.start()].strip()


def without_blocks(page: str) -> str:
    """Return a page's text with its fenced blocks left out."""
    return _FENCE.sub("", read(page))


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of any level."""
    parts = _HEADING.split(read(page))
    return parts[parts.index(heading) + 1]


def table(page: str, heading: str, column: str | None = None) -> list[list[str]]:
    """Return the rows, as cells, of a section's table: the one whose first column is called so, or the first one."""
    for rows in _tables(section(page, heading)):
        if column is None or rows[0][0] == column:
            return rows[2:]
    raise AssertionError(f"{page} has no table of {column or 'anything'} under {heading!r}")


def _tables(text: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        row = _ROW.match(line)
        if row is not None:
            tables[-1].append([cell.strip() for cell in row[1].split("|")])
        elif tables[-1]:
            tables.append([])
    return [rows for rows in tables if rows]


def names(rows: list[list[str]]) -> list[str]:
    """Return what stands in backticks in the first cells."""
    return [name for row in rows for name in re.findall(r"`([^`]*)`", row[0])]


def links(page: str) -> list[str]:
    """Return the targets of a page's links."""
    return [link["target"] for link in _LINK.finditer(without_blocks(page))]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    return {_anchor(heading) for heading in _HEADING.findall(without_blocks(page))}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
