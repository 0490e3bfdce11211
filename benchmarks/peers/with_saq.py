"""SAQ on Redis and PostgreSQL: acknowledges after the run, results off (ttl=-1)."""

from __future__ import annotations

import logging

import uvloop
import work
from saq import Queue, Worker

OFF = {"ttl": -1, "timeout": 0}


async def noop(_context) -> None:
    work.noop()


def noop_sync(_context) -> None:
    work.noop()


async def ping(_context, *, sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    queue = Queue.from_url(work.URL)
    await queue.connect()
    if command == "worker":
        logging.basicConfig(level=logging.WARNING)
        await Worker(queue, [noop, noop_sync, ping], concurrency=work.CLAIMED).start()
    elif command == "pings":
        await work.pings(int(arguments[0]), lambda sent: queue.enqueue("ping", sent=sent, **OFF))
    else:
        way, n, kind = arguments
        name = "noop_sync" if kind == "sync" else "noop"
        await work.dispatch(way, int(n), lambda: queue.enqueue(name, **OFF))
    await queue.disconnect()


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
