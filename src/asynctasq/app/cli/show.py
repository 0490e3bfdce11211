"""`asynctasq show`: what has become of one task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asynctasq.app.cli.dead import task_of
from asynctasq.app.cli.exits import Failed
from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.app.cli.output import age, show_json, timestamp
from asynctasq.domain.errors import UnsupportedByDriver

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import DeadMessage
    from asynctasq.ports.search import LiveMessage


@click.command()
@where
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="An object.")
def show(app: str | None, driver: str | None, id: str, *, as_json: bool) -> None:
    """Show where a task is, by the ID that its dispatch returned.

    It is ready, delayed, leased or dead. A task that has succeeded is gone, and leaves nothing to be shown.

    \b
    asynctasq show 019a2c1e-5f8b-7cc1-a2de-6f0e5b1c9d3f
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    opened = open_quietly(app)
    described = run(_look(opened, driver, id))
    if as_json:
        show_json(described)
        return
    for name, value in described.items():
        click.echo(f"{name + ':':<13}{value}")


async def _look(app: App, spec: str | None, id: str) -> dict[str, object]:
    from asynctasq.ports.driver import DeadLetters
    from asynctasq.ports.search import Searchable

    async with app.driver(spec) as driver:
        # Alive first and then dead, which is the way that it goes: it is not missed in between.
        if isinstance(driver, Searchable):
            (found,) = await driver.find([id])
            if found is not None:
                return _alive(app, found)
        if isinstance(driver, DeadLetters):
            (letter,) = await driver.get_dead([id])
            if letter is not None:
                return _dead(app, letter)
        if not isinstance(driver, Searchable):
            whether = f"{id} is no dead letter, and the" if isinstance(driver, DeadLetters) else "the"
            raise UnsupportedByDriver(
                f"{whether} driver at {driver.location} cannot find tasks by their ids: `asynctasq stats` shows how many "
                "there are"
            )
        raise Failed(
            f"there is no task {id} at {driver.location}: it has succeeded, was removed, or went to another driver "
            "(--driver names one)"
        )


def _alive(app: App, found: LiveMessage) -> dict[str, object]:
    until = {"ready": "for", "delayed": "due in", "leased": "held for up to"}[found.state]
    return {
        "id": found.id,
        "queue": found.queue,
        "task": task_of(app, id=found.id, queue=found.queue, body=found.body),
        "state": f"{found.state}, {until} {age(abs(found.due_in))}",
        "attempts": found.attempts,
        "lost_leases": found.expiries,
        "enqueued_at": timestamp(found.enqueued_at),
        "body_bytes": len(found.body),
    }


def _dead(app: App, letter: DeadMessage) -> dict[str, object]:
    return {
        "id": letter.id,
        "queue": letter.queue,
        "task": task_of(app, id=letter.id, queue=letter.queue, body=letter.body),
        "state": f"dead: {letter.reason}",
        "attempts": letter.attempts,
        "enqueued_at": timestamp(letter.enqueued_at),
        "body_bytes": len(letter.body),
        "more": f"asynctasq dead show {letter.id}",
    }
