"""How a task's own word, and the types of its errors, decide what becomes of it: on virtual time."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.unit.app.bench import Bench
from tests.virtual_time import now, run_virtually

from asynctasq import Discard, RetryLater, Snooze, current_task
from asynctasq.domain.failure import FailedElsewhere, Failure
from asynctasq.domain.steering import Course, Steering
from asynctasq.domain.verdict import Release, Retry, Settlement
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.ports.driver import DeadMessage, Settled


class Unrefunding(MemoryDriver):
    """Gives no attempt back, and says so."""

    def __init__(self, **clocks: Any) -> None:
        super().__init__(**clocks)
        self.capabilities = replace(self.capabilities, refunds_release=False)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return await super().settle([self._spending(each) for each in settlements])

    def _spending(self, settlement: Settlement) -> Settlement:
        match settlement.verdict:
            case Release(delay=delay):
                return replace(settlement, verdict=Retry(delay=delay, error=""))
            case _:
                return settlement


@dataclass
class Outcome:
    """What a task did that raised one thing after another, None for an attempt that went well."""

    gaps: list[float] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    dead: list[DeadMessage] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def outcome(
    *raised: BaseException | None, memory: type[MemoryDriver] = MemoryDriver, after: float | None = None, **options: Any
) -> Outcome:
    """Dispatch it, and serve it for an hour. The last thing that it raises is raised for ever."""

    async def scenario() -> Outcome:
        bench, seen, started = Bench(memory=memory), Outcome(), list[float]()

        async def act() -> None:
            started.append(now())
            seen.attempts.append(current_task().attempt)
            error = raised[min(len(started), len(raised)) - 1]
            if error is not None:
                raise error

        pending = bench.task(act, **options)()
        await bench.dispatch(pending if after is None else pending.retry_after(after))
        async with bench.working() as worker:
            await asyncio.sleep(3_600)
            assert await bench.ready() == (0, 0, 0), "an hour is not enough"
        seen.gaps = [later - earlier for earlier, later in itertools.pairwise(started)]
        seen.dead = await bench.dead()
        seen.counts = dict(worker.counts)
        return seen

    return run_virtually(scenario())


def seconds(*gaps: float) -> Any:
    return pytest.approx(list(gaps), abs=0.1)


def test_a_backoff_lengthens_each_delay_up_to_its_cap() -> None:
    seen = outcome(ValueError(), max_attempts=6, retry_delay=10, backoff=2, max_retry_delay=50)
    assert seen.gaps == seconds(10, 20, 40, 50, 50)


def test_a_backoff_begins_at_the_delay_of_the_dispatch() -> None:
    assert outcome(ValueError(), max_attempts=4, retry_delay=99, backoff=3, after=5).gaps == seconds(5, 15, 45)


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({"retry_on": LookupError}, 3),
        ({"retry_on": KeyError}, 3),
        ({"retry_on": OSError}, 1),
        ({"no_retry_on": LookupError}, 1),
        ({"retry_on": LookupError, "no_retry_on": KeyError}, 1),
        ({"retry_on": KeyError, "no_retry_on": (LookupError, OSError)}, 3),
    ],
)
def test_the_types_of_an_error_decide_whether_it_is_retried(options: dict[str, Any], runs: int) -> None:
    seen = outcome(KeyError("x"), max_attempts=3, **options)
    assert seen.attempts == list(range(1, runs + 1))
    (dead,) = seen.dead
    assert dead.reason == (
        "failed on attempt 3 of 3" if runs == 3 else "failed on attempt 1 of 3: KeyError is not retried"
    )
    assert "KeyError: 'x'" in dead.error


def test_a_timeout_is_an_error_like_any_other() -> None:
    async def scenario() -> str:
        bench = Bench()

        async def hang() -> None:
            await asyncio.sleep(1_000)

        await bench.dispatch(bench.task(hang, timeout=5, no_retry_on=TimeoutError)())
        await bench.drain()
        (dead,) = await bench.dead()
        return dead.reason

    assert run_virtually(scenario()) == "failed on attempt 1 of 3: TaskTimeout is not retried"


def test_run_later_is_retried_after_the_tasks_own_delay_whatever_else_is_retried() -> None:
    seen = outcome(RetryLater(7), RetryLater(), None, retry_delay=60, retry_on=OSError)
    assert (seen.attempts, seen.gaps) == ([1, 2, 3], seconds(7, 60))
    assert seen.counts == {"Retry": 2, "Ack": 1}
    assert seen.dead == []


@pytest.mark.parametrize("max_attempts", [0, 1, 2])
def test_run_later_on_the_last_attempt_is_a_dead_letter_with_its_reason_and_where_it_was_raised(
    max_attempts: int,
) -> None:
    seen = outcome(RetryLater(7, "the bank is busy"), max_attempts=max_attempts)
    runs = max(1, max_attempts)
    assert seen.attempts == list(range(1, runs + 1))
    (dead,) = seen.dead
    assert dead.reason == f"failed on attempt {runs} of {runs}: the bank is busy"
    assert "RetryLater: the bank is busy" in dead.error
    assert "in act" in dead.error


def test_a_discarded_task_is_forgotten_and_counted_as_what_it_is() -> None:
    seen = outcome(Discard("obsolete"))
    assert (seen.attempts, seen.dead, seen.counts) == ([1], [], {"Discard": 1})


@pytest.mark.parametrize("max_attempts", [0, 1, 3])
def test_a_snooze_spends_no_attempt_however_often(max_attempts: int) -> None:
    seen = outcome(*[Snooze(30)] * 5, None, max_attempts=max_attempts, retry_delay=1)
    assert (seen.attempts, seen.gaps) == ([1] * 6, seconds(*[30] * 5))
    assert (seen.dead, seen.counts) == ([], {"Release": 5, "Ack": 1})


def test_where_no_attempt_can_be_given_back_a_snooze_spends_it_and_the_last_is_a_dead_letter_that_says_so() -> None:
    seen = outcome(Snooze(30), memory=Unrefunding, max_attempts=3)
    assert (seen.attempts, seen.gaps) == ([1, 2, 3], seconds(30, 30))
    (dead,) = seen.dead
    assert dead.reason == "failed on attempt 3 of 3: snoozed, and this driver gives no attempt back"


def test_a_delay_that_is_none_fails_the_attempt_and_names_itself() -> None:
    async def scenario() -> str:
        bench = Bench()

        async def confused() -> None:
            raise Snooze("soon")  # type: ignore[arg-type] -- that is the test

        await bench.dispatch(bench.task(confused, max_attempts=1)())
        await bench.drain()
        (dead,) = await bench.dead()
        return dead.error

    assert "ConfigurationError: Snooze delay='soon': use a number of seconds" in run_virtually(scenario())


@pytest.mark.parametrize(
    ("kinds", "steering", "reason"),
    [
        (("shop:Closed", "builtins:LookupError"), None, "failed on attempt 1 of 3: Closed is not retried"),
        (("shop:Busy",), Steering(course=Course.DISCARD), None),
    ],
)
def test_an_error_that_stayed_in_another_process_is_decided_from_its_description(
    kinds: tuple[str, ...], steering: Steering | None, reason: str | None
) -> None:
    described = FailedElsewhere(Failure(kinds=kinds, text="Traceback: there", steering=steering))
    seen = outcome(described, no_retry_on=LookupError)
    assert seen.attempts == [1]
    assert [(dead.reason, dead.error) for dead in seen.dead] == ([(reason, "Traceback: there")] if reason else [])


@pytest.mark.parametrize(
    ("raised", "level", "said"),
    [
        (RetryLater(9, "busy"), logging.WARNING, "failed on attempt 1 of 2, retry in 9 s: RetryLater, busy"),
        (Discard("obsolete"), logging.INFO, "was discarded on attempt 1 of 2: obsolete"),
        (Discard(), logging.INFO, "was discarded on attempt 1 of 2"),
        (Snooze(9), logging.DEBUG, "was snoozed for 9 s on attempt 1 of 2"),
        (KeyError(), logging.WARNING, "failed on attempt 1 of 2, retry in 60 s: KeyError"),
    ],
)
def test_what_a_task_asked_for_is_logged_as_loud_as_it_matters(
    raised: Exception, level: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "asynctasq.worker"):
        outcome(raised, None, max_attempts=2)
    (record,) = [record for record in caplog.records if "on attempt 1" in record.getMessage()]
    assert (record.levelno, record.getMessage().partition("(t:act) ")[2]) == (level, said)
