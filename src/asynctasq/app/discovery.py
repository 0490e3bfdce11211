"""Finding the files that make tasks, for a worker that was not told what to import. Looking parses; it never imports."""

from __future__ import annotations

import ast
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asynctasq.app.container import set_orms_up
from asynctasq.app.imports import import_file, module_name, put_on_path
from asynctasq.domain.errors import ConfigurationError

MOST_FILES = 20_000
"""Python files to look at before giving up: more is not a project but a disk."""

_log = logging.getLogger("asynctasq.discovery")

_OURSELVES = Path(__file__).resolve().parents[1]
_TASK = {"asynctasq.task", "asynctasq.tasks.task"}
_FOLDERS = {
    "tests": "tests",
    "test": "tests",
    "site-packages": "installed packages",
    "dist-packages": "installed packages",
    "node_modules": "installed packages",
    "build": "built files",
    "dist": "built files",
}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that discovery left alone, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Discovered:
    """What lies below a folder.

    Attributes:
        files: those that make tasks, sorted, a folder's own before those of the folders in it.
        skipped: folders that were not looked into, and files that use asynctasq and yet were not taken. Hidden folders and
            files that have nothing to do with asynctasq are not mentioned.
    """

    files: tuple[Path, ...]
    skipped: tuple[Skipped, ...]


def discover(folder: Path) -> Discovered:
    """Import every file below `folder` that makes tasks, and log what was taken and what was skipped.

    Raises:
        ConfigurationError: nothing was found, there is too much to look at, or a file fails on import.
    """
    folder = folder.resolve()
    put_on_path(folder)
    found = look(folder)
    for skipped in found.skipped:
        _log.info("skipped %s: %s", skipped.path.relative_to(folder), skipped.reason)
    if not found.files:
        raise ConfigurationError(
            f"no tasks found below {folder}: name the module that makes them, for example `asynctasq worker shop.tasks`"
        )
    set_orms_up()
    for file in found.files:
        module = import_file(file)
        _log.info("imported %s as %s", file.relative_to(folder), module.__name__)
    return found


def look(folder: Path) -> Discovered:
    """Tell the files that make tasks, without importing any.

    Raises:
        ConfigurationError: there are more than `MOST_FILES` Python files.
    """
    files: list[Path] = []
    skipped: list[Skipped] = []
    for number, file in enumerate(_python_files(folder, skipped)):
        if number == MOST_FILES:
            raise ConfigurationError(
                f"more than {MOST_FILES} Python files below {folder}: name the module, for example `asynctasq worker shop.tasks`"
            )
        verdict = _reason_to_skip(file)
        if verdict is None:
            files.append(file)
        elif verdict:
            skipped.append(Skipped(file, verdict))
    return Discovered(tuple(files), tuple(skipped))


def _python_files(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        here = Path(name)
        kept: list[str] = []
        for inner in sorted(folders):
            reason = _reason_to_stay_out(here / inner)
            if reason is None:
                kept.append(inner)
            elif reason:
                skipped.append(Skipped(here / inner, reason))
        folders[:] = kept  # os.walk goes down only into what is left here
        yield from (here / file for file in sorted(files) if file.endswith(".py"))


def _reason_to_stay_out(folder: Path) -> str | None:
    """None to go in; an empty reason is not worth telling."""
    name = folder.name
    if name.startswith(".") or name == "__pycache__" or folder == _OURSELVES:
        return ""
    if (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists():
        return "a virtual environment"
    return "built files" if name.endswith(".egg-info") else _FOLDERS.get(name)


def _reason_to_skip(file: Path) -> str | None:
    """None to take it; an empty reason is not worth telling."""
    try:
        uses = _Uses.of(file.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"does not parse: {error}"
    name = file.name
    reasons = (
        ("", not uses.asynctasq),
        ("makes no task", not uses.task),
        ("a test", name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"),
        ("runs when it is imported", name == "__main__.py"),
        ("cannot be imported: its path is not made of identifiers", module_name(file) is None),
    )
    return next((reason for reason, applies in reasons if applies), None)


class _Uses(ast.NodeVisitor):
    """Whether a module imports asynctasq, and calls or decorates with its `task` when it is imported."""

    def __init__(self) -> None:
        self.asynctasq = False
        self.task = False
        self._full_names: dict[str, str] = {}

    @classmethod
    def of(cls, source: bytes) -> _Uses:
        """What a module's source says."""
        uses = cls()
        if b"asynctasq" in source:  # parsing costs a thousand times what this does
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a bad escape in a string is told by the import, if there is one
                uses.visit(ast.parse(source))
        return uses

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] == "asynctasq":
                self.asynctasq = True
                self._full_names |= {alias.asname: alias.name} if alias.asname else {"asynctasq": "asynctasq"}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level == 0 and module.partition(".")[0] == "asynctasq":
            self.asynctasq = True
            for alias in node.names:
                name = "task" if alias.name == "*" else alias.name
                self._full_names[alias.asname or name] = f"{module}.{name}"

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
            self._look_at(decorator)
        # Not into the body: what it makes is not there when the module has been imported.

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Not into the body."""

    def visit_Call(self, node: ast.Call) -> None:
        self._look_at(node.func)
        self.generic_visit(node)

    def _look_at(self, node: ast.expr) -> None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self._full_names:
            self.task |= ".".join([self._full_names[node.id], *reversed(parts)]) in _TASK
