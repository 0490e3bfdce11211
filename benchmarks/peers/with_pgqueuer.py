"""pgqueuer: claims 50 at a time and acknowledges in batches, after the run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import timedelta

import asyncpg
import uvloop
import work
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgPoolDriver

BATCH = 50


async def main(command: str, *arguments: str) -> None:
    async with asyncpg.create_pool(work.URL, min_size=2, max_size=10) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries = Queries(driver)
        if not await pool.fetchval("SELECT to_regclass('pgqueuer') IS NOT NULL"):
            await queries.install()
        if command == "worker":
            await serve(driver)
        elif command == "pings":
            await work.pings(int(arguments[0]), lambda sent: queries.enqueue("ping", repr(sent).encode()))
        else:
            way, n, kind = arguments
            name = "noop_sync" if kind == "sync" else "noop"
            await work.dispatch(
                way,
                int(n),
                lambda: queries.enqueue(name, None),
                lambda n: queries.enqueue([name] * n, [None] * n, [0] * n),
            )


async def serve(driver) -> None:
    queuer = PgQueuer(driver)

    @queuer.entrypoint("noop")
    async def noop(_job) -> None:
        work.noop()

    @queuer.entrypoint("noop_sync")
    async def noop_sync(_job) -> None:
        await asyncio.to_thread(work.noop)

    @queuer.entrypoint("ping")
    async def ping(job) -> None:
        work.pong(float(job.payload))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queuer.shutdown.set)
    with contextlib.suppress(asyncio.CancelledError):
        await queuer.run(batch_size=BATCH, dequeue_timeout=timedelta(seconds=30))


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
