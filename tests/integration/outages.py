"""What workers do when their server dies under them, whichever it is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from tests.integration.fleet import Fleet
from tests.integration.history import Enqueued, check
from tests.integration.ledger_tasks import work

from asynctasq.domain.errors import DriverError

SEED = 20_261_125
RESTARTS = 3
RESUMED_IN = 10.0
"""Seconds from a server's return until every worker starts tasks again: the longest pause between two tries, see `outage`."""

LEASE = 15.0
"""Seconds. Longer than an outage, so that what had ended before it is settled after it and nothing runs twice."""


async def lose_nothing_over_restarts(fleet: Fleet, *, kill: Callable[[], None], start: Callable[[], None]) -> None:
    """Kill and restart a server under load: nothing is lost, nothing runs twice without cause, and no worker is restarted.

    Args:
        fleet: of workers to come, with a lease of `LEASE`.
        kill: ends the server with SIGKILL.
        start: starts it again.
    """
    chance, enough = random.Random(SEED), asyncio.Event()
    for _ in range(2):
        fleet.spawn()
    dispatching = asyncio.create_task(_keep_dispatching(fleet, enough))
    await starts_everywhere(fleet, after=0)
    for _ in range(RESTARTS):
        await asyncio.sleep(chance.uniform(0.3, 1.0))  # anywhere in what they do
        await asyncio.to_thread(kill)
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        await asyncio.to_thread(start)
        assert await starts_everywhere(fleet, after=time.monotonic()) <= RESUMED_IN
    enough.set()
    failures = await dispatching
    assert failures, "the server was never missed: it must be away for longer"
    await fleet.drained()
    await fleet.stop()
    # A dispatch that failed may have been carried out all the same: nobody was promised those tasks, and they may run.
    promised = {event.task for event in fleet.events if isinstance(event, Enqueued)}
    assert not await fleet.dead()
    history = [*fleet.events, *(event for event in fleet.ran() if event.task in promised)]
    violations = check(history, lease=fleet.lease)
    assert not violations, "\n".join([*map(str, violations), fleet.logs()])


async def _keep_dispatching(fleet: Fleet, enough: asyncio.Event) -> int:
    """Dispatch a few tasks at a time until there are enough, going on while the server is away. How many dispatches failed."""
    failures = 0
    while not enough.is_set():
        try:
            # The delayed ones are the server's alone when it dies.
            await fleet.dispatch(work(seconds=0).delay(4), *(work(seconds=0.05) for _ in range(10)))
        except DriverError:
            failures += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), 0.1)  # the workers' pace: there is always some work and never much
    return failures


async def starts_everywhere(fleet: Fleet, after: float) -> float:
    """Wait until each worker has started a task that began after a moment; how many seconds after it."""
    pids = {worker.pid for worker in fleet.workers}

    def late() -> dict[int, float]:
        return {start.pid: start.at for start in reversed(fleet.starts()) if start.at > after}

    await fleet.until(lambda: late().keys() == pids, "every worker to start a task")
    return max(late().values()) - after
