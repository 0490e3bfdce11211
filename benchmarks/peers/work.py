"""What every task of every peer does, and how a peer's script is called. Standard library only: it runs in every environment.

In the environment: BENCH_URL, where the broker is; BENCH_RUNS, the folder in which each process notes its runs.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

URL = os.environ.get("BENCH_URL", "")
CLAIMED = 100
"""The concurrency of every worker that has one."""

NOTE = struct.Struct(
    "<qdd"
)  # runs, when the first was, when the last was: CLOCK_MONOTONIC, one clock for all processes of a host


class _Runs:
    """A counter in a mapped file: no broker traffic, no system call, under a microsecond, the same for all."""

    def __init__(self) -> None:
        self.file: mmap.mmap | None = None
        self.lock = threading.Lock()
        self.count, self.first = 0, 0.0
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A forked child counts in a file of its own."""
        self.file, self.count, self.lock = None, 0, threading.Lock()

    def note(self) -> None:
        with self.lock:
            now = time.monotonic()
            if self.file is None:
                path = Path(os.environ["BENCH_RUNS"]) / f"{os.getpid()}.runs"
                path.write_bytes(bytes(NOTE.size))
                with path.open("r+b") as opened:
                    self.file = mmap.mmap(opened.fileno(), NOTE.size)
                self.first = now
            self.count += 1
            NOTE.pack_into(self.file, 0, self.count, self.first, now)


_runs = _Runs()


def noop() -> None:
    """The body of every no-op task."""
    _runs.note()


def spin() -> None:
    """A body that takes a millisecond of a core."""
    end = time.process_time() + 0.001
    while time.process_time() < end:
        pass
    _runs.note()


def pong(sent: float) -> None:
    """The body of every ping: how long ago it was dispatched."""
    now = time.monotonic()
    with (Path(os.environ["BENCH_RUNS"]) / "pings").open("a") as pings:
        pings.write(f"{now - sent}\n")


def answer(tasks: int, seconds: float) -> None:
    print(json.dumps({"tasks": tasks, "seconds": seconds}), flush=True)


def asked() -> list[str]:
    """The command and its arguments."""
    return sys.argv[1:]


async def dispatch(
    way: str, n: int, one: Callable[[], Awaitable[object]], many: Callable[[int], Awaitable[object]] | None = None
) -> None:
    """Dispatch n tasks in a way and answer; the first of them open the connections and are not timed."""
    warm = min(n // 2, 100) if way == "gather" else 1
    await asyncio.gather(*(one() for _ in range(warm)))
    start = time.monotonic()
    if way == "single":
        for _ in range(n - warm):
            await one()
    elif way == "gather":
        for begin in range(warm, n, 100):
            await asyncio.gather(*(one() for _ in range(min(100, n - begin))))
    elif many is not None:
        await many(n - warm)
    answer(n - warm, time.monotonic() - start)


def dispatch_sync(way: str, n: int, one: Callable[[], object], many: Callable[[int], object] | None = None) -> None:
    """`dispatch` for a client without asyncio."""
    one()
    start = time.monotonic()
    if way == "single":
        for _ in range(n - 1):
            one()
    elif many is not None:
        many(n - 1)
    answer(n - 1, time.monotonic() - start)


async def pings(n: int, ping: Callable[[float], Awaitable[object]]) -> None:
    start = time.monotonic()
    for _ in range(n):
        await asyncio.sleep(0.01)
        await ping(time.monotonic())
    answer(n, time.monotonic() - start)


def pings_sync(n: int, ping: Callable[[float], object]) -> None:
    start = time.monotonic()
    for _ in range(n):
        time.sleep(0.01)
        ping(time.monotonic())
    answer(n, time.monotonic() - start)
