"""Hundreds of plain tasks and a thousand async ones at the same time: none gets on before the last of its kind is there."""

import asyncio
import threading

import asynctasq
from asynctasq.tasks import current_task, dispatch_many, task
from asynctasq.utils.loop import run as uv_run

ASYNC, PLAIN = 1_000, 200

asynctasq.init({"driver": "sqlite"})

everybody = threading.Barrier(PLAIN, timeout=30)
arrived: list[str] = []
all_here = asyncio.Event()


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task
async def meet() -> None:
    arrived.append(current_task().id)
    if len(arrived) == ASYNC:
        say("the async ones met")
        all_here.set()
    await all_here.wait()


@task(queue="threads")
def meet_in_a_thread() -> None:
    if everybody.wait() == 0:
        say("the plain ones met")


async def main() -> None:
    await dispatch_many([*(meet() for _ in range(ASYNC)), *(meet_in_a_thread() for _ in range(PLAIN))])


if __name__ == "__main__":
    uv_run(main())
