"""Tasks for workers that will be killed. Each run appends its line to the file `LEDGER`, with one write."""

from __future__ import annotations

import asyncio
import os

from asynctasq import current_task, task


def write(word: str) -> None:
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(ledger, f"{word} {current_task().id} {current_task().attempt}\n".encode())
    os.close(ledger)


@task(max_attempts=50, retry_delay=0)
async def work(number: int) -> None:
    write("began")
    await asyncio.sleep(0.02)
    if number % 10 == 0 and current_task().attempt == 1:
        raise LookupError("every tenth fails at first")
    write("ended")
