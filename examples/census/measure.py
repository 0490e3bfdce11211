"""What is counted: plain functions that know nothing of queues."""

from __future__ import annotations

import ast
import sysconfig
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))

# Newer interpreters warn about odd escapes while parsing; the library's own test data is full of them, on purpose.
warnings.filterwarnings("ignore", category=SyntaxWarning)

_PARSING = threading.Lock()
"""Python 3.11 counts how deep `ast.parse` is for all threads together, and now and then fails one that met another there
("AST constructor recursion depth mismatch", python/cpython#106905). It holds the interpreter's lock anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one file holds.

    Attributes:
        lines: its lines, blank ones included.
        parsed: whether it is valid Python; if not, the rest is zero.
        functions: `def` and `async def`, methods included.
        classes: classes, nested ones included.
        longest: the lines of its longest function.
        longest_name: that function's name.
    """

    lines: int
    parsed: bool
    functions: int = 0
    classes: int = 0
    longest: int = 0
    longest_name: str = ""


def library_files() -> list[str]:
    """Every `.py` file of the standard library, relative to it, the largest first; installed packages are left out."""
    foreign = {"site-packages", "dist-packages"}
    sizes = {
        relative.as_posix(): file.stat().st_size
        for file in LIBRARY.rglob("*.py")
        if not foreign.intersection((relative := file.relative_to(LIBRARY)).parts)
    }
    return sorted(sizes, key=lambda path: (-sizes[path], path))


def measure(path: str) -> Figures:
    """Read, parse and count one file of the library."""
    source = (LIBRARY / path).read_bytes()
    lines = len(source.splitlines())
    try:
        with _PARSING:
            tree = ast.parse(source, filename=path)
    except (SyntaxError, ValueError):  # a null byte is the one or the other, by the interpreter's version
        return Figures(lines=lines, parsed=False)
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    longest = max(functions, key=_length, default=None)
    return Figures(
        lines=lines,
        parsed=True,
        functions=len(functions),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        longest=_length(longest) if longest else 0,
        longest_name=longest.name if longest else "",
    )


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1
