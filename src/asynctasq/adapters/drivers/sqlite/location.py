"""Where the queue file lives when nobody says so."""

from __future__ import annotations

from pathlib import Path

_ROOTS = ("pyproject.toml", ".git")


def default_path() -> Path:
    """`.asynctasq/queue.db` beside the nearest pyproject.toml or .git above the working directory, else in it.

    Every script of a project thus finds the same queue, from whatever folder of it they are started.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / root).exists() for root in _ROOTS):
            return folder / ".asynctasq" / "queue.db"
    return here / ".asynctasq" / "queue.db"
