"""A MySQL claimer with much to do goes on where its last claim ended, and passes over nothing for long."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.services import mariadb

from asynctasq.adapters.drivers.mysql import driver as module
from asynctasq.adapters.drivers.mysql import flow
from asynctasq.domain.message import Message
from asynctasq.drivers.mysql_driver import MySQLDriver

pytestmark = pytest.mark.asyncio

MANY = flow.MANY


class Queue:
    """A queue of its own, of which a message can become due before all others, as one does whose enqueue is committed late."""

    def __init__(self, url: str) -> None:
        self._url, self._prefix = url, f"t{uuid4().hex[:12]}_"
        self.driver = MySQLDriver(url, table_prefix=self._prefix)

    async def fill(self, count: int) -> None:
        await self.driver.enqueue([Message(id=str(n), queue="q", body=b"") for n in range(count)])

    async def claim(self, limit: int) -> Sequence[str]:
        claims = await self.driver.claim(["q"], limit=limit, lease=60, wait=0, worker="w")
        return [claim.message.id for claim in claims]

    def make_first(self, id: str) -> None:
        mariadb.execute(self._url, f"UPDATE {self._prefix}message SET visible_at = 1 WHERE id = '{id}'")


@pytest_asyncio.fixture
async def queue(mysql_url: str) -> AsyncGenerator[Queue]:
    queue = Queue(mysql_url)
    await queue.driver.install()
    await queue.driver.connect()
    yield queue
    await queue.driver.close()


def ids(first: int, end: int) -> list[str]:
    return [str(n) for n in range(first, end)]


async def test_a_claim_goes_on_where_the_last_one_filled_up_and_what_it_passed_over_comes_when_one_does_not(
    queue: Queue,
) -> None:
    await queue.fill(3 * MANY)
    assert await queue.claim(MANY) == ids(0, MANY)
    late = str(3 * MANY - 1)
    queue.make_first(late)
    assert await queue.claim(MANY) == ids(MANY, 2 * MANY)
    assert await queue.claim(MANY) == ids(2 * MANY, 3 * MANY - 1)
    assert await queue.claim(MANY) == [late]


async def test_all_is_looked_at_again_after_a_while_however_the_queue_flows(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKS_BACK", 0.0)
    await queue.fill(3 * MANY)
    assert await queue.claim(MANY) == ids(0, MANY)
    late = str(3 * MANY - 1)
    queue.make_first(late)
    assert await queue.claim(MANY) == [late, *ids(MANY, 2 * MANY - 1)]


async def test_going_on_does_not_put_off_the_next_look_at_all(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[float] = []

    class Noted(flow.Flow):
        def first(self, limit: int, now: float) -> int:
            ends.append(self.until)
            return super().first(limit, now)

    monkeypatch.setattr(flow, "Flow", Noted)
    monkeypatch.setattr(module, "LOOKS_BACK", 60.0)  # not within this test
    await queue.fill(4 * MANY)
    for _ in range(4):
        await queue.claim(MANY)
    assert len(ends) == 3
    assert len(set(ends)) == 1


async def test_a_claim_of_few_keeps_the_order_to_the_letter(queue: Queue) -> None:
    await queue.fill(3 * MANY)
    assert await queue.claim(MANY) == ids(0, MANY)
    late = str(3 * MANY - 1)
    queue.make_first(late)
    assert await queue.claim(MANY - 1) == [late, *ids(MANY, 2 * MANY - 2)]
