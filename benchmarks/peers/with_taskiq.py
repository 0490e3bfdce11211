"""taskiq on Redis streams: acknowledges when executed (its default), results off."""

from __future__ import annotations

import os
import sys

import uvloop
import work
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(work.URL, socket_timeout=None)


@broker.task(task_name="noop")
async def noop() -> None:
    work.noop()


@broker.task(task_name="noop_sync")
def noop_sync() -> None:
    work.noop()


@broker.task(task_name="ping")
async def ping(sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    await broker.startup()
    if command == "pings":
        await work.pings(int(arguments[0]), ping.kiq)
    else:
        way, n, kind = arguments
        await work.dispatch(way, int(n), (noop_sync if kind == "sync" else noop).kiq)
    await broker.shutdown()


if __name__ == "__main__":
    if work.asked()[0] == "worker":
        options = ["--workers", "1", "--max-async-tasks", str(work.CLAIMED), "--max-threadpool-threads", "16"]
        options += ["--ack-type", "when_executed", "--log-level", "WARNING"]
        os.execv(sys.executable, [sys.executable, "-m", "taskiq", "worker", "with_taskiq:broker", *options])
    uvloop.run(main(*work.asked()))
