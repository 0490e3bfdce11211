"""The code blocks of the README and of docs/: where they are, what is in them, and what is said of them.

The blocks of a page share one namespace, from top to bottom, as they do in a reader's mind. What a reader need not see stands
in a comment, `<!-- invisible-code: python ... -->`, and runs like the rest. A comment right before a block says if it is special:

    <!-- not run: REASON -->      its types are checked, but it is not run
    <!-- not checked: REASON -->  neither
    <!-- file: NAME -->           of the tutorial: what a reader puts into a file of that name
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sybil import Document
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
MISTAKES = ROOT / "docs" / "mistakes.md"
"""Whose programs are wrong, and have been run by what wrote the page."""
PAGES = tuple(page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page != MISTAKES)

_MARK = re.compile(r"<!-- (not run|not checked|file): (.+?) -->\n\s*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block.

    Attributes:
        page: where it is.
        line: of its first line of code, counted from one.
        language: what is written behind the fence.
        source: the code, without the indentation of the block.
        mark: what the comment before it says it is: "not run", "not checked" or "file".
        words: the rest of that comment.
    """

    page: Path
    line: int
    language: str
    source: str
    mark: str | None = None
    words: str = ""


def blocks(page: Path) -> list[Block]:
    """All blocks of a page that name a language, in order."""
    return sorted(_blocks(page), key=lambda block: block.line)


def _blocks(page: Path) -> Iterator[Block]:
    document = Document(page.read_text(), str(page))
    for region in FencedCodeBlockLexer(r"\w+")(document):
        mark = _MARK.search(document.text, max(0, region.start - 300), region.start)
        yield Block(
            page=page,
            line=_line_after(document.text, region.start),
            language=region.lexemes["language"],
            source=str(region.lexemes["source"]),
            mark=mark[1] if mark else None,
            words=mark[2] if mark else "",
        )
    for region in DirectiveInHTMLCommentLexer("invisible-code", r"\w+")(document):
        yield Block(
            page=page,
            line=_line_after(document.text, region.start),
            language=region.lexemes["arguments"],
            source=str(region.lexemes["source"]),
        )


def _line_after(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 2
