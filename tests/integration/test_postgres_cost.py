"""What the PostgreSQL driver costs the server: statements, and how each is carried out when the tables are full."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.fleet import Fleet, postgres_at
from tests.services import Server
from tests.services import postgres as service

from asynctasq.adapters.drivers.postgres.connection import PLANS
from asynctasq.adapters.drivers.postgres.statements import statement
from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement
from asynctasq.drivers.postgres_driver import PostgresDriver

pytestmark = pytest.mark.asyncio

MANY = 1_000
WORDS = {
    "notify": "pg_notify",
    "enqueue": "AS given (queue, id, body",
    "claim": "FOR UPDATE SKIP LOCKED",
    "extend": "AS held (seq, receipt)",
    "ack": "AS given (seq, receipt)",
    "settle": "AS given (seq, receipt, verdict",
    "stats": "AS delayed",
}
"""By what each statement is known: newer servers leave out its comment."""
ASKED = "query !~ 'pg_stat_|set_config|typeinfo_tree'"
LISTENERS = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'asynctasq' AND query LIKE 'LISTEN%'"


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server(settings=[*service.UNSAFE, "shared_preload_libraries=pg_stat_statements"]) as server:
        service.execute(service.url(server), "CREATE EXTENSION pg_stat_statements")
        asyncio.run(PostgresDriver(service.url(server)).install())
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(service.url(server))
    yield connection
    await connection.execute("TRUNCATE asynctasq.message, asynctasq.dead")
    await connection.close()


@contextlib.asynccontextmanager
async def counted(admin: asyncpg.Connection) -> AsyncGenerator[Counter[str]]:
    """The statements that are carried out meanwhile, ours by their names; without what the client asks of each new connection."""
    counts: Counter[str] = Counter()
    await admin.execute("SELECT pg_stat_statements_reset()")
    yield counts
    for row in await admin.fetch(f"SELECT query, calls FROM pg_stat_statements WHERE {ASKED}"):
        name = next((name for name, word in WORDS.items() if word in row["query"]), row["query"])
        counts[name] += row["calls"]


@task(name="jobs:nothing_on_postgres")
async def nothing() -> None: ...


@pytest_asyncio.fixture
async def app(server: Server) -> AsyncGenerator[App]:
    """An app that is connected."""
    registry = Registry()
    registry.add(nothing)
    app = App(load_settings(service.url(server), environ={}), registry=registry)
    await app.dispatch(nothing())
    yield app
    await app.close()


@pytest_asyncio.fixture
async def driver(server: Server) -> AsyncGenerator[PostgresDriver]:
    driver = PostgresDriver(service.url(server))
    await driver.connect()
    yield driver
    await driver.close()


async def test_a_thousand_gathered_dispatches_are_one_statement_and_one_hint(
    app: App, admin: asyncpg.Connection
) -> None:
    async with counted(admin) as counts:
        await asyncio.gather(*(app.dispatch(nothing()) for _ in range(MANY)))
        await app.close()  # what is unsaid of the dispatch before is said
    assert counts["enqueue"] == 1
    assert counts["notify"] <= 2


async def test_a_flood_of_single_enqueues_is_spoken_of_twenty_times_a_second(
    driver: PostgresDriver, admin: asyncpg.Connection
) -> None:
    loop = asyncio.get_running_loop()
    async with counted(admin) as counts:
        began = loop.time()
        while loop.time() - began < 0.5:
            # Ten at a time, so that hardly a millisecond passes without one.
            await asyncio.gather(*(driver.enqueue([Message(id=str(uuid4()), queue="q", body=b"")]) for _ in range(10)))
        took = loop.time() - began
    # Five while the windows grow; the rest is tolerance, for some ends with nothing unsaid, after which they grow again.
    assert counts["notify"] <= 2 * (took / 0.05 + 5), counts
    assert counts["enqueue"] > 100, counts


async def test_each_verb_is_one_statement_however_many_messages_and_queues(
    driver: PostgresDriver, admin: asyncpg.Connection
) -> None:
    queues = [f"queue{number}" for number in range(5)]
    messages = [Message(id=str(number), queue=queues[number % 5], body=b"") for number in range(MANY)]
    async with counted(admin) as counts:
        await driver.enqueue(messages)
        claims = await driver.claim(queues, limit=MANY, lease=30, wait=0, worker="test")
        assert len(claims) == MANY
        await driver.extend(claims, lease=30)
        await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims[:500]])
        verdicts = [ACK, Retry(delay=0, error=""), Release(), DeadLetter(reason="")]
        await driver.settle(
            [
                Settlement(claim=claim, verdict=verdict)
                for claim, verdict in zip(claims[500:], verdicts * 125, strict=True)
            ]
        )
        await driver.stats(queues)
    del counts["notify"]
    assert counts == {"enqueue": 1, "claim": 1, "extend": 1, "ack": 1, "settle": 1, "stats": 1}


async def test_a_worker_runs_a_thousand_tasks_for_a_few_dozen_statements(app: App, admin: asyncpg.Connection) -> None:
    await app.dispatch_many([nothing() for _ in range(MANY - 1)])
    worker = build_worker(app, Serving(burst=True, concurrency=100))
    async with counted(admin) as counts:
        await worker.run()
    assert worker.counts == {"Ack": MANY}
    assert counts.total() <= 80, counts


async def test_a_done_task_leaves_nothing_behind(app: App, admin: asyncpg.Connection) -> None:
    await app.dispatch_many([nothing() for _ in range(100)])
    await build_worker(app, Serving(burst=True)).run()
    assert await admin.fetchval("SELECT count(*) FROM asynctasq.message") == 0
    assert await admin.fetchval("SELECT count(*) FROM asynctasq.dead") == 0


async def test_an_idle_worker_asks_three_times_in_ten_seconds_at_most(
    server: Server, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    broker = await asyncio.to_thread(postgres_at, service.url(server))
    async with Fleet(broker, tmp_path, lease=30.0, options=["--queues", "default,second,third"]) as fleet:
        fleet.spawn()
        async with asyncio.timeout(15):
            while not await admin.fetch(LISTENERS):  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)  # the look that follows
        await admin.execute("SELECT pg_stat_statements_reset()")
        await asyncio.sleep(10)  # what is measured is what happens when nothing does
        asked = await admin.fetchval(f"SELECT sum(calls)::int FROM pg_stat_statements WHERE {ASKED}")
        # It looks every five seconds, two or three times, and tests its listener every fifteen: rarely both.
        assert 1 <= asked <= 3
        await fleet.stop()


FILL = """
INSERT INTO asynctasq.message (queue, id, body, visible_at, enqueued_at)
SELECT 'q' || n % 3, n::text, 'x', CASE WHEN n > {ready} THEN 9000000000000000 ELSE n END, 0
FROM generate_series(1, {ready} + 10000) AS n;
INSERT INTO asynctasq.dead (queue, id, body, reason, error, attempts, enqueued_at, died_at)
SELECT 'q' || n % 3, n::text, 'x', '', '', 1, 0, 0 FROM generate_series(1, 10000) AS n;
"""
HUNDRED = list(range(1, 101))
ARGUMENTS: dict[str, list[object]] = {
    "enqueue": [["q0"] * 100, [f"new{n}" for n in HUNDRED], [b""] * 100, [0] * 100],
    "claim": [["q0", "q1"], 100, 30_000_000, 1, "test"],
    "extend": [HUNDRED, HUNDRED, 30_000_000],
    "settle": [HUNDRED, HUNDRED, ["ack", "retry"] * 50, [0] * 100, [""] * 100, [""] * 100, 10],
    "ack": [HUNDRED, HUNDRED],
    "list_dead": ["q0", 100, "3000"],
    "get_dead": [[str(n) for n in HUNDRED]],
    "requeue_dead": [[str(n) for n in HUNDRED]],
    "purge_dead": [[str(n) for n in HUNDRED]],
    "queues": [],
}


@pytest_asyncio.fixture(params=[(100_000, "fresh"), (100_000, "stale"), (10_000, "stale")], ids=str)
async def full(request: pytest.FixtureRequest, server: Server, admin: asyncpg.Connection) -> asyncpg.Connection:
    """A connection as the driver's, to full tables of which the planner knows all, or that they were empty."""
    await admin.execute("ALTER TABLE asynctasq.message SET (autovacuum_enabled = off); ANALYZE asynctasq.message")
    ready, statistics = request.param
    await admin.execute(FILL.format(ready=ready))
    if statistics == "fresh":
        await admin.execute("ANALYZE asynctasq.message; ANALYZE asynctasq.dead")
    for name, value in PLANS.items():
        await admin.execute(f"SET {name} = {value}")
    return admin


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_statement_reads_what_it_needs_of_full_tables_and_no_more(
    full: asyncpg.Connection, name: str, mode: str
) -> None:
    await full.execute(f"SET plan_cache_mode = {mode}")
    async with rolled_back(full):
        rows = await full.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement(name, 'asynctasq')}", *ARGUMENTS[name])
    plan = "\n".join(row[0] for row in rows)
    assert not re.search(r"Seq Scan|Bitmap", plan), plan
    # A hundred rows are found, changed and entered in three indexes; to read a table would be thousands of pages.
    assert max(int(pages) for pages in re.findall(r"shared hit=(\d+)", plan)) <= 3_000, plan
    if name == "claim":
        assert plan.count("using message_due") == 2, plan
        assert "Sort Key: message" not in plan, plan


@contextlib.asynccontextmanager
async def rolled_back(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    await connection.execute("BEGIN")
    yield
    await connection.execute("ROLLBACK")
