"""streaq: acknowledges after the run, results dropped at once (ttl=0)."""

from __future__ import annotations

import os
import sys

import uvloop
import work
from streaq import Worker

worker = Worker(redis_url=work.URL, concurrency=work.CLAIMED, sync_concurrency=16)


@worker.task(ttl=0)
async def noop() -> None:
    work.noop()


@worker.task(ttl=0)
def noop_sync() -> None:
    work.noop()


@worker.task(ttl=0)
async def ping(sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    async with worker:
        if command == "pings":
            await work.pings(int(arguments[0]), lambda sent: one(ping, sent))
            return
        way, n, kind = arguments
        call = noop_sync if kind == "sync" else noop
        await work.dispatch(
            way, int(n), lambda: one(call), lambda n: worker.enqueue_many([call.enqueue() for _ in range(n)])
        )


async def one(call, *arguments):
    return await call.enqueue(*arguments)


if __name__ == "__main__":
    if work.asked()[0] == "worker":
        os.execv(sys.executable, [sys.executable, "-m", "streaq", "run", "with_streaq:worker"])
    uvloop.run(main(*work.asked()))
