"""Which queues there are, and a word about those that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from asynctasq.app.nearest import did_you_mean

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import QueueDriver


def queues_of_tasks(app: App) -> list[str]:
    """The queues that the app's tasks go to."""
    return sorted({app.defaults.queue, *(function.config(app.defaults).queue for function in app.registry)})


async def known_queues(app: App, driver: QueueDriver) -> list[str]:
    """The queues that hold something, where the driver can tell, and those that the app's tasks go to."""
    from asynctasq.ports.driver import Inspector

    known = set(queues_of_tasks(app))
    if isinstance(driver, Inspector):
        known.update(await driver.queues())
    return sorted(known)


async def chosen_queues(app: App, driver: QueueDriver, asked: Sequence[str]) -> Sequence[str]:
    """The queues that were asked for, else all that are known. One that nobody knows is told, with what may have been meant."""
    from asynctasq.ports.driver import Inspector

    known = await known_queues(app, driver)
    if isinstance(driver, Inspector):
        for name in asked:
            if name not in known:
                hint = did_you_mean(name, known)
                click.echo(f"nothing is in the queue {name!r} and no task goes there{hint}", err=True)
    return asked or known
