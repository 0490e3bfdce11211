"""A project on disk whose modules this process may import and forget again."""

import sys
from pathlib import Path

import pytest

from asynctasq.app.registry import REGISTRY


class Project:
    """Files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str = "") -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in the working directory; what a test imports from it, its tasks too, is forgotten at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(REGISTRY, "_by_name", {})
    before = set(sys.modules)
    path = sys.path[:]
    yield Project(tmp_path.resolve())
    sys.path[:] = path
    sys.path_importer_cache.clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]
