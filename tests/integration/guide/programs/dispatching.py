"""Every way to hand a call over, and what the chain changes for one dispatch and for no other."""

import os

import asynctasq
from asynctasq.tasks import current_task, task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="members")
async def rename(member: int, name: str, email: str, active: bool = True) -> None:
    say(f"{current_task().id} {member} {name} {email} {active}")


@task
async def pack(first: str, second: str, third: str) -> None:
    say(f"{current_task().id} {first} {second} {third}")


@task(queue="reminders")
async def remind(member: int, message: str) -> None:
    say(f"{current_task().id} {member} {message}")


@task
async def push(text: str) -> None:
    say(f"{current_task().id} {text} on {current_task().queue}")


@task(queue="partners", max_attempts=3, retry_delay=3600)
async def call_at_once(path: str) -> None:
    say(f"{path} {current_task().attempt}")
    raise ConnectionError(path)


@task(queue="partners", max_attempts=3, retry_delay=0)
async def call_patiently(path: str) -> None:
    say(f"{path} {current_task().attempt}")
    raise ConnectionError(path)


async def main() -> None:
    ids = {
        "named": await rename(member=1, name="Ada", email="ada@example.org").dispatch(),
        "mixed": await rename(2, "Grace", email="grace@example.org", active=False).dispatch(),
        "positional": await pack("apple", "pear", "plum").dispatch(),
    }
    await remind(member=1, message="finish your profile").delay(60).dispatch()

    # The chain, link by link and then all of it.
    ids["urgent"] = await push("now").on_queue("urgent").dispatch()
    await push("sometime").on_queue("whenever").delay(300).dispatch()
    await call_at_once("/impatient").retry_after(0).dispatch()
    # fmt: off
    await call_patiently("/patient") \
        .retry_after(3600) \
        .dispatch()
    await push("thrice") \
        .on_queue("critical") \
        .retry_after(180) \
        .delay(30) \
        .dispatch()
    # fmt: on

    # A link makes another pending call and leaves the one that it was made of as it is.
    plain = push("plain")
    ids["elsewhere"] = await plain.on_queue("urgent").dispatch()
    ids["plain"] = await plain.dispatch()
    for name, task_id in ids.items():
        print(name, task_id)


if __name__ == "__main__":
    uv_run(main())
