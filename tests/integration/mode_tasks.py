"""What a task can see of itself, in each of the four modes: written into a file of the mode's name."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import sys
import time
from pathlib import Path

from asynctasq import current_task, task

TIMEOUT = 30.0

_log = logging.getLogger("mine")
_left_behind: contextvars.ContextVar[str] = contextvars.ContextVar("left_behind", default="nothing")


def note(mode: str, number: int) -> None:
    current = current_task()
    seen = {
        "id": current.id,
        "attempt": current.attempt,
        "queue": current.queue,
        "left": None if current.deadline is None else current.deadline - time.monotonic(),
        "pid": os.getpid(),
        "left_behind": _left_behind.get(),
    }
    _left_behind.set(mode)
    _log.warning("seen by %s", current.id)
    sys.stdout.write(f"printed by {current.id}\n")  # one write: print() makes two, and a thread may come between
    (Path(os.environ["ASYNCTASQ_TEST_LEDGER"]) / f"{mode}{number}").write_text(json.dumps(seen))


@task(timeout=TIMEOUT)
async def on_the_loop(number: int) -> None:
    note("on_the_loop", number)


@task(timeout=TIMEOUT)
def in_a_thread(number: int) -> None:
    note("in_a_thread", number)


@task(timeout=TIMEOUT, process=True)
async def on_the_loop_of_a_child(number: int) -> None:
    note("on_the_loop_of_a_child", number)


@task(timeout=TIMEOUT, process=True)
def in_a_child(number: int) -> None:
    note("in_a_child", number)


MODES = (on_the_loop, in_a_thread, on_the_loop_of_a_child, in_a_child)
