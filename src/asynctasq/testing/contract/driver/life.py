"""Promises: connecting, closing, siblings, and the loops and threads they live on."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from asynctasq.domain.errors import DriverClosed, DriverUnavailable
from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.ports.driver import DeadLetters, Inspector, Purgeable, QueueDriver, SettleStatus
from asynctasq.ports.examination import Examinable
from asynctasq.ports.search import Searchable
from asynctasq.testing.contract.base import requires
from asynctasq.testing.contract.driver.steps import (
    HOLD,
    PROMPT,
    WAIT,
    DriverPromises,
    Harness,
    ids,
    message,
    put,
    settle,
    sibling_of,
    take,
    take_one,
    within,
)


class Life(DriverPromises):
    """A driver can be opened, closed and multiplied."""

    async def test_connecting_twice_is_harmless(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await driver.connect()
        await take_one(driver, queue)

    async def test_closing_twice_is_harmless(self, driver: QueueDriver) -> None:
        sibling = driver.sibling()
        await sibling.close()
        await sibling.connect()
        await sibling.close()
        await sibling.close()

    async def test_a_sibling_is_a_description_until_it_is_connected(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        await _assert_every_verb_says_closed(driver.sibling(), queue, claim)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE

    async def test_a_closed_driver_says_so(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        async with sibling_of(driver) as sibling:
            claim = await take_one(sibling, queue)
        await _assert_every_verb_says_closed(sibling, queue, claim)

    async def test_a_closed_driver_can_be_connected_again(self, driver: QueueDriver, queue: str) -> None:
        async with sibling_of(driver) as sibling:
            await sibling.close()
            await sibling.connect()
            await put(sibling, message(queue))
            await take_one(sibling, queue)

    async def test_closing_a_sibling_leaves_the_others_alone(self, driver: QueueDriver, queue: str) -> None:
        async with sibling_of(driver) as sibling:
            await put(sibling, message(queue))
            claim = await take_one(sibling, queue)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE
        await put(driver, message(queue))
        await take_one(driver, queue)

    async def test_closing_ends_a_claim_that_waits(self, driver: QueueDriver, queue: str) -> None:
        async with sibling_of(driver) as sibling:
            waiting = asyncio.create_task(take(sibling, queue, wait=WAIT))
            await asyncio.sleep(0.3)  # so that the claim is waiting by then
            await sibling.close()
            with suppress(DriverUnavailable):  # to say so is as good as to answer empty
                assert list(await within(PROMPT, waiting)) == []

    @requires("durable")
    async def test_what_was_enqueued_survives_a_reopening(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        sent = message(queue, b"durable")
        await put(driver, sent)
        reopened = await harness.reopen(driver)
        try:
            claim = await take_one(reopened, queue)
            assert (claim.message.id, claim.message.body) == (sent.id, b"durable")
        finally:
            await reopened.close()

    async def test_siblings_work_side_by_side_on_loops_of_their_own(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue) for _ in range(200)]
        await put(driver, *batch)

        async def work(sibling: QueueDriver) -> list[str]:
            mine: list[str] = []
            await sibling.connect()
            while claims := await take(sibling, queue, limit=9, wait=0.25):
                await sibling.settle([Settlement(claim=claim, verdict=ACK) for claim in claims])
                mine += ids(claims)
            await sibling.close()
            return mine

        def elsewhere(sibling: QueueDriver) -> list[str]:
            return asyncio.run(work(sibling))

        threads = [asyncio.to_thread(elsewhere, driver.sibling()) for _ in range(2)]
        shares = await asyncio.gather(*threads)
        assert Counter(id for share in shares for id in share) == Counter(ids(batch))


async def _assert_every_verb_says_closed(driver: QueueDriver, queue: str, claim: Claim) -> None:
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "enqueue": lambda: driver.enqueue([message(queue)]),
        "claim": lambda: take(driver, queue),
        "extend": lambda: driver.extend([claim], lease=HOLD),
        "settle": lambda: driver.settle([Settlement(claim=claim, verdict=ACK)]),
        "stats": lambda: driver.stats([queue]),
    }
    if isinstance(driver, DeadLetters):
        verbs |= {
            "list_dead": lambda: driver.list_dead(queue, limit=1),
            "get_dead": lambda: driver.get_dead(["id"]),
            "requeue_dead": lambda: driver.requeue_dead(["id"]),
            "purge_dead": lambda: driver.purge_dead(["id"]),
        }
    if isinstance(driver, Inspector):
        verbs["queues"] = driver.queues
    if isinstance(driver, Purgeable):
        verbs["purge"] = lambda: driver.purge(queue)
    if isinstance(driver, Examinable):
        verbs |= {"examine": driver.examine, "clock": driver.clock}
    if isinstance(driver, Searchable):
        verbs["find"] = lambda: driver.find(["id"])
    open_verbs = [name for name, verb in verbs.items() if not await _says_closed(verb)]
    assert open_verbs == [], f"verbs that did not raise DriverClosed: {open_verbs}"


async def _says_closed(verb: Callable[[], Awaitable[object]]) -> bool:
    try:
        await verb()
    except DriverClosed as closed:
        return bool(str(closed))
    return False
