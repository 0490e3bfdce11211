"""What the pages link to is there: files, headings, and the tests that are called proof of something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.blocks import MISTAKES, PAGES, ROOT

FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?(?: \"(?P<test>\w+)\")?\)")
NAMED = re.compile(r"`((?:src|examples|tests|scripts|benchmarks|docs)/[\w./-]+)`")
ALL = [
    MISTAKES,
    *PAGES,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs/adr").glob("*.md")),
]


def links(page: Path) -> list[re.Match[str]]:
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text()))
    return [link for link in LINK.finditer(text) if "://" not in link["path"]]


def anchors(page: Path) -> set[str]:
    """The headings of a page as they appear in an address."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), f"{page.name}: there is no {link['path']}"
        if link["heading"]:
            assert link["heading"] in anchors(target), f"{page.name}: {target.name} has no heading {link['heading']}"


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    missing = [path for path in NAMED.findall(FENCED.sub("", page.read_text())) if not (ROOT / path).exists()]
    assert not missing


def test_each_claim_of_the_readme_has_a_proof_that_exists() -> None:
    text = (ROOT / "README.md").read_text()
    table = text[text.index("| | proof |") : text.index("## What it promises")]
    promises = text[text.index("## What it promises") : text.index("## Brokers")]
    lines = [line for line in table.splitlines()[2:] if line]
    assert len(lines) >= 10
    for line in (*lines, *(line for line in promises.splitlines() if line.startswith("* "))):
        assert LINK.search(line), line
    proofs = [link for link in LINK.finditer(text) if link["test"]]
    assert len(proofs) > len(lines)
    for proof in proofs:
        assert f"def {proof['test']}(" in (ROOT / proof["path"]).read_text(), proof[0]
