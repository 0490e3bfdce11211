"""What type checkers must say of code that uses tasks. A line that ends in `# wrong` must be an error; no other may be."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

import asynctasq
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.tasks import Discard, PendingTask, RetryLater, Snooze, dispatch_many, task


@task
async def bare_async(a: int, b: str = "x") -> float:
    return a + len(b)


@task
def bare_sync(a: int, *, flag: bool) -> str:
    return f"{a}{flag}"


@task(queue="q", max_attempts=5, retry_delay=1.5, timeout=30, driver=MemoryDriver())
async def configured_async(a: int) -> None: ...


@task(
    backoff=2, max_retry_delay=600.0, jitter=0.1, retry_on=OSError, no_retry_on=(FileNotFoundError, KeyboardInterrupt)
)
def steering(a: int) -> None:
    if a == 1:
        raise RetryLater()
    if a == 2:
        raise RetryLater(delay=timedelta(minutes=1), reason="busy")
    if a == 3:
        raise Discard("obsolete")
    raise Snooze(30)


@task()
def configured_sync(*numbers: int) -> list[int]:
    return list(numbers)


assert_type(bare_sync.fn(1, flag=True), str)
assert_type(configured_sync.fn(1, 2, 3), list[int])
assert_type(bare_async(1), PendingTask)


async def right() -> None:
    assert_type(await bare_async.fn(1), float)
    assert_type(await bare_async(1, "y").on_queue("q").delay(3).retry_after(timedelta(minutes=1)).dispatch(), str)
    assert_type(await configured_async(a=1).dispatch(), str)
    assert_type(configured_sync(1, 2).dispatch_sync(), str)
    assert_type(await dispatch_many([bare_async(1), bare_sync(2, flag=False)]), list[str])
    asynctasq.init({"driver": "memory"})
    asynctasq.init("sqlite:///queue.db")
    asynctasq.init()


async def wrong() -> None:
    bare_async("1")  # wrong
    bare_async()  # wrong
    bare_async(1, c=2)  # wrong
    bare_async(1, 2)  # wrong
    bare_sync(1)  # wrong
    bare_sync(1, flag="yes")  # wrong
    configured_async("1")  # wrong
    configured_async(1, 2)  # wrong
    configured_sync("1")  # wrong
    await bare_async(1).delay("soon").dispatch()  # wrong
    await bare_async(1).on_queue(1).dispatch()  # wrong
    bare_async.fn("1")  # wrong
    task(queue=1)  # wrong
    task(max_attempts="3")  # wrong
    task(prioritty=3)  # wrong
    task(backoff="2")  # wrong
    task(retry_on="OSError")  # wrong
    task(no_retry_on=OSError())  # wrong
    Snooze()  # wrong
    RetryLater("busy")  # wrong
    task(driver=1)  # wrong
    await dispatch_many([bare_async])  # wrong
    asynctasq.init(3)  # wrong
