"""The smallest program: say which driver, write one async task and one plain one, dispatch both, leave them to a worker."""

import asyncio
import os
import time

import asynctasq
from asynctasq.tasks import task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task
async def announce(message: str) -> str:
    """What it returns is for whoever calls `announce.fn`; the worker has no use for it."""
    await asyncio.sleep(0.01)
    say(f"announced {message}")
    return f"announced {message}"


@task
def total(prices: list[int]) -> int:
    time.sleep(0.01)  # a plain function may block: it has a thread to itself
    say(f"total {sum(prices)}")
    return sum(prices)


async def main() -> None:
    print(f"loop {type(asyncio.get_running_loop()).__module__}")
    print(f"id {await announce(message='the shop is open').dispatch()}")
    print(f"id {await total(prices=[3, 4, 5]).dispatch()}")


if __name__ == "__main__":
    uv_run(main())
