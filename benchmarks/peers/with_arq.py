"""arq: acknowledges after the run, results off. It has no synchronous tasks."""

from __future__ import annotations

import asyncio

import uvloop
import work
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

SETTINGS = RedisSettings.from_dsn(work.URL)


async def noop(_context) -> None:
    work.noop()


async def ping(_context, sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    pool = await create_pool(SETTINGS)
    if command == "pings":
        await work.pings(int(arguments[0]), lambda sent: pool.enqueue_job("ping", sent))
    else:
        way, n, _ = arguments
        await work.dispatch(way, int(n), lambda: pool.enqueue_job("noop"))


def serve() -> None:
    asyncio.set_event_loop(uvloop.new_event_loop())
    functions = [func(noop, keep_result=0), func(ping, keep_result=0)]
    Worker(functions, redis_settings=SETTINGS, max_jobs=work.CLAIMED, keep_result=0).run()


if __name__ == "__main__":
    if work.asked()[0] == "worker":
        serve()
    else:
        uvloop.run(main(*work.asked()))
