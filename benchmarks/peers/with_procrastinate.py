"""Procrastinate: acknowledges after the run; finished jobs are deleted."""

from __future__ import annotations

import logging

import procrastinate
import uvloop
import work

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=work.URL, max_size=10))


@app.task(name="noop")
async def noop() -> None:
    work.noop()


@app.task(name="noop_sync")
def noop_sync() -> None:
    work.noop()


@app.task(name="ping")
async def ping(sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        if command == "worker":
            logging.basicConfig(level=logging.WARNING)
            await app.run_worker_async(concurrency=work.CLAIMED, delete_jobs="always")
        elif command == "pings":
            await work.pings(int(arguments[0]), lambda sent: ping.defer_async(sent=sent))
        else:
            way, n, kind = arguments
            call = noop_sync if kind == "sync" else noop
            await work.dispatch(
                way, int(n), call.defer_async, lambda n: call.batch_defer_async(*({} for _ in range(n)))
            )


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
