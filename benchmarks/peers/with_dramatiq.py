"""dramatiq on Redis: acknowledges after the run."""

from __future__ import annotations

import os
import sys

import dramatiq
import work
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

broker = RedisBroker(url=work.URL)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


@dramatiq.actor
async def noop() -> None:
    work.noop()


@dramatiq.actor
def noop_sync() -> None:
    work.noop()


@dramatiq.actor
def ping(sent: float) -> None:
    work.pong(sent)


def main(command: str, *arguments: str) -> None:
    if command == "worker":
        os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112 -- so it is called
        options = ["--processes", "1", "--threads", "8"]
        os.execv(sys.executable, [sys.executable, "-m", "dramatiq", "with_dramatiq", *options])
    elif command == "pings":
        work.pings_sync(int(arguments[0]), ping.send)
    else:
        way, n, kind = arguments
        work.dispatch_sync(way, int(n), (noop_sync if kind == "sync" else noop).send)


if __name__ == "__main__":
    main(*work.asked())
