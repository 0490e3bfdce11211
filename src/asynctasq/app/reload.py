"""Watching the code, so that workers are started again when it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from asynctasq.domain.errors import MissingDependency

_NOT_OURS = frozenset({"__pycache__", "site-packages", "node_modules"})


def changes(folder: Path) -> AsyncIterator[list[str]]:
    """The .py files below `folder` that change, as often as some do; what changes together comes together.

    Hidden folders, and those of installed packages, are passed over.

    Raises:
        MissingDependency: watchfiles is not installed.
    """
    try:
        from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] -- it speaks of trio, which is not installed
    except ImportError as error:
        raise MissingDependency("--reload needs watchfiles: install asynctasq with its extra 'reload'") from error
    folder = folder.resolve()

    async def watch() -> AsyncIterator[list[str]]:
        async for changed in awatch(folder, watch_filter=lambda _, path: _is_code(Path(path), folder)):
            yield sorted({str(Path(path).relative_to(folder)) for _, path in changed})

    return watch()


def _is_code(file: Path, folder: Path) -> bool:
    above = file.relative_to(folder).parts[:-1]
    return file.suffix == ".py" and not any(part.startswith(".") or part in _NOT_OURS for part in above)
