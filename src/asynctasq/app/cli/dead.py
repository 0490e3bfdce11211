"""`asynctasq dead`: what has failed for good, to be read, requeued or purged."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from asynctasq.app.cli.exits import Failed
from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.app.cli.output import age, printable, show_json, show_table, timestamp
from asynctasq.app.cli.queues import chosen_queues
from asynctasq.domain.errors import TaskError, UnsupportedByDriver
from asynctasq.domain.queue_name import check_queue_name

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import DeadLetters, DeadMessage, QueueDriver

BATCH = 500
"""Dead letters of one request to the broker."""

_LISTED = "`asynctasq dead list` shows those there are"

Act = Callable[["DeadLetters", Sequence[str]], Coroutine[Any, Any, Sequence[bool]]]


@click.group()
def dead() -> None:
    """Read, requeue and purge dead letters.

    A dead letter is a task that has failed for good, kept as it was with the reason.

    \b
    asynctasq dead list --queue emails
    asynctasq dead show 019a2c1e-...
    asynctasq dead requeue 019a2c1e-...
    asynctasq dead requeue --queue emails --all
    asynctasq dead purge --queue emails --all --yes
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped


@dead.command("list")
@where
@click.option("--queue", metavar="QUEUE", help="Only those of this queue.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The most to list.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def list_(app: str | None, driver: str | None, queue: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, the most recently dead first."""
    if queue is not None:
        check_queue_name(queue)
    opened = open_quietly(app)
    letters = run(_list(opened, driver, queue, limit))
    if as_json:
        show_json([_described(opened, letter) for letter in letters])
        return
    rows = [
        [letter.id, letter.queue, _task(opened, letter), f"{age(time.time() - letter.died_at)} ago", letter.reason]
        for letter in letters
    ]
    show_table(["ID", "QUEUE", "TASK", "DIED", "REASON"], rows)


@dead.command()
@where
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="An object.")
def show(app: str | None, driver: str | None, id: str, as_json: bool) -> None:
    """Show one dead letter, with the errors of its attempts."""
    opened = open_quietly(app)
    letter = run(_get(opened, driver, id))
    if letter is None:
        raise Failed(f"there is no dead letter {id}; {_LISTED}")
    described = _described(opened, letter)
    if as_json:
        show_json(described)
        return
    del described["error"], described["history"]
    for name, value in described.items():
        click.echo(f"{name + ':':<13}{printable(str(value))}")
    for attempt in letter.history:
        click.echo(f"\nattempt {attempt.attempt}, {timestamp(attempt.at)}\n{printable(attempt.error)}")
    if letter.error:
        click.echo(f"\nlast error, {timestamp(letter.died_at)}\n{printable(letter.error)}")


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    every = click.option("--all", "every", is_flag=True, help="All dead letters of --queue.")
    queue = click.option("--queue", metavar="QUEUE", help="With --all: the queue.")
    ids = click.argument("ids", metavar="[ID]...", nargs=-1)
    return ids(queue(every(command)))


@dead.command()
@where
@_chosen
def requeue(app: str | None, driver: str | None, *, ids: tuple[str, ...], queue: str | None, every: bool) -> None:
    """Queue dead letters again, as they were: same id, same arguments, all attempts anew."""
    _check_choice(ids, queue, every)

    async def act(letters: DeadLetters, batch: Sequence[str]) -> Sequence[bool]:
        return await letters.requeue_dead(batch)

    run(_for_each(open_quietly(app), driver, ids, queue=queue, done="requeued", act=act))


@dead.command()
@where
@_chosen
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
def purge(
    app: str | None, driver: str | None, *, ids: tuple[str, ...], queue: str | None, every: bool, yes: bool
) -> None:
    """Remove dead letters for good."""
    _check_choice(ids, queue, every)
    if every and not yes:
        click.confirm(f"Remove all dead letters of the queue {queue!r} for good?", abort=True)

    async def act(letters: DeadLetters, batch: Sequence[str]) -> Sequence[bool]:
        return await letters.purge_dead(batch)

    run(_for_each(open_quietly(app), driver, ids, queue=queue, done="purged", act=act))


def _check_choice(ids: tuple[str, ...], queue: str | None, every: bool) -> None:
    if ids and not (queue or every):
        return
    if ids or not (queue and every):
        raise click.UsageError("name dead letters by their ids, or all of a queue with --queue QUEUE --all")
    check_queue_name(queue)


async def _list(app: App, spec: str | None, queue: str | None, limit: int) -> list[DeadMessage]:
    found: list[DeadMessage] = []
    async with _dead_letters(app, spec) as (driver, letters):
        for name in await chosen_queues(app, driver, [queue] if queue else []):
            found += await letters.list_dead(name, limit=limit)
    return sorted(found, key=lambda letter: letter.died_at, reverse=True)[:limit]


async def _get(app: App, spec: str | None, id: str) -> DeadMessage | None:
    async with _dead_letters(app, spec) as (_, letters):
        (letter,) = await letters.get_dead([id])
        return letter


async def _for_each(app: App, spec: str | None, ids: Sequence[str], *, queue: str | None, done: str, act: Act) -> None:
    async with _dead_letters(app, spec) as (described, letters):
        if queue is not None:
            await chosen_queues(app, described, [queue])
        chosen = [*ids] if queue is None else await _all_of(letters, queue)
        answers: list[bool] = []
        for start in range(0, len(chosen), BATCH):
            answers += await act(letters, chosen[start : start + BATCH])
    click.echo(f"{done} {sum(answers)}")
    missing = [id for id, there_was_one in zip(chosen, answers, strict=True) if not there_was_one]
    if missing and queue is None:  # of a whole queue, those that went by themselves in between are nobody's business
        raise Failed(f"there is no dead letter {', '.join(missing)}; {_LISTED}")


async def _all_of(letters: DeadLetters, queue: str) -> list[str]:
    """The ids as they are now: what dies while we work is not meant."""
    ids: list[str] = []
    while page := await letters.list_dead(queue, limit=BATCH, after=ids[-1] if ids else None):
        ids += [letter.id for letter in page]
    return ids


@asynccontextmanager
async def _dead_letters(app: App, spec: str | None) -> AsyncGenerator[tuple[QueueDriver, DeadLetters]]:
    from asynctasq.ports.driver import DeadLetters

    async with app.driver(spec) as driver:
        if not isinstance(driver, DeadLetters):
            raise UnsupportedByDriver(
                f"the driver at {driver.location} cannot list dead letters or find one by its id: `asynctasq stats` "
                "counts them, the broker's own tools read them; name another driver with --driver"
            )
        yield driver, driver


def task_of(app: App, *, id: str, queue: str, body: bytes) -> str:
    """The name of the task that a body carries; "?" if it cannot be read."""
    from asynctasq.domain.message import Message

    try:
        return app.container.codec().header(Message(id=id, queue=queue, body=body)).name
    except TaskError:  # that may be why it is dead
        return "?"


def _task(app: App, letter: DeadMessage) -> str:
    return task_of(app, id=letter.id, queue=letter.queue, body=letter.body)


def _described(app: App, letter: DeadMessage) -> dict[str, object]:
    return {
        "id": letter.id,
        "queue": letter.queue,
        "task": _task(app, letter),
        "reason": letter.reason,
        "attempts": letter.attempts,
        "enqueued_at": timestamp(letter.enqueued_at),
        "died_at": timestamp(letter.died_at),
        "body_bytes": len(letter.body),
        "error": letter.error,
        "history": [
            {"attempt": attempt.attempt, "at": timestamp(attempt.at), "error": attempt.error}
            for attempt in letter.history
        ],
    }
