"""Tasks as a shop has them, with the arguments that such tasks take: each prints them as it got them."""

import asyncio
import os
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, List, Optional  # noqa: UP035 -- as people write it

import asynctasq
from asynctasq.tasks import current_task, task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="mail", max_attempts=5, retry_delay=60, timeout=30)
async def send_mail(to: str, subject: str, body: str, sender: Optional[str] = None) -> dict[str, str]:  # noqa: UP045
    say(f"mail {to!r} {subject!r} {body!r} {sender!r}")
    return {"status": "sent", "to": to}


@task(queue="money", max_attempts=10, retry_delay=30, timeout=60)
async def charge(customer: int, amount: Decimal, method: str, order: int) -> dict[str, object]:
    say(f"charge {customer!r} {amount!r} {method!r} {order!r}")
    return {"status": "completed", "order": order}


@task(queue="reports", timeout=3600)
def report(kind: str, start: datetime, end: datetime, customer: int) -> dict[str, object]:
    say(f"report {kind!r} {start!r} {end!r} {(end - start)!r}")
    return {"kind": kind, "customer": customer}


@task(queue="images", max_attempts=3, timeout=300)
async def develop(source: str, steps: list[str], target: str) -> dict[str, object]:
    say(f"develop {source!r} {steps!r} {target!r}")
    return {"target": target, "steps": steps}


@task(queue="hooks", max_attempts=5, retry_delay=0, timeout=10)
async def deliver(port: int, payload: dict[str, Any], headers: dict[str, str]) -> None:
    """Nobody listens there. Noted and raised again, it is tried again."""
    try:
        await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        say(f"deliver {current_task().attempt} {payload!r} {headers!r} {type(error).__name__}")
        raise


@task(queue="sync", max_attempts=3, retry_delay=300)
async def copy_customer(customer: int, source: str, target: str) -> dict[str, object]:
    say(f"copy {customer} from {source} to {target}")
    return {"copied": True}


@task(queue="batch", timeout=1800)
async def import_rows(rows: List[dict[str, Any]], batch: str) -> dict[str, object]:  # noqa: UP006
    done = [await import_row(row) for row in rows]
    say(f"batch {batch} {done!r}")
    return {"batch": batch, "imported": len(done)}


async def import_row(row: dict[str, Any]) -> object:
    await asyncio.sleep(0)
    return row.get("id")


async def main() -> None:
    await send_mail(to="ada@example.org", subject="Welcome!", body="Good to have you").dispatch()
    await send_mail(to="new@example.org", subject="First steps", body="...").delay(3600).dispatch()
    await charge(customer=1, amount=Decimal("99.90"), method="card", order=456).dispatch()
    end = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001 -- what it has not is not added on the way
    await report(kind="sales", start=end - timedelta(days=30), end=end, customer=1).dispatch()
    await develop(source="/in/photo.jpg", steps=["crop", "sign"], target="/out/photo.jpg").dispatch()
    await deliver(port=1, payload={"event": "joined", "n": 1}, headers={"X-Key": "k"}).dispatch()
    await copy_customer(customer=1, source="crm", target="billing").delay(300).dispatch()
    await import_rows(rows=[{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], batch="2026-01").dispatch()


if __name__ == "__main__":
    uv_run(main())
