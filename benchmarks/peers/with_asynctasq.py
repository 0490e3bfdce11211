"""asynctasq, this tree: its defaults, and a worker as the command line starts it."""

from __future__ import annotations

import sys

import uvloop
import work

import asynctasq
from asynctasq.tasks import dispatch_many, task

asynctasq.init(work.URL)


@task
async def noop() -> None:
    work.noop()


@task
def noop_sync() -> None:
    work.noop()


@task
async def ping(sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    if work.URL.startswith("postgresql:"):  # what `asynctasq migrate` does
        from asynctasq.drivers.postgres_driver import PostgresDriver

        await PostgresDriver(work.URL).install()
    if command == "pings":
        await work.pings(int(arguments[0]), lambda sent: ping(sent).dispatch())
        return
    way, n, kind = arguments
    call = noop_sync if kind == "sync" else noop
    await work.dispatch(way, int(n), lambda: call().dispatch(), lambda n: dispatch_many([call() for _ in range(n)]))


if __name__ == "__main__":
    if work.asked()[0] == "worker":
        from asynctasq.app.cli import main as command_line

        sys.argv = [
            "asynctasq",
            "worker",
            "with_asynctasq",
            "--concurrency",
            str(work.CLAIMED),
            "--log-level",
            "warning",
        ]
        command_line()
    uvloop.run(main(*work.asked()))
