"""`asynctasq stats`: how the queues stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.app.cli.output import age, show_json, show_table
from asynctasq.domain.queue_name import check_queue_name

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import QueueDriver, QueueStats


@click.command()
@click.argument("queues", metavar="[QUEUE]...", nargs=-1)
@where
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one for each queue.")
def stats(queues: tuple[str, ...], app: str | None, driver: str | None, as_json: bool) -> None:
    """Show how the queues stand.

    Without a QUEUE: every queue that holds something, and those of the app's tasks. READY tasks are due, DELAYED ones
    are not yet, LEASED ones are held by a worker, DEAD ones have failed for good. OLDEST is how long the longest waiting
    ready task has been due.

    \b
    asynctasq stats
    asynctasq stats emails reports --json
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    for queue in queues:
        check_queue_name(queue)
    location, answer = run(_stats(open_quietly(app), driver, queues))
    if as_json:
        show_json([asdict(queue) for queue in answer])
        return
    rows = [
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
    show_table(["QUEUE", "READY", "DELAYED", "LEASED", "DEAD", "OLDEST"], rows, title=location)


async def _stats(app: App, spec: str | None, queues: Sequence[str]) -> tuple[str, Sequence[QueueStats]]:
    async with app.driver(spec) as driver:
        return driver.location, await driver.stats(queues or await known_queues(app, driver))


async def known_queues(app: App, driver: QueueDriver) -> list[str]:
    """The queues that hold something, where the driver can tell, and those that the app's tasks go to."""
    from asynctasq.ports.driver import Inspector

    known = {app.defaults.queue, *(function.config(app.defaults).queue for function in app.registry)}
    if isinstance(driver, Inspector):
        known.update(await driver.queues())
    return sorted(known)
