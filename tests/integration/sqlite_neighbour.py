"""Another process at the same queue file, and what the tests of the SQLite driver say to it."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

from asynctasq.domain.message import Claim, Message
from asynctasq.ports.driver import QueueDriver

QUEUE = "default"


class Neighbour:
    """A Python program in a process of its own, that prints and reads lines."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def run(self) -> str:
        """Everything that it prints, until it ends well."""
        out, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return out.strip()


def message(id: str, body: bytes = b"body", *, delay: float = 0.0) -> Message:
    return Message(id=id, queue=QUEUE, body=body, delay=delay)


async def put(driver: QueueDriver, *ids: str) -> None:
    answers = await driver.enqueue([message(id) for id in ids])
    assert [answer.status.name for answer in answers] == ["CREATED"] * len(ids)


async def take(driver: QueueDriver, *, limit: int = 100, wait: float = 0.0) -> list[Claim]:
    return list(await driver.claim([QUEUE], limit=limit, lease=30.0, wait=wait, worker="test"))


async def take_ids(driver: QueueDriver) -> list[str]:
    return [claim.message.id for claim in await take(driver)]
