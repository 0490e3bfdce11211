"""A driver that fails on command: for what no broker can be asked to do at the right moment."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Literal, get_args

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Settlement
from asynctasq.ports.driver import Enqueued, Extended, QueueDriver, QueueStats, Settled

Verb = Literal["connect", "close", "enqueue", "claim", "extend", "settle", "stats"]
When = Literal["before", "after"]


class FaultyDriver(QueueDriver):
    """Any driver, with failures that are planned. Siblings share the plan.

    Args:
        inner: the driver that does the work; reach for it to see what really happened.
    """

    def __init__(self, inner: QueueDriver) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities
        self.location = inner.location
        self._plan: defaultdict[str, deque[tuple[AsyncTasQError, When]]] = defaultdict(deque)

    def fail_next(self, verb: Verb, error: AsyncTasQError, *, when: When = "before", times: int = 1) -> None:
        """Let the next `times` calls of `verb`, behind those already planned, raise `error`.

        Args:
            verb: which of the port's verbs.
            error: one of the port's closed set: `DriverUnavailable` before, `Indeterminate` after is what brokers do.
            when: "before": nothing is applied. "after": all of it is applied, and the reply is lost.
            times: how many calls.

        Raises:
            ConfigurationError: the port has no such verb.
        """
        if verb not in get_args(Verb):
            raise ConfigurationError(f"verb={verb!r}: use one of {', '.join(get_args(Verb))}")
        self._plan[verb].extend(repeat((error, when), times))

    async def connect(self) -> None:
        with self._planned("connect"):
            await self.inner.connect()
            self.capabilities = self.inner.capabilities  # connecting may have made them more precise

    async def close(self) -> None:
        with self._planned("close"):
            await self.inner.close()

    def sibling(self) -> FaultyDriver:
        sibling = FaultyDriver(self.inner.sibling())
        sibling._plan = self._plan
        return sibling

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        with self._planned("enqueue"):
            return await self.inner.enqueue(messages)

    async def claim(
        self, queues: Sequence[str], *, limit: int, lease: float, wait: float, worker: str
    ) -> Sequence[Claim]:
        with self._planned("claim"):
            return await self.inner.claim(queues, limit=limit, lease=lease, wait=wait, worker=worker)

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        with self._planned("extend"):
            return await self.inner.extend(claims, lease=lease)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        with self._planned("settle"):
            return await self.inner.settle(settlements)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        with self._planned("stats"):
            return await self.inner.stats(queues)

    @contextmanager
    def _planned(self, verb: str) -> Generator[None, None, None]:
        error, when = self._plan[verb].popleft() if self._plan[verb] else (None, "before")
        if error is not None and when == "before":
            raise error
        yield
        if error is not None:
            raise error
