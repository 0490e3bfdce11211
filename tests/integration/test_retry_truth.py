"""How often a task runs, how long it waits in between, and what is kept of its failures: a whole worker on each broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.contract.drivers.test_mysql import MySQLHarness, tables
from tests.contract.drivers.test_postgres import PostgresHarness
from tests.contract.drivers.test_redis import RedisHarness
from tests.contract.drivers.test_sqlite import SQLiteHarness
from tests.contract.drivers.test_sqs import SQSHarness
from tests.integration.shell import Shell
from tests.integration.truth_tasks import Closed, fail_in_process, fail_on_a_childs_loop
from tests.services import sqs as service
from tests.services.postgres import execute

from asynctasq import Discard, RetryLater, Snooze, current_task
from asynctasq.adapters.drivers.memory import MemoryDriver
from asynctasq.adapters.drivers.postgres import PostgresDriver
from asynctasq.adapters.drivers.sqlite import SQLiteDriver
from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import PendingTask, TaskFunction
from asynctasq.domain.task import ExecutionMode
from asynctasq.domain.verdict import Release, Settlement
from asynctasq.ports.driver import DeadLetters, DeadMessage, QueueDriver
from asynctasq.testing.contract.driver import Harness
from asynctasq.testing.memory import MemoryHarness

pytestmark = pytest.mark.asyncio

HOUR = 3_600.0
SECOND = 1.0


@dataclass(frozen=True, slots=True)
class Made:
    """An empty broker, in which hours pass in no time.

    Attributes:
        driver: not connected.
        harness: lets time pass.
        dead: reads the dead letters of the queue `default`, where the driver itself cannot.
    """

    driver: QueueDriver
    harness: Harness
    dead: Callable[[], list[DeadMessage]] | None = None


def memory(_: pytest.FixtureRequest) -> Generator[Made]:
    harness = MemoryHarness()
    yield Made(MemoryDriver(clock=harness.clock), harness)


def sqlite(request: pytest.FixtureRequest) -> Generator[Made]:
    harness = SQLiteHarness()
    folder: Path = request.getfixturevalue("tmp_path")
    harness.driver = SQLiteDriver(folder / "queue.db")
    yield Made(harness.driver, harness)


def redis(request: pytest.FixtureRequest) -> Generator[Made]:
    harness = RedisHarness(request.getfixturevalue("redis_url"))
    yield Made(harness.driver(), harness)


def postgres(request: pytest.FixtureRequest) -> Generator[Made]:
    url, schema = request.getfixturevalue("postgres_url"), f"truth_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(url, schema=schema).install())
    harness = PostgresHarness(url, schema)
    yield Made(harness.driver(), harness)
    execute(url, f"DROP SCHEMA {schema} CASCADE")


def mysql(request: pytest.FixtureRequest) -> Generator[Made]:
    url = request.getfixturevalue("mysql_url")
    with tables(url) as prefix:
        harness = MySQLHarness(url, prefix)
        yield Made(harness.driver(), harness)


def sqs(request: pytest.FixtureRequest) -> Generator[Made]:
    url, prefix = request.getfixturevalue("moto_url"), f"truth-{uuid4().hex[:8]}-"
    yield Made(
        service.driver(url, queue_prefix=prefix),
        SQSHarness(url),
        dead=lambda: service.dead_letters(url, f"{prefix}_dead-default"),
    )


BROKERS: list[Callable[[pytest.FixtureRequest], Generator[Made]]] = [memory, sqlite, redis, postgres, mysql, sqs]
"""How each is made for one test. SQS is moto's: elsewhere no hour passes in no time."""


@pytest.fixture(params=BROKERS, ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest) -> Generator[Made]:
    with contextlib.contextmanager(request.param)(request) as made:
        yield made


class Shop:
    """An app on one broker, whose one task raises what it is told to."""

    def __init__(self, made: Made) -> None:
        self.driver = made.driver
        self.attempts: list[int] = []
        self.age = made.harness.age
        self.raised_at = 0.0
        self.app = App(load_settings({"driver": made.driver}, environ={}), registry=Registry())
        self._made = made

    def task(
        self, error: Callable[[int], BaseException], *, kind: str = "async", **options: Any
    ) -> TaskFunction[..., Any]:
        def fail(secret: str) -> None:
            self.attempts.append(current_task().attempt)
            self.raised_at = time.monotonic()
            raise error(len(self.attempts))

        async def fail_on_the_loop(secret: str) -> None:
            fail(secret)

        chosen, mode = {"async": (fail_on_the_loop, ExecutionMode.ASYNC), "thread": (fail, ExecutionMode.SYNC)}[kind]
        function = TaskFunction(chosen, name="shop:fail", named=True, options=options, mode=mode)
        self.app.registry.add(function)
        return function

    async def runs(self, pending: PendingTask) -> None:
        """Dispatch it, and run the first attempt."""
        await self.app.dispatch(pending)
        await self.work()

    async def work(self) -> None:
        """Run what is ready."""
        await build_worker(self.app, Serving(burst=True)).run()

    async def assert_due_after(self, seconds: float) -> None:
        """What was raised last is followed by another attempt after so many seconds, give or take one."""
        await self.age(seconds - SECOND - (time.monotonic() - self.raised_at))
        assert await self.standing() == (0, 1), f"it is shown early, or not at all, after {seconds:g} s less one"
        await self.age(2 * SECOND)
        assert await self.standing() == (1, 0), f"it is not shown after {seconds:g} s and one"

    async def standing(self) -> tuple[int, int]:
        """How many messages are ready, and how many wait."""
        if not self.driver.capabilities.exact_stats:
            # It counts what its broker would show. A look shows what is due, and sends on what has to wait for longer.
            claims = await self.driver.claim(["default"], limit=10, lease=60, wait=0, worker="looks")
            await self.driver.settle([Settlement(claim=claim, verdict=Release()) for claim in claims])
        (stats,) = await self.driver.stats(["default"])
        return stats.ready, stats.delayed

    async def dead(self) -> list[DeadMessage]:
        """The dead letters, the last first."""
        if self._made.dead is not None:
            return (await asyncio.to_thread(self._made.dead))[::-1]
        assert isinstance(self.driver, DeadLetters)
        return list(await self.driver.list_dead("default", limit=10))

    async def errors(self) -> list[str]:
        """What is kept of the attempts of the only dead letter: of all of them, or of the last."""
        (dead,) = await self.dead()
        earlier = range(1, dead.attempts) if self.driver.capabilities.attempt_history else ()
        assert [past.attempt for past in dead.history] == list(earlier)
        return [*(past.error for past in dead.history), dead.error]


@contextlib.asynccontextmanager
async def opened(made: Made) -> AsyncGenerator[Shop]:
    await made.driver.connect()
    shop = Shop(made)
    yield shop
    await shop.app.close()
    await made.driver.close()


@pytest_asyncio.fixture
async def shop(made: Made) -> AsyncGenerator[Shop]:
    async with opened(made) as shop:
        yield shop


@pytest.mark.parametrize("kind", ["async", "thread"])
@pytest.mark.parametrize(("max_attempts", "runs"), [(0, 1), (1, 1), (3, 3)])
async def test_a_task_that_fails_runs_as_often_as_it_may_and_each_failure_is_kept(
    shop: Shop, kind: str, max_attempts: int, runs: int
) -> None:
    failing = shop.task(lambda n: ValueError(f"failure {n}"), kind=kind, max_attempts=max_attempts, retry_delay=HOUR)
    await shop.runs(failing("hunter2"))
    for _ in range(runs - 1):
        await shop.assert_due_after(HOUR)
        await shop.work()
    assert shop.attempts == list(range(1, runs + 1))
    await shop.age(10 * HOUR)
    assert await shop.standing() == (0, 0)

    (dead,) = await shop.dead()
    assert (dead.attempts, dead.reason) == (runs, f"failed on attempt {runs} of {runs}")
    texts = await shop.errors()
    for n, text in enumerate(texts, start=runs + 1 - len(texts)):
        assert text.startswith("Traceback (most recent call last):\n")
        assert f"raise error(len(self.attempts))\nValueError: failure {n}" in text
        assert "hunter2" not in text, "the value of an argument"


@pytest.mark.parametrize(
    ("error", "after", "attempts"),
    [
        pytest.param(ValueError(), 2 * HOUR, [1, 2], id="retry_after"),
        pytest.param(RetryLater(3 * HOUR), 3 * HOUR, [1, 2], id="RetryLater"),
        pytest.param(Snooze(3 * HOUR), 3 * HOUR, [1, 1], id="Snooze"),
    ],
)
async def test_a_delay_is_kept_to_the_second_whoever_asked_for_it(
    shop: Shop, error: BaseException, after: float, attempts: list[int]
) -> None:
    failing = shop.task(lambda _: error, retry_delay=HOUR)
    await shop.runs(failing("x").retry_after(2 * HOUR))
    await shop.assert_due_after(after)
    await shop.work()
    if not shop.driver.capabilities.refunds_release:
        attempts = [1, 2]
    assert shop.attempts == attempts


async def test_a_task_that_discards_itself_leaves_nothing_behind(shop: Shop) -> None:
    await shop.runs(shop.task(lambda _: Discard("obsolete"))("x"))
    assert shop.attempts == [1]
    assert await shop.standing() == (0, 0)
    assert await shop.dead() == []


HOSTILE = "\0\ud800\x1b[31m" + "ü" * 20_000 + " and that is why"


async def test_of_a_failure_with_a_hostile_message_as_much_is_kept_as_tells_what_it_was(shop: Shop) -> None:
    failing = shop.task(lambda _: ValueError(HOSTILE), max_attempts=2, retry_delay=0)
    await shop.runs(failing("x"))
    await shop.work()
    for text in await shop.errors():
        assert len(text.encode()) <= 8_192
        assert text.startswith("Traceback (most recent call last):\n")
        assert "ValueError: " in text
        assert text.endswith("ü and that is why")


async def test_a_dead_letter_in_sqs_says_itself_why_it_is_one_and_the_command_line_that_it_cannot_look(
    moto_url: str, tmp_path: Path
) -> None:
    prefix = f"truth-{uuid4().hex[:8]}-"
    async with opened(Made(service.driver(moto_url, queue_prefix=prefix), SQSHarness(moto_url))) as shop:
        id = await shop.app.dispatch(shop.task(lambda _: KeyError("no such order"), max_attempts=1)("x"))
        await shop.work()
    ((_, text),) = service.told(moto_url, f"messages?queue={prefix}_dead-default")
    header, _ = json.JSONDecoder().raw_decode(text)
    death = header["dead"]
    assert (header["id"], death["reason"], death["attempts"]) == (id, "failed on attempt 1 of 1", 1)
    assert death["error"].startswith("Traceback (most recent call last):\n")
    assert death["error"].endswith("raise error(len(self.attempts))\nKeyError: 'no such order'")

    shell = Shell(tmp_path)
    shell.environment |= {
        "ASYNCTASQ_DRIVER": "sqs",
        "ASYNCTASQ_SQS_ENDPOINT_URL": moto_url,
        "ASYNCTASQ_SQS_QUEUE_PREFIX": prefix,
        "ASYNCTASQ_SQS_REGION": service.REGION,
    }
    for words in (["dead", "show", id], ["show", id]):
        refused = shell.asynctasq(*words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"the driver at {moto_url} cannot " in refused.stderr
        assert "`asynctasq stats`" in refused.stderr, "what can be done instead"
        assert "is no dead letter" not in refused.stderr, "nobody has looked"


# In child processes an error stays where it was raised, and is decided from its description. What the driver is handed is the
# same, so one that keeps the errors of all attempts, and one that keeps the last, stand for all.


@pytest_asyncio.fixture
async def shop_with_children(request: pytest.FixtureRequest) -> AsyncGenerator[Shop]:
    with contextlib.contextmanager(getattr(request, "param", sqlite))(request) as made:
        async with opened(made) as shop:
            yield shop


def child_task(shop: Shop, task: TaskFunction[..., Any], **options: Any) -> TaskFunction[..., Any]:
    function = TaskFunction(task.fn, name=task.name, named=True, options=options, mode=task.mode)
    shop.app.registry.add(function)
    return function


IN_CHILDREN = pytest.mark.parametrize("task", [fail_in_process, fail_on_a_childs_loop], ids=["def", "async def"])


@IN_CHILDREN
@pytest.mark.parametrize("shop_with_children", [sqlite, sqs], indirect=True, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("max_attempts", "runs"), [(0, 1), (3, 3)])
async def test_in_a_child_too_each_failure_is_kept_with_its_traceback_and_no_argument(
    shop_with_children: Shop, task: TaskFunction[..., Any], max_attempts: int, runs: int
) -> None:
    shop = shop_with_children
    await shop.runs(child_task(shop, task, max_attempts=max_attempts, retry_delay=HOUR)("hunter2", "closed"))
    for _ in range(runs - 1):
        assert await shop.standing() == (0, 1)
        await shop.age(HOUR)
        await shop.work()
    (dead,) = await shop.dead()
    assert (dead.attempts, dead.reason) == (runs, f"failed on attempt {runs} of {runs}")
    texts = await shop.errors()
    for n, text in enumerate(texts, start=runs + 1 - len(texts)):
        assert text.startswith("Traceback (most recent call last):\n")
        assert f'raise Closed(f"failure {{attempt}}")\ntests.integration.truth_tasks.Closed: failure {n}' in text
        assert "hunter2" not in text


@IN_CHILDREN
async def test_in_a_child_too_the_type_of_an_error_and_the_tasks_own_word_decide(
    shop_with_children: Shop, task: TaskFunction[..., Any]
) -> None:
    shop = shop_with_children
    await shop.runs(child_task(shop, task, no_retry_on=LookupError)("x", "closed"))
    assert [dead.reason for dead in await shop.dead()] == ["failed on attempt 1 of 3: Closed is not retried"]
    await shop.runs(child_task(shop, task, retry_on=Closed, max_attempts=1)("x", "closed"))
    assert next(dead.reason for dead in await shop.dead()) == "failed on attempt 1 of 1"
    asked = child_task(shop, task, max_attempts=2, retry_delay=HOUR)
    await shop.runs(asked("x", "discard"))
    assert await shop.standing() == (0, 0)
    assert len(await shop.dead()) == 2
    await shop.runs(asked("x", "retry later"))
    await shop.age(2 * HOUR)
    assert await shop.standing() == (0, 1)
    await shop.age(HOUR)
    await shop.work()
    assert next(dead.reason for dead in await shop.dead()) == "failed on attempt 2 of 2: busy 2"
    await shop.runs(asked("x", "snooze"))
    await shop.age(3 * HOUR)
    (claim,) = await shop.driver.claim(["default"], limit=9, lease=9, wait=0, worker="next")
    assert claim.attempt == 1
