"""docs/ as a site: every page is in its navigation, and it builds without a warning."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.docs.blocks import ROOT

CONFIG = ROOT / "mkdocs.yml"


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
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(CONFIG, tmp_path)
    program = Path(sys.executable).with_name("zensical")
    built = subprocess.run(
        [program, "build", "--strict", "--clean"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    for page in (ROOT / "docs").glob("*.md"):
        assert (tmp_path / ".site" / page.with_suffix(".html").name).exists()
