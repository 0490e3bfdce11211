"""Real worker processes that can be killed and paused, and the history of what that did to their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest
from tests.integration import ledger_tasks
from tests.integration.families import alive
from tests.integration.history import CutOff, Dead, Ended, Enqueued, Event, Killed, Paused, Started, check
from tests.services import sqs as service

from asynctasq.adapters.drivers.mysql import MySQLDriver
from asynctasq.adapters.drivers.postgres import PostgresDriver
from asynctasq.app.bootstrap import App
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import PendingTask
from asynctasq.domain.errors import DriverError
from asynctasq.ports.driver import DeadLetters, DeadMessage, QueueDriver, QueueStats

ROOT = Path(__file__).parents[2]
QUEUE = "default"
PATIENCE = 60.0
"""Seconds until what should happen within a few leases is taken for what never will."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A driver that these tests run on, empty.

    Attributes:
        name: for people.
        environ: how the environment names it, given a folder of its own.
        dead: reads its dead letters, where the driver itself cannot.
        slow: whether its requests may take a second on a crowded machine, as those to a server in Python may: leases and what
            is said of settlements are then longer.
    """

    name: str
    environ: Callable[[Path], Mapping[str, str]]
    dead: Callable[[], Awaitable[Sequence[DeadMessage]]] | None = None
    slow: bool = False


def sqlite(_: pytest.FixtureRequest) -> Broker:
    return Broker(
        "sqlite", lambda folder: {"ASYNCTASQ_DRIVER": "sqlite", "ASYNCTASQ_SQLITE_PATH": str(folder / "queue.db")}
    )


def redis(request: pytest.FixtureRequest) -> Broker:
    return redis_at(request.getfixturevalue("redis_url"))


def redis_at(url: str) -> Broker:
    prefix = f"fleet-{uuid4().hex[:12]}"
    return Broker(
        "redis",
        lambda _: {"ASYNCTASQ_DRIVER": "redis", "ASYNCTASQ_REDIS_URL": url, "ASYNCTASQ_REDIS_KEY_PREFIX": prefix},
    )


def postgres(request: pytest.FixtureRequest) -> Broker:
    return postgres_at(request.getfixturevalue("postgres_url"))


def postgres_at(url: str) -> Broker:
    schema = f"fleet_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(url, schema=schema).install())
    return Broker("postgres", lambda _: {"ASYNCTASQ_DRIVER": url, "ASYNCTASQ_POSTGRES_SCHEMA": schema})


def mysql(request: pytest.FixtureRequest) -> Broker:
    return mysql_at(request.getfixturevalue("mysql_url"))


def mysql_at(url: str) -> Broker:
    prefix = f"fleet_{uuid4().hex[:12]}_"
    asyncio.run(MySQLDriver(url, table_prefix=prefix).install())
    return Broker("mysql", lambda _: {"ASYNCTASQ_DRIVER": url, "ASYNCTASQ_MYSQL_TABLE_PREFIX": prefix})


def sqs(request: pytest.FixtureRequest) -> Broker:
    return sqs_at(request.getfixturevalue("moto_url"))


def sqs_at(url: str) -> Broker:
    prefix = f"fleet-{uuid4().hex[:8]}-"
    return Broker(
        "sqs",
        lambda _: {
            "ASYNCTASQ_DRIVER": "sqs",
            "ASYNCTASQ_SQS_REGION": service.REGION,
            "ASYNCTASQ_SQS_ENDPOINT_URL": url,
            "ASYNCTASQ_SQS_QUEUE_PREFIX": prefix,
            "ASYNCTASQ_SQS_SHORTEST_POLL": "0",
        },
        dead=lambda: asyncio.to_thread(service.dead_letters, url, f"{prefix}_dead-{QUEUE}"),
        slow=True,
    )


BROKERS = [sqlite, redis, postgres, mysql, sqs]
"""How each is made for one test."""


@dataclass(eq=False, slots=True)
class Worker:
    """One worker process."""

    process: subprocess.Popen[bytes]
    log: Path
    paused_at: float | None = None
    buried: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@dataclass(slots=True)
class Fleet:
    """Workers on one broker, with a queue, a ledger and a history of their own.

    Args:
        broker: what they work on.
        folder: where everything is kept.
        lease: seconds.
        options: further options of every worker's command line.
    """

    broker: Broker
    folder: Path
    lease: float = 2.0
    options: Sequence[str] = ()
    workers: list[Worker] = field(default_factory=list[Worker])
    events: list[Event] = field(default_factory=list[Event])
    app: App = field(init=False)
    driver: QueueDriver = field(init=False)
    _environ: dict[str, str] = field(init=False)
    _stack: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        (self.folder / "ledger").mkdir()
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
        self._environ = {
            **ours,
            **self.broker.environ(self.folder),
            "ASYNCTASQ_WORKER_LEASE": str(self.lease),
            "ASYNCTASQ_TEST_LEDGER": str(self.folder / "ledger"),
        }
        self.app = App(load_settings(environ=self._environ, cwd=self.folder))
        self._stack.push_async_callback(self.app.close)
        self.driver = await self._stack.enter_async_context(self.app.driver())
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        await self._stack.aclose()

    @property
    def patience(self) -> float:
        """Seconds until what should have happened is taken for what never will."""
        return 2 * PATIENCE if self.broker.slow else PATIENCE

    # What workers do

    def spawn(self, *, failpoints: str = "") -> Worker:
        """Start a worker; it works a moment later."""
        log = self.folder / f"worker{len(self.workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "asynctasq", "worker", "tests.integration.ledger_tasks", *self.options],
                cwd=ROOT,
                env=self._environ | ({"ASYNCTASQ_FAILPOINTS": failpoints} if failpoints else {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL."""
        worker.process.kill()
        self.bury(worker)

    def bury(self, worker: Worker) -> int:
        """Record a death; the exit status. Recorded when it is over: until then the process may still write."""
        status = worker.process.wait()
        worker.buried = True
        self.events.append(Killed(pid=worker.pid, at=time.monotonic()))
        return status

    async def bury_children(self, pids: Collection[int]) -> None:
        """Record the deaths of children that were killed, alone or with their worker, each as soon as it is seen.

        A worker's children are to be dead two seconds after it: nobody else kills them.
        """
        left, deadline = set(pids), time.monotonic() + 2.0
        while left:
            dead = left - alive(left)
            left -= dead
            self.events += [Killed(pid=pid, at=time.monotonic()) for pid in dead]
            assert time.monotonic() < deadline, f"children outlive their worker: {left}"
            if left:
                await asyncio.sleep(0.01)

    def pause(self, worker: Worker) -> None:
        """SIGSTOP: all its threads stand still."""
        os.kill(worker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED)
        worker.paused_at = time.monotonic()

    async def paused_itself(self, worker: Worker) -> None:
        """Wait until a worker has stopped at a failpoint."""
        await self.until(
            lambda: os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOHANG) is not None, "a worker to stop"
        )
        worker.paused_at = time.monotonic()

    def resume(self, worker: Worker) -> None:
        """SIGCONT."""
        assert worker.paused_at is not None
        self.events.append(Paused(pid=worker.pid, at=worker.paused_at, until=time.monotonic()))
        worker.paused_at = None
        os.kill(worker.pid, signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM to those that should live; each ends well."""
        survivors = [worker for worker in self.workers if not worker.buried]
        for worker in survivors:
            worker.process.terminate()
        await self.until(lambda: not any(worker.alive for worker in survivors), "the workers to stop")
        for worker in survivors:
            # One that is still starting has no handler yet and holds nothing.
            assert worker.process.returncode in {0, -signal.SIGTERM}, worker.log.read_text()

    async def serves(self, worker: Worker, *, processes: int = 1) -> None:
        """Wait until a worker, or every process of it, is about to claim."""
        await self.until(lambda: worker.log.read_text().count(" serves ") == processes, "a worker to start")

    async def retire(self, worker: Worker) -> None:
        """SIGTERM to one, and wait until it has ended well."""
        worker.process.terminate()
        await self.until(lambda: not worker.alive, "the worker to stop")
        worker.buried = True
        assert worker.process.returncode == 0, worker.log.read_text()

    async def nemesis(self, chance: random.Random, *, kills: int, between: tuple[float, float]) -> None:
        """Kill random workers at random times, and replace each at once."""
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(*between))
            victim = chance.choice([worker for worker in self.workers if worker.alive])
            self.kill(victim)
            self.spawn()

    @contextlib.contextmanager
    def cut_off(self) -> Generator[None]:
        """Record that no worker can reach the broker within the block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.events.append(CutOff(at=began, until=time.monotonic()))

    # What tasks do

    async def dispatch(self, *pending: PendingTask) -> list[str]:
        """Enqueue tasks and write down what was promised of them."""
        at = time.monotonic()
        ids = await self.app.dispatch_many(pending)
        acknowledged = time.monotonic()
        for task_id, call in zip(ids, pending, strict=True):
            task = call.task(self.app.defaults)
            self.events.append(
                Enqueued(
                    task=task_id,
                    at=at,
                    acknowledged=acknowledged,
                    delay=task.delay,
                    retry_delay=task.config.retry.delay,
                    max_attempts=task.config.retry.max_attempts,
                )
            )
        return ids

    def produce(self, call: str, *, failpoints: str) -> int:
        """Dispatch a task, such as `work(1)`, from a process of its own; its exit status."""
        producer = f"import asyncio; from tests.integration.ledger_tasks import *; asyncio.run({call}.dispatch())"
        environ = self._environ | {"ASYNCTASQ_FAILPOINTS": failpoints}
        return subprocess.run([sys.executable, "-c", producer], cwd=ROOT, env=environ, check=False).returncode

    def ran(self) -> list[Started | Ended]:
        """What tasks have written down so far."""
        return ledger_tasks.read(self.folder / "ledger")

    def starts(self) -> list[Started]:
        """The runs that began so far, in order."""
        return sorted((event for event in self.ran() if isinstance(event, Started)), key=lambda start: start.at)

    async def started(self, count: int) -> None:
        """Wait until so many runs have begun."""
        await self.until(lambda: len(self.starts()) >= count, f"{count} runs to begin")

    async def stats(self) -> QueueStats:
        """How the queue stands."""
        (stats,) = await self.driver.stats([QUEUE])
        return stats

    async def dead(self) -> list[DeadMessage]:
        """The dead letters."""
        if self.broker.dead is not None:
            return list(await self.broker.dead())
        assert isinstance(self.driver, DeadLetters)
        return list(await self.driver.list_dead(QUEUE, limit=10_000))

    async def keep_dispatching(self, *make: Callable[[], PendingTask], enough: asyncio.Event) -> list[float]:
        """Dispatch a few tasks at a time until there are enough, whatever becomes of the broker.

        Args:
            make: makes a task; all of them are dispatched together, at the workers' pace, so that there is always some work and
                never much.
            enough: set when it is.

        Returns:
            How many seconds each dispatch took that failed.
        """
        failed: list[float] = []
        while not enough.is_set():
            began = time.monotonic()
            try:
                await self.dispatch(*(each() for each in make))
            except DriverError:
                failed.append(time.monotonic() - began)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), 0.1)
        return failed

    async def started_everywhere(self, after: float, *, anew: bool = False) -> float:
        """Wait until each worker has started a task that began after a moment; how many seconds after it.

        Args:
            after: on the monotonic clock.
            anew: whether it must have been dispatched after that, too. Others may have been claimed before, and start although
                the broker is away.
        """
        pids = {worker.pid for worker in self.workers}

        def late() -> dict[int, float]:
            new = {event.task for event in self.events if isinstance(event, Enqueued) and event.at > after}
            return {
                start.pid: start.at
                for start in reversed(self.starts())
                if start.at > after and (start.task in new or not anew)
            }

        await self.until(lambda: late().keys() == pids, "every worker to start a task")
        return max(late().values()) - after

    async def drained(self, *, respawn: bool = False, patience: float | None = None) -> None:
        """Wait until nothing is ready, delayed or leased. Workers that die of themselves are replaced, if that may be."""
        patience = patience or self.patience
        deadline = time.monotonic() + patience
        while True:
            try:
                stats = await self.stats()
            except DriverError:  # the connection was one that had died unseen
                stats = await self.stats()
            if not stats.ready + stats.delayed + stats.leased:
                return
            assert time.monotonic() < deadline, f"not drained after {patience:g} s: {stats}\n{self.logs()}"
            for worker in [worker for worker in self.workers if not worker.alive and not worker.buried]:
                assert respawn, f"a worker died:\n{worker.log.read_text()}"
                self.bury(worker)
                self.spawn()
            await asyncio.sleep(0.1)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look until it is so: nothing tells of what other processes do."""
        deadline = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < deadline, f"waited {self.patience:g} s for {what}\n{self.logs()}"
            await asyncio.sleep(0.02)

    async def verify(self, *, promised_only: bool = False) -> list[Event]:
        """The whole history of a drained queue, after it was found to be as promised.

        Args:
            promised_only: leave out tasks whose dispatch failed. It may have been carried out all the same: nobody was promised
                those, and they may run.
        """
        history: list[Event] = [*self.events, *self.ran()]
        history += [Dead(task=dead.id) for dead in await self.dead()]
        if promised_only:
            promised = {event.task for event in self.events if isinstance(event, Enqueued)}
            history = [event for event in history if getattr(event, "task", None) in {*promised, None}]
        violations = check(
            history,
            lease=self.lease,
            settling=3.0 if self.broker.slow else 1.0,
            atomic_move=self.driver.capabilities.atomic_move,
        )
        assert not violations, "\n".join([*map(str, violations), self.logs()])
        return history

    def logs(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(f"--- {worker.log.name}\n{worker.log.read_text()[-2000:]}" for worker in self.workers[-6:])
