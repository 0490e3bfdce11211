"""One program with a bit of everything, run by uvloop itself."""

import asyncio
import os
import time
from typing import Any

import uvloop

import asynctasq
from asynctasq.tasks import task

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="mail", max_attempts=3, retry_delay=60)
async def send_mail(to: str, subject: str, body: str) -> str:
    await asyncio.sleep(0.01)
    say(f"✉ {to} {subject} {body}")
    return f"sent to {to}"


@task(queue="money", max_attempts=10, retry_delay=30, timeout=60)
async def charge(customer: int, amount: float) -> dict[str, object]:
    say(f"€ {customer} {amount}")
    return {"customer": customer}


@task(queue="reports", timeout=300)
def report(number: int) -> str:
    time.sleep(0.01)
    say(f"# {number}")
    return f"report {number}"


@task(driver=os.environ["GUIDE_DRIVER"])
async def named_driver(data: dict[str, Any]) -> None:
    say(f"! {data}")


async def main() -> None:
    print(await send_mail(to="ada@example.org", subject="Welcome", body="Hello").dispatch())
    print(await send_mail(to="ada@example.org", subject="Reminder", body="Still there?").delay(60).dispatch())
    print(await send_mail("ada@example.org", "Chained", "Hello").delay(30).dispatch())
    print(await charge(customer=123, amount=99.99).dispatch())
    print(await report(number=1).dispatch())
    print(await named_driver(data={"key": "value"}).dispatch())


if __name__ == "__main__":
    uvloop.run(main())
