"""Where a task runs: on the worker's loop, in a thread of it, or in a child process with a loop or without.

The first two need each other here, to prove that neither blocks the other.
"""

import asyncio
import os
import threading

import asynctasq
from asynctasq.tasks import dispatch_many, task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})

thread_may_go, word_was_given = threading.Event(), threading.Event()


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


def place() -> str:
    main = threading.current_thread() is threading.main_thread()
    return f"{os.getpid()} {'main' if main else 'another'} thread"


@task(queue="plain")
def in_a_thread(data: str) -> str:
    say(f"plain {place()}")
    if not thread_may_go.wait(30):
        raise TimeoutError("the loop stood still while a plain task waited")
    word_was_given.set()
    return data


@task(queue="async")
async def on_the_loop(data: str) -> str:
    say(f"async {place()} {type(asyncio.get_running_loop()).__module__}")
    thread_may_go.set()
    while not word_was_given.is_set():  # noqa: ASYNC110 -- set by a thread
        await asyncio.sleep(0.01)
    return data


@task(queue="heavy", process=True)
def in_a_process(data: list[float]) -> dict[str, float]:
    say(f"plain process {place()}")
    return {"mean": sum(data) / len(data)}


@task(queue="heavy", process=True, timeout=300)
async def on_the_loop_of_a_process(path: str) -> int:
    await asyncio.sleep(0.01)
    say(f"async process {place()} {type(asyncio.get_running_loop()).__module__}")
    return len(path)


async def main() -> None:
    # Neither of the first two ends before both run.
    await dispatch_many(
        [
            in_a_thread(data="blocking"),
            on_the_loop(data="async"),
            in_a_process(data=[1.0, 2.0]),
            on_the_loop_of_a_process(path="clip.mp4"),
        ]
    )


if __name__ == "__main__":
    uv_run(main())
