"""Dispatch: few round trips, each caller its own answer, bad news for whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asynctasq.app import dispatch
from asynctasq.app.dispatch import BATCH, Dispatcher, id_of
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, Indeterminate, InvalidName
from asynctasq.domain.message import Message
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.ports.driver import Enqueued
from asynctasq.testing.faults import FaultyDriver, Verb

pytestmark = pytest.mark.asyncio


class CountingDriver(MemoryDriver):
    """A memory driver that notes the size of each enqueue."""

    batches: list[int]

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        self.batches = [*getattr(self, "batches", []), len(messages)]
        return await super().enqueue(messages)


def message(n: int, queue: str = "q") -> Message:
    return Message(id=f"m{n}", queue=queue, body=b"x")


async def test_a_thousand_gathered_dispatches_are_one_round_trip() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)

    async def dispatch(n: int) -> str:
        return id_of(await dispatcher.send(message(n)))

    ids = await asyncio.gather(*(dispatch(n) for n in range(BATCH)))
    assert ids == [f"m{n}" for n in range(BATCH)]
    assert driver.batches == [BATCH]


async def test_what_is_dispatched_while_one_enqueue_is_in_flight_goes_together_in_the_next() -> None:
    gate = asyncio.Event()
    entered = asyncio.Event()

    class GatedDriver(CountingDriver):
        async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
            entered.set()
            await gate.wait()
            return await super().enqueue(messages)

    driver = GatedDriver()
    dispatcher = Dispatcher(driver)
    first = dispatcher.send(message(0))
    await entered.wait()
    later = [dispatcher.send(message(n)) for n in range(1, 51)]
    gate.set()
    await asyncio.gather(first, *later)
    assert driver.batches == [1, 50]


async def test_a_burst_beyond_the_batch_limit_is_cut() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)
    await asyncio.gather(*(dispatcher.send(message(n)) for n in range(2 * BATCH + 1)))
    assert driver.batches == [BATCH, BATCH, 1]


async def test_a_cancelled_caller_cancels_nobody_else_and_not_its_own_message() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send(message(n)) for n in range(3)]
    answers[1].cancel()
    assert id_of(await answers[0]) == "m0"
    assert id_of(await answers[2]) == "m2"
    assert [claim.message.id for claim in await driver.claim(["q"], limit=9, lease=9, wait=0, worker="w")] == [
        "m0",
        "m1",
        "m2",
    ]


async def test_a_refused_message_fails_its_own_caller_alone() -> None:
    dispatcher = Dispatcher(MemoryDriver())
    good, bad = dispatcher.send(message(1)), dispatcher.send(message(2, queue="not a name"))
    assert id_of(await good) == "m1"
    with pytest.raises(InvalidName):
        id_of(await bad)


async def test_an_unreachable_broker_fails_every_caller_with_an_error_of_its_own() -> None:
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next("enqueue", DriverUnavailable("nobody home"))
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send(message(n)) for n in range(3)]
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [str(error) for error in errors] == ["nobody home"] * 3
    assert len({id(error) for error in errors}) == 3
    assert id_of(await dispatcher.send(message(4))) == "m4"


@pytest.mark.parametrize("verb", ["connect", "enqueue"])
async def test_a_broker_that_can_never_be_used_fails_every_caller_too(verb: Verb) -> None:
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next(verb, ConfigurationError("no tables"))
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send(message(n)) for n in range(3)]
    async with asyncio.timeout(5):
        errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ConfigurationError, "no tables")] * 3
    assert id_of(await dispatcher.send(message(4))) == "m4"


async def test_a_driver_that_raises_what_no_driver_may_leaves_nobody_waiting() -> None:
    class Careless(MemoryDriver):
        async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
            raise ZeroDivisionError

    dispatcher = Dispatcher(Careless())
    answers = [dispatcher.send(message(n)) for n in range(3)]
    async with asyncio.timeout(5):
        errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 3


async def test_an_enqueue_of_unknown_outcome_is_sent_again_under_the_same_id() -> None:
    memory = MemoryDriver()
    driver = FaultyDriver(memory)
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    dispatcher = Dispatcher(driver)
    assert id_of(await dispatcher.send(message(1))) == "m1"
    assert [stats.ready for stats in await memory.stats(["q"])] == [1]


async def test_an_outcome_that_stays_unknown_is_told() -> None:
    driver = FaultyDriver(MemoryDriver())
    for _ in range(3):
        driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send(message(1))


async def test_a_broker_that_goes_away_after_an_unknown_outcome_makes_it_no_better_known() -> None:
    memory = MemoryDriver()
    driver = FaultyDriver(memory)
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    driver.fail_next("enqueue", DriverUnavailable("nobody home"))
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send(message(1))
    assert [stats.ready for stats in await memory.stats(["q"])] == [1]


async def test_what_is_unknown_for_longer_than_a_caller_shall_wait_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "SENT_AGAIN_FOR", -1.0)
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send(message(1))
