"""RQ: results off, a worker that runs jobs in its own process, one at a time."""

from __future__ import annotations

import sys

import with_rq  # RQ names a function by its module, which must not be __main__
import work
from redis import Redis
from rq import Queue, SimpleWorker

connection = Redis.from_url(work.URL)
queue = Queue(connection=connection)


def noop() -> None:
    work.noop()


def ping(sent: float) -> None:
    work.pong(sent)


def many(n: int) -> None:
    queue.enqueue_many([Queue.prepare_data(with_rq.noop, result_ttl=0) for _ in range(n)])


def main(command: str, *arguments: str) -> None:
    if command == "worker":
        SimpleWorker([queue], connection=connection).work(logging_level="WARNING")
    elif command == "pings":
        work.pings_sync(int(arguments[0]), lambda sent: queue.enqueue(with_rq.ping, sent, result_ttl=0))
    else:
        way, n, _ = arguments
        work.dispatch_sync(way, int(n), lambda: queue.enqueue(with_rq.noop, result_ttl=0), many)


if __name__ == "__main__":
    sys.exit(main(*work.asked()))
