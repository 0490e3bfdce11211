"""docs/ as a site: every page is in its navigation, it builds without a warning, and no link of it is dead."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from tests.docs.blocks import ROOT

CONFIG = ROOT / "mkdocs.yml"
BUILDERS = {
    "zensical": ["zensical", "build", "--strict", "--clean"],
    "mkdocs": [
        "mkdocs",
        "build",
        "--strict",
        "--clean",
        "--theme",
        "mkdocs",
    ],  # the theme material is of zensical's makers
}


class Page(HTMLParser):
    """What a page of the site links to, and what in it can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name == "id" and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """The links of a site to files or headings of it that are not there, each with its page."""
    pages = {
        file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"
    }  # that one's are of any folder
    dead = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            there = target.exists() and target.is_relative_to(site)
            if not there or (parts.fragment and target in pages and parts.fragment not in pages[target].anchors):
                dead.append(f"{file.relative_to(site)}: {link}")
    return sorted(dead)


def pages(navigation: object) -> Iterator[str]:
    match navigation:
        case list():
            for entry in navigation:
                yield from pages(entry)
        case dict():
            for entry in navigation.values():
                yield from pages(entry)
        case _:
            yield str(navigation)


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = sorted(pages(yaml.safe_load(CONFIG.read_text())["nav"]))
    assert navigation == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("builder", BUILDERS)
def test_the_site_builds_without_a_warning_and_no_link_of_it_is_dead(builder: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(CONFIG, tmp_path)
    program, *arguments = BUILDERS[builder]
    built = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    site = (tmp_path / ".site").resolve()
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).exists()
    assert dead_links(site) == []
