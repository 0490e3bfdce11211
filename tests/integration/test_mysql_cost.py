"""What the MySQL driver costs the server: statements, round trips, and how each is carried out when the table is full."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
import pytest_asyncio
from tests.integration.fleet import Fleet, mysql_at
from tests.integration.ledger_tasks import work
from tests.services import Server
from tests.services import mariadb as service

from asynctasq.adapters.drivers.mysql.pace import LONGEST, Pace
from asynctasq.adapters.drivers.mysql.packets import Packets
from asynctasq.adapters.drivers.mysql.statements import listed, name_of
from asynctasq.adapters.drivers.mysql.values import fence
from asynctasq.adapters.drivers.mysql.wire import Wire
from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement
from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.ports.driver import SettleStatus

pytestmark = pytest.mark.asyncio

MANY = 1_000
UNASKED = {"set_option", "show_status", "change_db", "admin_commands", "show_variables"}
"""What connecting asks, and what we ask to know it."""


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server(options=service.UNSAFE) as server:
        asyncio.run(MySQLDriver(service.url(server)).install())
        yield server


@pytest.fixture
def admin(server: Server) -> Generator[pymysql.cursors.Cursor]:
    with closing(service.connection(service.url(server))) as connected, connected.cursor() as cursor:
        yield cursor
        cursor.execute("TRUNCATE asynctasq_message")


def asked(admin: pymysql.cursors.Cursor) -> Counter[str]:
    """The statements that the server has carried out, by their kinds."""
    admin.execute("SHOW GLOBAL STATUS LIKE 'Com\\_%'")
    counts = {name.removeprefix("Com_").lower(): int(count) for name, count in admin.fetchall()}
    return Counter({name: count for name, count in counts.items() if count and name not in UNASKED})


@contextlib.contextmanager
def counted(admin: pymysql.cursors.Cursor) -> Generator[Counter[str]]:
    """The statements that are carried out meanwhile."""
    before, counts = asked(admin), Counter[str]()
    yield counts
    counts.update(asked(admin) - before)


@task(name="jobs:nothing_on_mysql")
async def nothing() -> None: ...


@pytest_asyncio.fixture
async def app(server: Server, admin: pymysql.cursors.Cursor) -> AsyncGenerator[App]:
    """An app that is connected."""
    registry = Registry()
    registry.add(nothing)
    app = App(load_settings(service.url(server), environ={}), registry=registry)
    await app.dispatch(nothing())
    yield app
    await app.close()


@pytest_asyncio.fixture
async def driver(server: Server, admin: pymysql.cursors.Cursor) -> AsyncGenerator[MySQLDriver]:
    driver = MySQLDriver(service.url(server))
    await driver.connect()
    yield driver
    await driver.close()


async def test_a_thousand_gathered_dispatches_are_one_statement(app: App, admin: pymysql.cursors.Cursor) -> None:
    with counted(admin) as counts:
        await asyncio.gather(*(app.dispatch(nothing()) for _ in range(MANY)))
    assert counts == {"insert": 1}


async def test_each_verb_is_one_transaction_however_many_messages_and_queues(
    driver: MySQLDriver, admin: pymysql.cursors.Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges = 0
    exchange = Wire.exchange

    async def counting(self: Wire, packet: str, *, applies: bool = True) -> object:
        nonlocal exchanges
        exchanges += 1
        return await exchange(self, packet, applies=applies)

    monkeypatch.setattr(Wire, "exchange", counting)

    @contextlib.contextmanager
    def costs(trips: int, **statements: int) -> Generator[None]:
        nonlocal exchanges
        exchanges = 0
        with counted(admin) as counts:
            yield
        assert (counts, exchanges) == (statements, trips)

    queues = [f"queue{number}" for number in range(5)]
    batch = [Message(id=str(number), queue=queues[number % 5], body=b"") for number in range(MANY)]
    with costs(1, insert=1):
        await driver.enqueue(batch)
    # Which queues have something due; the rows of each that has; their lease.
    with costs(7, select=6, begin=1, update=1, commit=1):
        claims = await driver.claim(queues, limit=MANY, lease=30, wait=0, worker="test")
    assert len(claims) == MANY
    with costs(1, update=1):
        await driver.extend(claims, lease=30)
    with costs(1, begin=1, delete_multi=1, commit=1):
        await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims[:250]])
    # One of them is lost, so all are undone, and those that are there are asked for.
    with costs(3, begin=2, delete_multi=2, rollback=1, select=1, commit=1):
        answers = await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims[249:499]])
    assert [answer.status for answer in answers] == [SettleStatus.LOST] + [SettleStatus.DONE] * 249
    with costs(1, delete_multi=1):
        await driver.settle([Settlement(claim=claims[499], verdict=ACK)])
    verdicts = [ACK, Retry(delay=0, error=""), Release(), DeadLetter(reason="")]
    mixed = [Settlement(claim=claim, verdict=verdicts[number % 4]) for number, claim in enumerate(claims[500:])]
    with costs(1, begin=1, select=1, delete_multi=1, update_multi=4, commit=1):
        await driver.settle(mixed)
    with costs(1, select=1):
        await driver.stats(queues)


async def test_a_queue_that_flows_is_not_looked_at_before_it_is_taken_from(
    driver: MySQLDriver, admin: pymysql.cursors.Cursor
) -> None:
    await driver.enqueue([Message(id=str(number), queue="q", body=b"") for number in range(300)])
    await driver.claim(["q"], limit=100, lease=30, wait=0, worker="test")
    with counted(admin) as counts:
        await driver.claim(["q"], limit=100, lease=30, wait=0, worker="test")
    assert counts == {"begin": 1, "select": 1, "update": 1, "commit": 1}


async def test_a_worker_runs_a_thousand_tasks_for_about_a_hundred_statements(
    app: App, admin: pymysql.cursors.Cursor
) -> None:
    await app.dispatch_many([nothing() for _ in range(MANY - 1)])
    worker = build_worker(app, Serving(burst=True, concurrency=100))
    with counted(admin) as counts:
        await worker.run()
    assert worker.counts == {"Ack": MANY}
    # Eight for each hundred, and as many again where a crowded machine makes the batches smaller.
    assert counts.total() <= 160, counts


async def test_an_idle_worker_asks_twice_a_second_at_most_and_starts_what_comes_within_600_ms(
    server: Server, admin: pymysql.cursors.Cursor, tmp_path: Path
) -> None:
    broker = await asyncio.to_thread(mysql_at, service.url(server))
    async with Fleet(broker, tmp_path, lease=30.0, options=["--queues", "default,second,third"]) as fleet:
        fleet.spawn()
        await fleet.dispatch(work(seconds=0.0))
        await fleet.until(lambda: bool(fleet.starts()), "the worker to work")
        await asyncio.sleep(LONGEST / 0.2)  # until its pauses are the longest
        with counted(admin) as counts:
            await asyncio.sleep(10)  # what is measured is what happens when nothing does
        assert 10 <= counts.total() <= 20, counts
        dispatched = time.monotonic()
        (id,) = await fleet.dispatch(work(seconds=0.0))
        await fleet.until(lambda: any(start.task == id for start in fleet.starts()), "the task to start")
        # Half a second more for a crowded machine.
        assert next(start.at for start in fleet.starts() if start.task == id) - dispatched <= 0.6 + 0.5
        await fleet.stop()


async def test_the_pauses_after_a_minute_are_as_long_as_those_that_were_measured() -> None:
    pace = Pace(0.0)
    assert pace.pause(60.0) == pace.pause(LONGEST / 0.2) == LONGEST < 0.6
    assert 1 / LONGEST < 2
    pace.found(60.0)
    assert pace.pause(60.01) < 0.05


FILL = """
INSERT INTO {}_message (queue, id, body, visible_at, enqueued_at, receipt)
SELECT CONCAT('q', seq % 3), seq, 'x',
    CASE WHEN seq > 110000 THEN -seq WHEN seq > 100000 THEN 9000000000000000 ELSE seq END, 0, IF(seq <= 100, seq, NULL)
FROM seq_1_to_120000
"""
STATISTICS = ("fresh", "stale")
HUNDRED = range(1, 101)
DEAD = range(110_001, 110_101)


def statements(packets: Packets) -> dict[str, str]:
    """What is sent, for a hundred messages each."""
    of = packets.of
    held = fence((n, n) for n in HUNDRED)
    ids, seqs = listed(name_of(str(n)) for n in DEAD), listed(DEAD)
    behind = of("behind", queue="'q0'", after="'119997'")
    given = {"n": 1, "verdict": "'retry'", "delay": 0, "reason": "NULL", "error": "''"}
    return {
        "enqueue": packets.enqueue([Message(id=f"new{n}", queue="q0", body=b"") for n in HUNDRED], 1)[0].split(";")[1],
        "created": of("created", ids=ids, batch=1),
        "due": packets.of_each("due", ["q0", "q1"]),
        "take": packets.take("q0", 100, begins=False),
        "take behind the last": packets.take("q0", 100, begins=False, first=1),
        "lease": of("lease", lease=1, receipt=1, worker="''", seqs=listed(HUNDRED)),
        "extend": of("extend", lease=1, fence=held),
        "held": f"{of('held', fence=held)} FOR UPDATE",
        "ack": of("ack", fence=held),
        "settle": of(
            "settle", given=" UNION ALL ".join(of("given", seq=n, receipt=n, **given) for n in HUNDRED), kept=10
        ),
        "list_dead": of("list_dead", queue="'q0'", behind="TRUE", limit=100),
        "list_dead behind one": of("list_dead", queue="'q0'", behind=behind, limit=100),
        "get_dead": of("get_dead", ids=ids),
        "find": of("find", ids=listed(name_of(str(n)) for n in HUNDRED)),
        "lock_dead": of("lock_dead", ids=ids),
        "requeue_dead": of("requeue_dead", seqs=seqs, count=100),
        "purge_dead": of("purge_dead", seqs=seqs),
        "next_queue": of("next_queue", last="'q0'"),
    }


@pytest.fixture(scope="module")
def full(server: Server) -> Generator[pymysql.cursors.Cursor]:
    """A connection as the driver's, to full tables: of one the planner knows all, of the other that it was empty."""
    with closing(service.connection(service.url(server))) as connected, connected.cursor() as cursor:
        for prefix in STATISTICS:
            asyncio.run(MySQLDriver(service.url(server), table_prefix=f"{prefix}_").install())
            cursor.execute(f"ALTER TABLE {prefix}_message STATS_AUTO_RECALC = 0")
            cursor.execute(f"ANALYZE TABLE {prefix}_message")
            cursor.execute(FILL.format(prefix))
        cursor.execute("ANALYZE TABLE fresh_message")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SET SESSION in_predicate_conversion_threshold = 0, @now = 1")
        yield cursor


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("name", statements(Packets("", 1 << 24)))
async def test_a_statement_reads_what_it_needs_of_a_full_table_and_no_more(
    full: pymysql.cursors.Cursor, name: str, statistics: str
) -> None:
    statement = statements(Packets(f"{statistics}_", 1 << 24))[name]
    full.execute(f"EXPLAIN {statement}")
    plan = full.fetchall()
    full.execute("START TRANSACTION")
    full.execute("FLUSH STATUS")
    full.execute(statement)
    full.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    reads = {read: int(count) for read, count in full.fetchall() if int(count)}
    full.execute("ROLLBACK")
    # A hundred rows are found, some in two indexes, and given away; to read the table would be 120,000.
    assert sum(reads.values()) <= 500, (reads, plan)
    if name.startswith("take"):
        assert not any("filesort" in str(step) for step in plan), plan
