"""A table that is drawn again and again, until it is interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from asynctasq.app.cli.exits import CannotWork
from asynctasq.app.cli.output import table
from asynctasq.domain.errors import DriverError

Rows = Sequence[Sequence[str]]


async def watch(look: Callable[[], Awaitable[Rows]], *, columns: Sequence[str], title: str, every: float) -> None:
    """Show what `look` gives, `every` so many seconds. A broker that is away is told beneath, and looked for again.

    Raises:
        CannotWork: nobody watches.
    """
    if not sys.stdout.isatty():
        raise CannotWork("--watch needs a terminal: elsewhere, run `asynctasq stats --json` as often as you like")
    import asyncio

    from rich.console import Console
    from rich.live import Live

    rows: Rows = []
    with Live(console=Console(), auto_refresh=False, screen=False) as live:
        while True:
            try:
                rows, trouble = await look(), ""
            except DriverError as error:
                trouble = f"{error}; this is from before, looking again"
            caption = trouble or f"{time.strftime('%H:%M:%S')}, every {every:g} s; Ctrl-C ends it"
            live.update(table(columns, rows, title=title, caption=caption), refresh=True)
            await asyncio.sleep(every)
