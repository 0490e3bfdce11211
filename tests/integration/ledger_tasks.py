"""Tasks that write down what they do, for workers that will be killed.

Every process appends to a file of its own in the folder `ASYNCTASQ_TEST_LEDGER`, one line per event and one write per line:
what was written stays when the process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from functools import cache
from pathlib import Path

from tests.integration.history import Ended, Started

from asynctasq import current_task, task

FAILED_RETRY_DELAY = 0.5
MANY = 20
"""Attempts enough to outlive a nemesis."""


@task(max_attempts=MANY)
async def work(seconds: float) -> None:
    with recorded():
        await asyncio.sleep(seconds)


@task(max_attempts=MANY)
def work_in_thread(seconds: float) -> None:
    with recorded():
        time.sleep(seconds)


@task(max_attempts=MANY)
async def block(seconds: float) -> None:
    """What no async task should do."""
    with recorded():
        time.sleep(seconds)  # noqa: ASYNC251


@task(max_attempts=MANY, retry_delay=FAILED_RETRY_DELAY)
async def fail_until(attempt: int) -> None:
    with recorded():
        if current_task().attempt < attempt:
            raise LookupError(f"attempt {current_task().attempt} fails")


@task(max_attempts=MANY, retry_delay=0)
async def linger_at_first(*, fail: bool) -> None:
    """The first attempt takes longer than any lease in these tests, and then ends as asked; later ones end at once."""
    with recorded():
        if current_task().attempt == 1:
            await asyncio.sleep(5.0)
            if fail:
                raise LookupError("a late failure")


@task(max_attempts=MANY, retry_delay=0)
async def fail_at_first(*, fail: bool) -> None:
    with recorded():
        if fail and current_task().attempt == 1:
            raise LookupError("the first attempt fails")


@task(max_attempts=3)
async def poison() -> None:
    with recorded():
        os.kill(os.getpid(), signal.SIGKILL)


@task(max_attempts=3)
async def neighbour(seconds: float) -> None:
    with recorded():
        await asyncio.sleep(seconds)


@task(process=True, max_attempts=MANY, retry_delay=FAILED_RETRY_DELAY)
def work_in_child(seconds: float) -> None:
    with recorded():
        time.sleep(seconds)


@task(process=True, max_attempts=MANY, retry_delay=FAILED_RETRY_DELAY)
async def work_in_loop_of_child(seconds: float) -> None:
    with recorded():
        await asyncio.sleep(seconds)


@task(process=True, max_attempts=MANY)
def hold_the_lock_at_first() -> None:
    """The first attempt never lets go of the interpreter's lock: no other thread of its process runs again."""
    with recorded():
        if current_task().attempt == 1:
            re.match(r"(a+)+$", "a" * 64 + "b")


@task
def fork_the_worker() -> None:
    """Leave a copy of the worker behind, which holds open all that the worker has open."""
    with recorded():
        copy = os.fork()
        if not copy:
            time.sleep(60)
            os._exit(0)
        os.write(_file("copies"), f"{copy}\n".encode())


@task(process=True, max_attempts=1)
def die(how: str) -> None:
    with recorded():
        match how:
            case "segfault":
                ctypes.string_at(0)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit at once":
                os._exit(3)
            case "out of memory":
                resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
                hoard = [bytes(1 << 30)]
                del hoard
            case "killed by the kernel":
                resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
                while True:
                    pass
            case _:
                sys.exit(3)


@task(process=True, max_attempts=1, timeout=0.5)
def ignore_sigterm() -> None:
    """Start a program and wait for ever; SIGTERM changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with recorded():
        program = subprocess.Popen(["sleep", "1000"])
        os.write(_file("programs"), f"{program.pid}\n".encode())
        program.wait()


@task(process=True, max_attempts=1, timeout=0.5)
async def clean_up_when_stopped() -> None:
    """Wait for ever, and say so when cancelled."""
    with recorded():
        await asyncio.sleep(1000)


@contextlib.contextmanager
def recorded() -> Generator[None]:
    """Write down that the attempt starts here and how it ends."""
    _write("start")
    try:
        yield
    except asyncio.CancelledError:
        _write("end", how="cancelled")
        raise
    except BaseException:
        _write("end", how="failed")
        raise
    _write("end", how="ok")


def read(ledger: Path) -> list[Started | Ended]:
    """What the processes have written so far, each in its own order. A last line cut short by a kill is left out."""
    events: list[Started | Ended] = []
    for file in sorted(ledger.glob("*.jsonl")):
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                fields = json.loads(line)
                del fields["wall"]
                kind = {"start": Started, "end": Ended}[fields.pop("event")]
                events.append(kind(**fields))
    return events


def _write(event: str, **more: str) -> None:
    running = current_task()
    line = {
        "event": event,
        "task": running.id,
        "attempt": running.attempt,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "wall": time.time(),  # for people, who compare it with the workers' logs
        **more,
    }
    os.write(_file(), f"{json.dumps(line)}\n".encode())


@cache
def _file(name: str | None = None) -> int:
    path = Path(os.environ["ASYNCTASQ_TEST_LEDGER"]) / (name or f"{os.getpid()}.jsonl")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
