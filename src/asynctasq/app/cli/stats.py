"""`asynctasq stats`: how the queues stand."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.app.cli.output import age, show_json, show_table
from asynctasq.app.cli.queues import chosen_queues, known_queues
from asynctasq.app.cli.watch import watch
from asynctasq.domain.queue_name import check_queue_name

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import QueueStats


COLUMNS = ("QUEUE", "READY", "DELAYED", "LEASED", "DEAD", "OLDEST")


@click.command()
@click.argument("queues", metavar="[QUEUE]...", nargs=-1)
@where
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one for each queue.")
@click.option("--watch", "watched", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="With --watch."
)
def stats(
    queues: tuple[str, ...], app: str | None, driver: str | None, *, as_json: bool, watched: bool, every: float
) -> None:
    """Show how the queues stand.

    Without a QUEUE: every queue that holds something, and those of the app's tasks. READY tasks are due, DELAYED ones
    are not yet, LEASED ones are held by a worker, DEAD ones have failed for good. OLDEST is how long the longest waiting
    ready task has been due.

    \b
    asynctasq stats
    asynctasq stats emails reports --json
    asynctasq stats --watch
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    for queue in queues:
        check_queue_name(queue)
    if watched and as_json:
        raise click.UsageError("--watch draws a table, --json is for programs: keep one of the two")
    opened = open_quietly(app)
    if watched:
        with contextlib.suppress(KeyboardInterrupt):  # which is how it is meant to end
            run(_watch(opened, driver, queues, every))
        return
    location, answer = run(_stats(opened, driver, queues))
    if as_json:
        show_json([asdict(queue) for queue in answer])
        return
    show_table(COLUMNS, _rows(answer), title=location)


def _rows(answer: Sequence[QueueStats]) -> list[list[str]]:
    return [
        [
            queue.queue,
            *(
                f"{count}" if queue.exact else f"~{count}"
                for count in (queue.ready, queue.delayed, queue.leased, queue.dead)
            ),
            "" if queue.oldest_age is None else age(queue.oldest_age),
        ]
        for queue in answer
    ]


async def _stats(app: App, spec: str | None, queues: Sequence[str]) -> tuple[str, Sequence[QueueStats]]:
    async with app.driver(spec) as driver:
        return driver.location, await driver.stats(await chosen_queues(app, driver, queues))


async def _watch(app: App, spec: str | None, queues: Sequence[str], every: float) -> None:
    async with app.driver(spec) as driver:
        await chosen_queues(app, driver, queues)

        async def look() -> list[list[str]]:
            return _rows(await driver.stats(queues or await known_queues(app, driver)))

        await watch(look, columns=COLUMNS, title=driver.location, every=every)
