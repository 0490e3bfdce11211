"""Dispatch: few round trips, each caller its own answer, bad news for whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asynctasq.app import dispatch
from asynctasq.app.bootstrap import App
from asynctasq.app.dispatch import BATCH, Dispatcher, id_of
from asynctasq.app.registry import Registry
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, Indeterminate, InvalidName, PartlyDispatched
from asynctasq.domain.message import Message
from asynctasq.domain.task import ExecutionMode
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


class FadingDriver(CountingDriver):
    """A driver that loses its broker for the second enqueue."""

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        answers = await super().enqueue(messages)
        if len(self.batches) == 2:
            raise DriverUnavailable("nobody home")
        return answers


def only_id(answer: Sequence[Enqueued]) -> str:
    (result,) = answer
    return id_of(result)


def message(n: int, queue: str = "q") -> Message:
    return Message(id=f"m{n}", queue=queue, body=b"x")


async def test_a_thousand_gathered_dispatches_are_one_round_trip() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)

    async def dispatch(n: int) -> str:
        return only_id(await dispatcher.send([message(n)]))

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
    first = dispatcher.send([message(0)])
    await entered.wait()
    later = [dispatcher.send([message(n)]) for n in range(1, 51)]
    gate.set()
    await asyncio.gather(first, *later)
    assert driver.batches == [1, 50]


async def test_a_burst_beyond_the_batch_limit_is_cut() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)
    await asyncio.gather(*(dispatcher.send([message(n)]) for n in range(2 * BATCH + 1)))
    assert driver.batches == [BATCH, BATCH, 1]


async def test_batches_that_would_be_too_large_together_go_one_by_one() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)
    sizes = [BATCH - 1, 1, 1, BATCH]
    names = iter(range(sum(sizes)))
    answers = await asyncio.gather(*(dispatcher.send([message(next(names)) for _ in range(size)]) for size in sizes))
    assert [[result.id for result in answer] for answer in answers] == [
        [f"m{n}" for n in range(BATCH - 1)],
        [f"m{BATCH - 1}"],
        [f"m{BATCH}"],
        [f"m{n}" for n in range(BATCH + 1, 2 * BATCH + 1)],
    ]
    assert driver.batches == [BATCH, 1, BATCH]


async def test_what_was_sent_before_the_broker_went_away_is_told_from_what_was_not() -> None:
    dispatcher = Dispatcher(FadingDriver())
    results = await dispatcher.send_all([message(n) for n in range(2 * BATCH + 1)])
    assert [type(result) for result in results[BATCH : 2 * BATCH]] == [DriverUnavailable] * BATCH
    assert [*results[:BATCH], *results[2 * BATCH :]] == [f"m{n}" for n in (*range(BATCH), 2 * BATCH)]


async def test_many_calls_of_which_some_could_not_be_sent_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "BATCH", 2)
    app = App(load_settings(environ={}), registry=Registry())

    async def work(n: int) -> None: ...

    task = TaskFunction(work, name="t:work", named=True, options={"driver": FadingDriver()}, mode=ExecutionMode.ASYNC)
    app.registry.add(task)
    with pytest.raises(PartlyDispatched, match="2 of 5 calls failed, the others are queued: nobody home") as caught:
        await app.dispatch_many([task(n) for n in range(5)])
    assert [type(result) for result in caught.value.results] == [str, str, DriverUnavailable, DriverUnavailable, str]


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([DriverUnavailable("nobody home")] * 2, DriverUnavailable),
        ([DriverUnavailable("nobody home"), Indeterminate("the reply was lost")], Indeterminate),
    ],
)
async def test_many_calls_of_which_none_was_sent_fail_as_one(
    monkeypatch: pytest.MonkeyPatch, errors: list[DriverUnavailable | Indeterminate], told: type[Exception]
) -> None:
    monkeypatch.setattr(dispatch, "BATCH", 2)
    monkeypatch.setattr(dispatch, "SENDINGS", 1)
    app = App(load_settings(environ={}), registry=Registry())
    driver = FaultyDriver(MemoryDriver())
    for error in errors:
        driver.fail_next("enqueue", error)

    async def work(n: int) -> None: ...

    task = TaskFunction(work, name="t:work", named=True, options={"driver": driver}, mode=ExecutionMode.ASYNC)
    app.registry.add(task)
    with pytest.raises(told):
        await app.dispatch_many([task(n) for n in range(4)])


async def test_a_cancelled_caller_cancels_nobody_else_and_not_its_own_message() -> None:
    driver = CountingDriver()
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send([message(n)]) for n in range(3)]
    answers[1].cancel()
    assert only_id(await answers[0]) == "m0"
    assert only_id(await answers[2]) == "m2"
    assert [claim.message.id for claim in await driver.claim(["q"], limit=9, lease=9, wait=0, worker="w")] == [
        "m0",
        "m1",
        "m2",
    ]


async def test_a_refused_message_fails_its_own_caller_alone() -> None:
    dispatcher = Dispatcher(MemoryDriver())
    good, bad = dispatcher.send([message(1)]), dispatcher.send([message(2, queue="not a name")])
    assert only_id(await good) == "m1"
    with pytest.raises(InvalidName):
        only_id(await bad)


async def test_an_unreachable_broker_fails_every_caller_with_an_error_of_its_own() -> None:
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next("enqueue", DriverUnavailable("nobody home"))
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send([message(n)]) for n in range(3)]
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [str(error) for error in errors] == ["nobody home"] * 3
    assert len({id(error) for error in errors}) == 3
    assert only_id(await dispatcher.send([message(4)])) == "m4"


@pytest.mark.parametrize("verb", ["connect", "enqueue"])
async def test_a_broker_that_can_never_be_used_fails_every_caller_too(verb: Verb) -> None:
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next(verb, ConfigurationError("no tables"))
    dispatcher = Dispatcher(driver)
    answers = [dispatcher.send([message(n)]) for n in range(3)]
    async with asyncio.timeout(5):
        errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ConfigurationError, "no tables")] * 3
    assert only_id(await dispatcher.send([message(4)])) == "m4"


async def test_a_driver_that_raises_what_no_driver_may_leaves_nobody_waiting() -> None:
    class Careless(MemoryDriver):
        async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
            raise ZeroDivisionError

    dispatcher = Dispatcher(Careless())
    answers = [dispatcher.send([message(n)]) for n in range(3)]
    async with asyncio.timeout(5):
        errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 3


async def test_an_enqueue_of_unknown_outcome_is_sent_again_under_the_same_id() -> None:
    memory = MemoryDriver()
    driver = FaultyDriver(memory)
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    dispatcher = Dispatcher(driver)
    assert only_id(await dispatcher.send([message(1)])) == "m1"
    assert [stats.ready for stats in await memory.stats(["q"])] == [1]


async def test_an_outcome_that_stays_unknown_is_told() -> None:
    driver = FaultyDriver(MemoryDriver())
    for _ in range(3):
        driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send([message(1)])


async def test_a_broker_that_goes_away_after_an_unknown_outcome_makes_it_no_better_known() -> None:
    memory = MemoryDriver()
    driver = FaultyDriver(memory)
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    driver.fail_next("enqueue", DriverUnavailable("nobody home"))
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send([message(1)])
    assert [stats.ready for stats in await memory.stats(["q"])] == [1]


async def test_what_is_unknown_for_longer_than_a_caller_shall_wait_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "SENT_AGAIN_FOR", -1.0)
    driver = FaultyDriver(MemoryDriver())
    driver.fail_next("enqueue", Indeterminate("the reply was lost"), when="after")
    with pytest.raises(Indeterminate, match="the reply was lost"):
        await Dispatcher(driver).send([message(1)])
