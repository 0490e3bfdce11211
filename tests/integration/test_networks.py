"""Workers and dispatchers whose network fails them: slow, cut, half-open, reset, or losing one reply at the worst moment.

They are not restarted. Nothing is lost, nothing runs twice without cause, and no dispatch waits longer than it may.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.integration.fleet import Broker, Fleet, mysql_at, postgres_at, redis_at, sqs_at
from tests.integration.history import duplicates
from tests.integration.ledger_tasks import fail_until, work
from tests.services.proxy import Proxy, Watch, containing, executing

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.domain.errors import Indeterminate
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.ports.driver import QueueStats

CUT = float(os.environ.get("ASYNCTASQ_TEST_CUT", "1.5"))
"""Seconds of a cut that leases outlive; 30 by hand."""

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240 + 12 * CUT)]

RESUMED_IN = 11.0
"""Seconds from a network's return until every worker starts tasks again: the longest pause between two tries, see `outage`, and a
second for a crowded machine."""

NOT_ANSWERED = 5.0
"""Seconds that a request may be under way whose reply will not come, though the network is back: what the port allows a verb."""

DISPATCHED_IN = 15.5
"""Seconds in which a dispatch is answered: five to connect, and two sendings of five; half a second for a crowded machine."""


MORE_THAN_ONE_CAN = [lambda: work(seconds=0.25)] * 8
"""What is dispatched ten times a second at most: up to twice what the ten slots of one worker can do. Where nothing is pushed,
whoever found work asks fifty times a second and the others twice, and may leave them none for ten seconds."""


@dataclass(frozen=True, slots=True)
class Verbs:
    """The request of each verb by which it is carried out."""

    enqueue: Callable[[], Watch]
    claim: Callable[[], Watch]
    extend: Callable[[], Watch]
    settle: Callable[[], Watch]


@dataclass(frozen=True, slots=True)
class Wire:
    """A broker that is reached through a proxy.

    Attributes:
        fixture: gives its URL.
        at: makes a broker of a URL.
        verbs: what is sent for each.
        lease: the least seconds that outlive the faults, where a request alone may take a second on a crowded machine.
    """

    fixture: str
    at: Callable[[str], Broker]
    verbs: Verbs
    lease: float = 0.0


WIRES = {
    "redis": Wire(
        "redis_url",
        redis_at,
        Verbs(
            enqueue=containing(scripts.ENQUEUE.digest),
            claim=containing(scripts.CLAIM.digest),
            extend=containing(scripts.EXTEND.digest),
            settle=containing(scripts.SETTLE.digest),
        ),
    ),
    "postgres": Wire(
        "postgres_url",
        postgres_at,
        Verbs(
            enqueue=executing(b"INSERT INTO"),
            claim=executing(b"SKIP LOCKED"),
            extend=executing(b"AS held"),
            settle=executing(b"DELETE FROM"),
        ),
    ),
    "mysql": Wire(
        "mysql_url",
        mysql_at,
        Verbs(
            enqueue=containing(b"INSERT INTO"),
            claim=containing(b"SET visible_at ="),  # the second of its two packets
            extend=containing(b"(PRIMARY) SET visible_at ="),
            settle=containing(b"DELETE "),
        ),
    ),
    "sqs": Wire(
        "moto_url",
        sqs_at,
        Verbs(
            enqueue=containing(b"SendMessageBatch"),
            claim=containing(b"ReceiveMessage"),
            extend=containing(b"ChangeMessageVisibilityBatch"),
            settle=containing(b"DeleteMessageBatch"),
        ),
        lease=12.0,
    ),
}


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


@pytest_asyncio.fixture
async def proxy(wire: Wire, request: pytest.FixtureRequest) -> AsyncGenerator[Proxy]:
    async with Proxy.before(request.getfixturevalue(wire.fixture)) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def fleet_at(wire: Wire, proxy: Proxy, folder: Path, *, lease: float) -> AsyncGenerator[Fleet]:
    broker = await asyncio.to_thread(wire.at, proxy.url)
    async with Fleet(broker, folder, lease=lease, options=["--concurrency", "10"]) as fleet:
        yield fleet


@contextlib.asynccontextmanager
async def load(fleet: Fleet, *, longest: float, resumed_in: float = RESUMED_IN) -> AsyncGenerator[None]:
    """Two workers at work, on some long tasks too; afterwards both start something new within `resumed_in` seconds, and all is
    done. Each dispatch is answered in time."""
    for _ in range(2):
        fleet.spawn()
    enough = asyncio.Event()
    await fleet.dispatch(*(work(seconds=longest) for _ in range(6)))
    async with asyncio.TaskGroup() as group:
        dispatching = group.create_task(fleet.keep_dispatching(*MORE_THAN_ONE_CAN, enough=enough))
        await fleet.started_everywhere(after=0)
        yield
        resumed = await fleet.started_everywhere(after=time.monotonic())
        enough.set()
    failed = dispatching.result()
    assert resumed <= resumed_in
    assert max(failed, default=0) <= DISPATCHED_IN
    await fleet.drained(patience=fleet.patience + fleet.lease)  # for what was claimed when the reply did not come
    await fleet.stop()


def said_by(fleet: Fleet) -> str:
    return "".join(worker.log.read_text() for worker in fleet.workers)


async def test_a_network_that_is_slow_breaks_and_is_cut_for_less_than_a_lease_costs_no_lease_and_runs_nothing_twice(
    wire: Wire, proxy: Proxy, tmp_path: Path
) -> None:
    # A lease has a third of its time left when it is renewed at the latest.
    async with fleet_at(wire, proxy, tmp_path, lease=max(4 * CUT, wire.lease)) as fleet:
        async with load(fleet, longest=fleet.lease + 1):
            proxy.latency = 0.2
            await asyncio.sleep(1.5)
            proxy.latency = 0.0
            with proxy.blackhole():
                await asyncio.sleep(CUT)
            await fleet.started_everywhere(after=time.monotonic())
            for _ in range(10):
                proxy.reset()
                await asyncio.sleep(0.2)
        assert duplicates(await fleet.verify(promised_only=True)) == 0
        assert "has lost its lease" not in said_by(fleet)


FAULTS: dict[str, Callable[[Proxy], AbstractContextManager[None]]] = {
    "nothing gets through": Proxy.blackhole,
    "no reply comes back": Proxy.half_open,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_cut_that_outlasts_leases_and_patience_loses_nothing_and_runs_twice_only_what_it_interrupted(
    wire: Wire, proxy: Proxy, tmp_path: Path, fault: str
) -> None:
    async with fleet_at(wire, proxy, tmp_path, lease=2.0) as fleet:
        resumed_in = RESUMED_IN if fault == "nothing gets through" else RESUMED_IN + NOT_ANSWERED
        async with load(fleet, longest=4.0, resumed_in=resumed_in):
            with fleet.cut_off(), FAULTS[fault](proxy):
                # Longer than a verb waits: connections are given up, and new ones do not come about.
                await asyncio.sleep(max(6.0, CUT))
        await fleet.verify(promised_only=True)
        said = said_by(fleet)
        assert "trying again until it works" in said
        assert "works again after" in said


async def warm_up(fleet: Fleet) -> None:
    """Use each verb once: a Redis that has not seen a script before answers that, and has done nothing."""
    await fleet.driver.enqueue([Message(id=uuid4().hex, queue="warm-up", body=b"")])
    (claim,) = await fleet.driver.claim(["warm-up"], limit=1, lease=30, wait=0, worker="test")
    await fleet.driver.extend([claim], lease=30)
    await fleet.driver.settle([Settlement(claim=claim, verdict=ACK)])


async def test_a_verb_whose_reply_is_lost_is_not_carried_out_twice(wire: Wire, proxy: Proxy, tmp_path: Path) -> None:
    async with fleet_at(wire, proxy, tmp_path, lease=2.0) as fleet:
        await warm_up(fleet)
        lost = proxy.lose_reply_to(wire.verbs.enqueue, breaking=True)
        if fleet.driver.capabilities.idempotent_enqueue:
            await fleet.dispatch(work(seconds=0))
        else:  # nobody can tell whether it was stored, and to send it again might store it twice
            with pytest.raises(Indeterminate, match=re.escape(fleet.driver.location)):
                await fleet.dispatch(work(seconds=0))
        assert lost.is_set()
        assert (await fleet.stats()).ready == 1

        lost = proxy.lose_reply_to(wire.verbs.claim, breaking=False)
        fleet.spawn()
        await lost.wait()
        await reaches(fleet, lambda stats: stats.leased == 1)
        proxy.reset()
        await fleet.drained()  # once the lease has ended that nobody knew of
        assert [start.attempt for start in fleet.starts()] == [2]

        lost = proxy.lose_reply_to(wire.verbs.settle, breaking=False)
        second = await fleet.dispatch(work(seconds=0))
        await lost.wait()
        await reaches(fleet, lambda stats: not stats.ready + stats.leased)
        proxy.reset()

        lost = proxy.lose_reply_to(wire.verbs.extend, breaking=True)
        third = await fleet.dispatch(work(seconds=3.0))
        await lost.wait()
        await fleet.drained()
        await fleet.stop()
        assert [start.task for start in fleet.starts()[1:]] == [*second, *third]
        await fleet.verify(promised_only=True)


async def reaches(fleet: Fleet, condition: Callable[[QueueStats], bool]) -> None:
    """Wait until the broker has carried out what it was told: of several statements it answers the first before the last."""
    async with asyncio.timeout(fleet.patience):
        while not condition(await fleet.stats()):  # noqa: ASYNC110 -- no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("wire", ["mysql"], indirect=True)
async def test_a_claim_whose_connection_breaks_before_it_has_leased_what_it_has_locked_costs_no_attempt(
    wire: Wire, proxy: Proxy, tmp_path: Path
) -> None:
    async with fleet_at(wire, proxy, tmp_path, lease=2.0) as fleet:
        await fleet.dispatch(work(seconds=0))
        lost = proxy.lose_reply_to(containing(b"SKIP LOCKED"), breaking=True)
        fleet.spawn()
        await lost.wait()
        await fleet.drained()
        await fleet.stop()
        assert [start.attempt for start in fleet.starts()] == [1]


@pytest.mark.parametrize("wire", ["sqs"], indirect=True)
@pytest.mark.parametrize(
    ("action", "attempts"),
    [(b"SendMessageBatch", [1, 2, 2]), (b"DeleteMessageBatch", [1, 2])],
    ids=["of sending the copy", "of deleting the original"],
)
async def test_a_retry_in_two_steps_whose_reply_is_lost_loses_nothing_and_runs_twice_only_if_the_copy_is_sent_twice(
    wire: Wire, proxy: Proxy, tmp_path: Path, action: bytes, attempts: list[int]
) -> None:
    # What `atomic_move=False` declares: whoever does not know whether the copy was sent sends it again.
    async with fleet_at(wire, proxy, tmp_path, lease=4.0) as fleet:
        assert not fleet.driver.capabilities.atomic_move
        (task,) = await fleet.dispatch(fail_until(2))
        lost = proxy.lose_reply_to(containing(action), breaking=True)
        fleet.spawn()
        await lost.wait()
        await fleet.drained()
        await fleet.stop()
        assert [(start.task, start.attempt) for start in fleet.starts()] == [(task, attempt) for attempt in attempts]
        assert not await fleet.dead()
