"""huey on SQLite, synchronous=FULL like ours. At-most-once: a task leaves the database before it runs."""

from __future__ import annotations

import os
import sys

import work
from huey import SqliteHuey

FULL = 2
huey = SqliteHuey(filename=work.URL.removeprefix("sqlite:///"), results=False, fsync=True)


@huey.task()
def noop() -> None:
    work.noop()


@huey.task()
def ping(sent: float) -> None:
    work.pong(sent)


def main(command: str, *arguments: str) -> None:
    if huey.storage.conn.execute("PRAGMA synchronous").fetchone() != (FULL,):
        raise SystemExit("huey did not set synchronous=FULL: not the same durability")
    if command == "worker":
        options = ["--workers", "4", "--quiet", "--delay", "0.1", "--max-delay", "0.1", "--no-periodic"]
        os.execv(sys.executable, [sys.executable, "-m", "huey.bin.huey_consumer", "with_huey.huey", *options])
    elif command == "pings":
        work.pings_sync(int(arguments[0]), this.ping)
    else:
        way, n, _ = arguments
        work.dispatch_sync(way, int(n), this.noop)


if __name__ == "__main__":
    import with_huey as this  # huey names a task by its module, which must not be __main__

    main(*work.asked())
