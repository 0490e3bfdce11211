"""What can be said at the decorator: queue, attempts, delay of retries, timeout; each alone and all together."""

import asyncio
import os
import time
from typing import Any

import asynctasq
from asynctasq.tasks import current_task, dispatch_many, task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="mail", max_attempts=5, retry_delay=120, timeout=30)
async def write_letter(to: str, subject: str) -> None:
    say(f"letter {to} {subject}")


@task(queue="checks", max_attempts=0)
async def check(form: dict[str, Any]) -> None:
    say(f"check {current_task().attempt}")
    raise ValueError(f"{sorted(form)} will not do, now or ever")


@task(queue="money", max_attempts=10, retry_delay=0)
async def charge(card: str, amount: float) -> None:
    attempt = current_task().attempt
    say(f"charge {attempt}")
    if attempt < 10:
        raise ConnectionError("the bank does not answer")


@task(queue="partners", max_attempts=5, retry_delay=300)
async def ask_partner(path: str) -> None:
    say(f"ask {current_task().attempt}")
    raise ConnectionError("come back in five minutes")


@task(queue="quick", max_attempts=1, timeout=0.2)
async def hurry() -> None:
    await asyncio.sleep(600)


@task(queue="quick", max_attempts=1, timeout=0.2)
def hurry_in_a_thread() -> None:
    time.sleep(0.5)


@task(queue="patient", timeout=None)
async def take_your_time() -> None:
    say("patient")


@task(queue="critical", max_attempts=10, retry_delay=60, timeout=300)
async def all_of_it(data: dict[str, Any]) -> None:
    say(f"critical {data}")


async def main() -> None:
    await dispatch_many(
        [
            write_letter("ada@example.org", subject="Engines"),
            check({"age": -1}),
            charge("4111", 9.5),
            ask_partner("/stock"),
            hurry(),
            hurry_in_a_thread(),
            take_your_time(),
            all_of_it({"level": 1}),
        ]
    )


if __name__ == "__main__":
    uv_run(main())
