"""The PostgreSQL driver: one table, one statement per verb."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asynctasq.adapters import answers
from asynctasq.adapters.background import Background
from asynctasq.adapters.drivers.postgres import examination
from asynctasq.adapters.drivers.postgres.connection import Address, Server
from asynctasq.adapters.drivers.postgres.doorbell import Doorbell, Herald
from asynctasq.adapters.drivers.postgres.statements import passing_over_known, statement
from asynctasq.adapters.drivers.postgres.suitability import check
from asynctasq.adapters.drivers.postgres.values import (
    Key,
    bounded,
    claim_of,
    dead_message,
    found_message,
    in_microseconds,
    in_seconds,
    key_of,
    step_of,
    storable,
)
from asynctasq.domain.errors import (
    ConfigurationError,
    DispatchError,
    DriverClosed,
    DriverUnavailable,
    Indeterminate,
    InvalidName,
)
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Release, Retry, Settlement
from asynctasq.ports.driver import (
    Capabilities,
    DeadLetters,
    DeadMessage,
    Enqueued,
    Extended,
    ExtendStatus,
    Inspector,
    Installable,
    Purgeable,
    QueueDriver,
    QueueStats,
    Settled,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.refusals import refusal_of_message
from asynctasq.ports.search import LiveMessage, Searchable

HISTORY_KEPT = 10
"""How many errors of earlier attempts are kept of a message."""

LONGEST_WAIT = 5.0
"""Seconds between two looks of a waiting claim, whether it was rung or not: the net under lost hints."""

UNRUNG_WAITS = (0.05, 1.0)
"""Seconds between the first, and between any, two looks where there are no hints."""

CONTENDED_WAIT = 0.02
"""Seconds until a message is looked for again that another claimer has locked, and has probably got."""

_CAPABILITIES = Capabilities(
    durable=True,
    max_delay=None,
    delay_resolution=0.001,
    ordered=True,
    fencing=True,
    idempotent_enqueue=True,
    atomic_batch=True,
    atomic_move=True,
    refunds_release=True,
    attempt_history=True,
    lease="timed",
    max_lease=None,
    max_body=16 * 1024 * 1024,
    claim_limit=None,
    exact_stats=True,
)
_SCHEMA = re.compile("[A-Za-z_][A-Za-z0-9_-]{0,62}").fullmatch


class PostgresDriver(QueueDriver, DeadLetters, Inspector, Purgeable, Installable, Examinable, Searchable):
    """Queues in PostgreSQL, 12 or newer. `asynctasq migrate` installs its tables; connecting does not.

    Nothing that was acknowledged is lost as far as the server keeps what it acknowledged: with its own defaults (`fsync` and
    `synchronous_commit` on), nothing.

    Args:
        dsn: postgresql://user:password@host:port/database, with options if wanted.
        max_connections: how many there may be, besides the one that listens; further statements wait for one.
        schema: what holds the tables, and the name of the channel of hints; apps of different schemas know nothing of each other.
        notify: whether hints are given and listened to. Not through a PgBouncer that pools transactions: without hints a waiting
            claim looks by itself, up to twenty times a second at first and once a second in the end.
        statement_cache_size: prepared statements per connection. By default as many as there are, and without hints none, as a
            PgBouncer before 1.21 loses them; from then on it keeps as many as its max_prepared_statements says.

    Raises:
        ConfigurationError: an argument that cannot be.
    """

    def __init__(
        self,
        dsn: str = "postgresql://localhost:5432/postgres",
        *,
        max_connections: int = 10,
        schema: str = "asynctasq",
        notify: bool = True,
        statement_cache_size: int | None = None,
    ) -> None:
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: use 1 or more")
        if not _SCHEMA(schema):
            raise ConfigurationError(f"schema={schema!r}: use up to 63 ASCII letters, digits, '_' and '-'")
        if statement_cache_size is not None and statement_cache_size < 0:
            raise ConfigurationError(f"statement_cache_size={statement_cache_size!r}: use 0 or more")
        self.capabilities = _CAPABILITIES
        self._dsn, self._schema, self._notify = dsn, schema, notify
        self._max_connections, self._statement_cache_size = max_connections, statement_cache_size
        self._address = Address(dsn, statement_cache_size, is_session=notify)
        self.location = self._address.location
        self._connected: Server | None = None
        self._doorbell: Doorbell | None = None
        self._herald: Herald | None = None
        self._background = Background()

    async def connect(self) -> None:
        if self._connected is not None:
            return
        server = Server(self._address, self._max_connections)
        try:
            ((tables, version, encoding, is_set),) = await server.ask(self._sql("version"))
            check(
                f"PostgreSQL at {self.location}",
                self._schema,
                tables=tables,
                version=version,
                encoding=encoding,
                is_set=is_set,
                notify=self._notify,
            )
        except BaseException as error:
            await server.close()
            if isinstance(error, Indeterminate):  # it was only asked how it is
                raise DriverUnavailable(str(error)) from error
            raise
        if self._connected is not None:  # connected twice at once
            await server.close()
            return
        self._connected = server
        self._doorbell = Doorbell(self._address, self._schema, listens=self._notify)
        self._herald = Herald(self._say) if self._notify else None

    async def close(self) -> None:
        await self._background.end()
        herald, self._herald = self._herald, None
        if herald is not None:
            await herald.close()
        server, self._connected = self._connected, None
        doorbell, self._doorbell = self._doorbell, None
        if doorbell is not None:
            await doorbell.close()
        if server is not None:
            await server.close()

    def sibling(self) -> PostgresDriver:
        return PostgresDriver(
            self._dsn,
            max_connections=self._max_connections,
            schema=self._schema,
            notify=self._notify,
            statement_cache_size=self._statement_cache_size,
        )

    def schema_sql(self) -> str:
        return self._sql("install")

    async def install(self) -> None:
        await Server(self._address, 1).run(self.schema_sql())

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        server = self._server
        refusals = [_refusal(message) for message in messages]
        stored = [message for message, refusal in zip(messages, refusals, strict=True) if refusal is None]
        new: set[tuple[str, str]] = set()
        if stored:
            insert = self._sql("enqueue")
            columns = (
                [message.queue for message in stored],
                [message.id for message in stored],
                [message.body for message in stored],
                [in_microseconds(message.delay) for message in stored],
            )
            rows = await server.ask_unless_known(insert, *columns)
            if rows is None:  # some of them were sent before, and the answer was lost
                rows = await server.ask(passing_over_known(insert), *columns)
            new = {(row["queue"], row["id"]) for row in rows}
            self._tell(queue for queue, _ in new)
        return answers.of_enqueue(messages, refusals, new)

    async def claim(
        self, queues: Sequence[str], *, limit: int, lease: float, wait: float, worker: str
    ) -> Sequence[Claim]:
        wanted = list(dict.fromkeys(queues))
        if wait <= 0:
            claims, _ = await self._look(wanted, limit, lease, worker)
            return claims
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        unrung, longest_unrung = UNRUNG_WAITS
        with self._bell.rung_for(wanted) as rung:
            while True:
                rung.clear()  # before the look: what comes after it rings
                claims, due_in = await self._look(wanted, limit, lease, worker)
                now = loop.time()
                if claims or now >= end:
                    return claims
                due = now + (due_in or CONTENDED_WAIT) if due_in is not None else math.inf
                longest = min(LONGEST_WAIT, lease / 2) if self._notify else unrung
                unrung = min(unrung * 2, longest_unrung)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(end, due, now + longest)):
                        await rung.wait()
                if self._notify and not rung.is_set() and end < due and loop.time() >= end:
                    return []  # nothing can have come: the next claim will look anyway

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        server = self._server
        if not claims:
            return []
        began = time.monotonic()
        keys = [key_of(claim) for claim in claims]
        rows = await server.ask(
            self._sql("extend"), [seq for seq, _ in keys], [receipt for _, receipt in keys], in_microseconds(lease)
        )
        kept = {(row["seq"], row["receipt"]) for row in rows}
        answer = Extended(ExtendStatus.KEPT, deadline=began + lease)
        return [answer if key in kept else Extended(ExtendStatus.LOST) for key in keys]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        server = self._server
        keys = [key_of(settlement.claim) for settlement in settlements]
        first = answers.to_settle(keys, settlements)
        done = await self._carry_out(server, first) if first else set[Key]()
        return answers.of_settle(keys, settlements, done, "PostgreSQL")

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        rows = await self._server.ask(self._sql("stats"), list(queues))
        return [
            QueueStats(
                queue=queue,
                ready=row["ready"],
                delayed=row["delayed"],
                leased=row["leased"],
                dead=row["dead"],
                oldest_age=in_seconds(row["oldest"]) if row["ready"] else None,
                exact=True,
            )
            for queue, row in zip(queues, rows, strict=True)
        ]

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        server = self._server
        if after is not None and not storable(after):
            return []
        return [dead_message(row) for row in await server.ask(self._sql("list_dead"), queue, limit, after)]

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        letters = [dead_message(row) for row in await self._of_ids("get_dead", ids)]
        found = {letter.id: letter for letter in letters}
        return [found.get(id) for id in ids]

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        rows = await self._of_ids("requeue_dead", ids)
        self._tell(row["queue"] for row in rows)
        return answers.each_once(ids, {row["id"] for row in rows})

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return answers.each_once(ids, {row["id"] for row in await self._of_ids("purge_dead", ids)})

    async def queues(self) -> Sequence[str]:
        return [row["name"] for row in await self._server.ask(self._sql("queues"))]

    async def purge(self, queue: str) -> int:
        ((count,),) = await self._server.ask(self._sql("purge"), queue)
        return int(count)

    async def examine(self) -> Sequence[Finding]:
        (told,) = await self._server.ask(self._sql("examine"))
        return examination.findings(told, schema=self._schema, notify=self._notify, connections=self._max_connections)

    async def clock(self) -> float:
        ((now,),) = await self._server.ask(self._sql("clock"))
        return in_seconds(now)

    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        found = {row["id"]: found_message(row) for row in await self._of_ids("find", ids)}
        return [found.get(id) for id in ids]

    @property
    def _server(self) -> Server:
        if self._connected is None:
            raise self._closed()
        return self._connected

    @property
    def _bell(self) -> Doorbell:
        if self._doorbell is None:
            raise self._closed()
        return self._doorbell

    def _closed(self) -> DriverClosed:
        return DriverClosed(f"the PostgreSQL driver of {self.location} is not connected: await connect() first")

    def _sql(self, name: str) -> str:
        return statement(name, self._schema)

    def _tell(self, queues: Iterable[str]) -> None:
        if self._herald is not None:
            self._herald.tell(queues)

    async def _say(self, queues: Sequence[str]) -> None:
        await self._server.ask(self._sql("notify"), self._schema, queues)

    async def _carry_out(self, server: Server, settlements: Mapping[Key, Settlement]) -> set[Key]:
        """Settle in one statement; the keys of those whose receipt was valid."""
        seqs, receipts = [seq for seq, _ in settlements], [receipt for _, receipt in settlements]
        verdicts = [settlement.verdict for settlement in settlements.values()]
        if all(verdict is ACK for verdict in verdicts):
            rows = await server.ask(self._sql("ack"), seqs, receipts)
            return {(row["seq"], row["receipt"]) for row in rows}
        steps = zip(*map(step_of, verdicts), strict=True)
        rows = await server.ask(self._sql("settle"), seqs, receipts, *steps, HISTORY_KEPT)
        done = {(row["seq"], row["receipt"]) for row in rows}
        self._tell(
            settlement.claim.message.queue
            for key, settlement in settlements.items()
            if key in done and isinstance(settlement.verdict, (Retry, Release))
        )
        return done

    async def _look(
        self, queues: Sequence[str], limit: int, lease: float, worker: str
    ) -> tuple[list[Claim], float | None]:
        """What can be claimed now; if nothing, in how many seconds something is due, None if never."""
        server = self._server
        receipt = secrets.randbits(59)
        deadline = time.monotonic() + lease
        asking = asyncio.ensure_future(
            server.ask(self._sql("claim"), queues, limit, in_microseconds(lease), receipt, bounded(worker))
        )
        try:
            rows = await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._background.begin(self._give_back(asking, receipt, deadline))
            raise
        if len(rows) == 1 and rows[0]["seq"] is None:
            due_in = rows[0]["due_in"]
            return [], None if due_in is None else in_seconds(due_in)
        return [claim_of(row, receipt, deadline) for row in rows], 0.0

    async def _give_back(self, asking: asyncio.Future[list[Any]], receipt: int, deadline: float) -> None:
        """Release what was claimed for somebody who has gone."""
        claims = [claim_of(row, receipt, deadline) for row in await asking if row["seq"] is not None]
        if claims:
            await self.settle([Settlement(claim=claim, verdict=Release()) for claim in claims])

    async def _of_ids(self, name: str, ids: Sequence[str]) -> list[Any]:
        server = self._server
        return await server.ask(self._sql(name), [id for id in ids if storable(id)])


def _refusal(message: Message) -> DispatchError | None:
    """Why a message cannot be stored."""
    if not storable(message.id):
        return InvalidName(f"message id {message.id!r} holds a NUL or a lone surrogate: use another id")
    return refusal_of_message(message, _CAPABILITIES, "PostgreSQL")
