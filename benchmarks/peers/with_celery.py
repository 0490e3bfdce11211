"""Celery on Redis: acks_late, results ignored. It has no async functions."""

from __future__ import annotations

import os
import sys

import work
from celery import Celery

app = Celery("bench", broker=work.URL)
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=4)


@app.task(name="noop")
def noop() -> None:
    work.noop()


@app.task(name="ping")
def ping(sent: float) -> None:
    work.pong(sent)


def main(command: str, *arguments: str) -> None:
    if command == "worker":
        options = ["--pool", "threads", "--concurrency", "16", "--loglevel", "WARNING"]
        options += ["--without-gossip", "--without-mingle"]
        os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", "with_celery", "worker", *options])
    elif command == "pings":
        work.pings_sync(int(arguments[0]), ping.delay)
    else:
        way, n, _ = arguments
        work.dispatch_sync(way, int(n), noop.delay)


if __name__ == "__main__":
    main(*work.asked())
