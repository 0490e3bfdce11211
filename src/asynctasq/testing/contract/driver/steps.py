"""The steps that the promises of a driver are made of."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import pytest

from asynctasq.domain.errors import AsyncTasQError
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Settlement, Verdict
from asynctasq.ports.driver import Enqueued, EnqueueStatus, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import Contract

_T = TypeVar("_T")

HOLD = 60.0
"""Seconds of a lease that is not meant to end: longer than any test."""

WAIT = 10.0
"""Seconds that a claim may wait where its wait is meant to be ended early."""

PROMPT = 2.5
"""Seconds within which something prompt has happened: far above what a crowded machine takes, and below the five seconds
after which a claim that missed its wake-up looks again."""

QUIET = 0.05
"""Seconds in which what must not come would have come."""


class Harness:
    """What the suite may do to a broker behind the driver's back. Override what your broker allows.

    Attributes:
        unit: seconds that a test lets pass at a time. Short here, because they really pass; an hour where `age` shifts
            stored times instead. At least twice the driver's `delay_resolution`.
    """

    unit: float = 0.5

    async def age(self, seconds: float) -> None:
        """Let every delay, lease and age that the broker has stored advance by `seconds`."""
        await asyncio.sleep(seconds)

    @contextmanager
    def wrong_clock(self, ahead: float) -> Generator[None, None, None]:
        """This process' clock, `time.time` and `time.time_ns`, goes `ahead` seconds before the broker's.

        A broker that lives in this process follows it. One whose clock is partly this process' and partly the machine's cannot be
        told apart from its producers: let it override this with nothing.
        """
        seconds, nanoseconds = time.time, time.time_ns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: seconds() + ahead)
            patch.setattr(time, "time_ns", lambda: nanoseconds() + round(ahead * 1e9))
            yield

    async def spoil(self, queue: str) -> bool:  # noqa: ARG002 - for whoever can
        """Make a queue unusable that nothing has been in. False where this broker can have no such queue."""
        return False

    async def reopen(self, driver: QueueDriver) -> QueueDriver:
        """Let go of everything that `driver` holds open, and give a connected driver of the same broker."""
        await driver.close()
        fresh = driver.sibling()
        await fresh.connect()
        return fresh


class DriverPromises(Contract):
    """What the groups of promises share: the fixtures. `driver` is the only one that a third party must write."""

    subject = "driver"

    @pytest.fixture
    def driver(self) -> QueueDriver:
        """A connected driver, closed after the test."""
        raise NotImplementedError(
            f"{type(self).__qualname__} has no fixture `driver`: give a connected driver, close it after"
        )

    @pytest.fixture
    def harness(self) -> Harness:
        """What may be done behind the driver's back; nothing, unless overridden."""
        return Harness()

    @pytest.fixture
    def queue(self) -> str:
        """A queue of this test's own, so that brokers can be shared and tests run side by side."""
        return new_queue()

    def declares(self, subject: QueueDriver, capability: str | type) -> bool:
        """A timed lease is a declared one; everything else as usual."""
        if capability == "lease":
            return subject.capabilities.lease == "timed"
        return super().declares(subject, capability)


def new_queue() -> str:
    """A queue name that nobody else uses."""
    return f"contract-{uuid.uuid4().hex}"


def message(
    queue: str,
    body: bytes = b"body",
    *,
    id: str | None = None,
    delay: float = 0.0,
    priority: int = 0,
    unique_key: str | None = None,
    unique_for: float | None = None,
    group: str | None = None,
) -> Message:
    """A message with an id of its own."""
    return Message(
        id=id or str(uuid.uuid4()),
        queue=queue,
        body=body,
        delay=delay,
        priority=priority,
        unique_key=unique_key,
        unique_for=unique_for,
        group=group,
    )


async def put(driver: QueueDriver, *messages: Message) -> None:
    """Enqueue messages that are new."""
    answers = await driver.enqueue(messages)
    assert [(a.status, a.id) for a in answers] == [(EnqueueStatus.CREATED, m.id) for m in messages]


async def take(
    driver: QueueDriver, *queues: str, limit: int = 10, lease: float = HOLD, wait: float = 0.0
) -> Sequence[Claim]:
    """Claim once."""
    return await driver.claim(queues, limit=limit, lease=lease, wait=wait, worker="contract")


async def take_one(driver: QueueDriver, *queues: str, lease: float = HOLD) -> Claim:
    """Claim the one message that is due, now."""
    patience = PROMPT + driver.capabilities.delay_resolution
    claims = await within(patience, take(driver, *queues, lease=lease, wait=WAIT))
    assert len(claims) == 1, f"expected one claim, got {ids(claims)}"
    return claims[0]


async def take_all(driver: QueueDriver, *queues: str, count: int, lease: float = HOLD) -> list[Claim]:
    """Claim until `count` messages have come; they are due, or soon will be."""
    claims: list[Claim] = []
    deadline = asyncio.get_running_loop().time() + WAIT
    while len(claims) < count and asyncio.get_running_loop().time() < deadline:
        claims += await take(driver, *queues, limit=count - len(claims), lease=lease, wait=0.25)
    assert len(claims) == count, f"expected {count} claims within {WAIT} s, got {len(claims)}"
    return claims


async def take_nothing(driver: QueueDriver, *queues: str) -> None:
    """Claim, and get nothing."""
    claims = await take(driver, *queues, wait=QUIET)
    assert not claims, f"expected nothing to claim, got {claims}"


async def settle(driver: QueueDriver, claim: Claim, verdict: Verdict) -> SettleStatus:
    """Settle one claim."""
    (answer,) = await driver.settle([Settlement(claim=claim, verdict=verdict)])
    return answer.status


def ids(items: Iterable[Message | Claim]) -> list[str]:
    """The ids of messages or claims, in order."""
    return [item.message.id if isinstance(item, Claim) else item.id for item in items]


def assert_refused(answer: Enqueued, error: type[AsyncTasQError]) -> None:
    """The answer FAILED with `error`, which says something."""
    assert answer.status is EnqueueStatus.FAILED
    assert isinstance(answer.error, error), f"expected {error.__name__}, got {answer.error!r}"
    assert str(answer.error)


async def within(seconds: float, work: Awaitable[_T]) -> _T:
    """The result of `work`, which is there within `seconds`."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise AssertionError(f"it took more than {seconds} s") from None


@asynccontextmanager
async def sibling_of(driver: QueueDriver) -> AsyncGenerator[QueueDriver, None]:
    """A second, connected driver of the same broker."""
    sibling = driver.sibling()
    await sibling.connect()
    try:
        yield sibling
    finally:
        await sibling.close()
