"""The SQL of this driver: one file per statement, and how values are written into it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

_FOLDER = files("asynctasq.adapters.drivers.mysql") / "sql"
_CLOCK = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
"""The server's clock, in microseconds, at the beginning of a statement; of no time zone."""

_PLAIN = re.compile("[A-Za-z0-9_-]*").fullmatch


class Statement:
    """A statement with places for values, `:name`, which are filled in with literals.

    Args:
        text: of the statement.
    """

    def __init__(self, text: str) -> None:
        self._parts = re.split(r"(?<![:\w]):([a-z]+)", text)

    def __call__(self, **literals: object) -> str:
        """The statement with these literals."""
        parts = self._parts.copy()
        parts[1::2] = [str(literals[name]) for name in parts[1::2]]
        return "".join(parts)


@cache
def statement(name: str, prefix: str) -> Statement:
    """`sql/<name>.sql` for the tables whose names begin with `prefix`. `{now}` is the server's clock, in microseconds."""
    return Statement(_without_comments(script(name, prefix)))


def script(name: str, prefix: str) -> str:
    """The text of `sql/<name>.sql` for the tables whose names begin with `prefix`."""
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    for table in ("message", "version"):
        text = text.replace(f"{{{table}}}", f"`{prefix}{table}`")
    return text.replace("{now}", _CLOCK)


def binary(value: bytes) -> str:
    """Bytes as a literal: in hexadecimal, which nothing has to be escaped in, whatever the server's sql_mode."""
    return f"x'{value.hex()}'"


def name_of(text: str) -> str:
    """An id or the name of a queue as a literal of bytes."""
    return f"'{text}'" if _PLAIN(text) else binary(text.encode("utf-8", "surrogateescape"))


def words(text: str) -> str:
    """A text for people as a literal."""
    return f"_utf8mb4 {binary(text.encode())}"


def listed(literals: Iterable[object]) -> str:
    """Literals with commas between them."""
    return ", ".join(map(str, literals))


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.strip().splitlines() if not line.startswith("--"))
