"""What the commands print: a table on a terminal, tab-separated lines elsewhere, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from rich.table import Table

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def show_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print rows under their columns. Where nobody watches, a row is one line and a cell is as long as it is."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich.console import Console

    Console().print(table(columns, rows, title=title))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None, caption: str | None = None
) -> Table:
    """Rows under their columns, for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        numeric = all(row[number].isdecimal() for row in rows)
        justify: Literal["left", "right"] = "right" if numeric and rows else "left"
        drawn.add_column(
            column, justify=justify, overflow="fold", no_wrap=number == 0
        )  # the first is there to be copied
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))  # Text: what users wrote is not markup
    return drawn


def printable(text: str) -> str:
    """A text for a terminal that does nothing there but be read: what would steer the terminal is spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def age(seconds: float) -> str:
    """A time span for people, in the largest unit that fits."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"  # the broker's clock may be ahead of ours


def timestamp(seconds: float) -> str:
    """A time since the epoch as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
