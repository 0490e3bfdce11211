"""asynctasq, this tree: its defaults, and a worker as the command line starts it."""

from __future__ import annotations

import json
import sys
import time

import uvloop
import work

import asynctasq
from asynctasq.app.current import current
from asynctasq.domain.message import Message
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


@task
async def busy() -> None:
    work.spin()


@task
async def small(number: int, name: str) -> None: ...


def codec(n: int) -> dict[str, float]:
    """CPU microseconds to encode a small task's body and to decode it as a worker does, and the bytes of a no-op's body."""
    app = current()
    codec, parameters = app.container.codec(), small.parameters
    asked = small(7, "Ada").task(app.defaults)
    begin = time.process_time()
    for _ in range(n):
        body = codec.encode(asked, parameters, id="", max_body=None)
    encoded = time.process_time()
    message = Message(id="", queue="default", body=body)
    for _ in range(n):
        header = codec.header(message)
        codec.build(header, codec.decode(header, message), parameters)
    decoded = time.process_time()
    bare = codec.encode(noop().task(app.defaults), noop.parameters, id="", max_body=None)
    return {
        "encode a small task, us": (encoded - begin) / n * 1e6,
        "decode a small task, us": (decoded - encoded) / n * 1e6,
        "body of a no-op task, bytes": len(bare),
    }


async def main(command: str, *arguments: str) -> None:
    if work.URL.startswith("postgresql:"):  # what `asynctasq migrate` does
        from asynctasq.drivers.postgres_driver import PostgresDriver

        await PostgresDriver(work.URL).install()
    if work.URL.startswith("mysql:"):
        from asynctasq.drivers.mysql_driver import MySQLDriver

        await MySQLDriver(work.URL).install()
    if command == "pings":
        await work.pings(int(arguments[0]), lambda sent: ping(sent).dispatch())
        return
    way, n, kind = arguments
    call = {"sync": noop_sync, "async": noop, "busy": busy}[kind]
    await work.dispatch(way, int(n), lambda: call().dispatch(), lambda n: dispatch_many([call() for _ in range(n)]))


if __name__ == "__main__":
    if work.asked()[0] == "codec":
        print(json.dumps(codec(int(work.asked()[1]))))
        sys.exit()
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
