"""The MySQL driver: one table, one transaction per verb."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asynctasq.adapters import answers
from asynctasq.adapters.background import Background
from asynctasq.adapters.drivers.mysql import examination, transactions
from asynctasq.adapters.drivers.mysql.address import Address
from asynctasq.adapters.drivers.mysql.connection import Server
from asynctasq.adapters.drivers.mysql.flow import LOOKS_BACK, Flow, after
from asynctasq.adapters.drivers.mysql.pace import Pace
from asynctasq.adapters.drivers.mysql.packets import ACKED, Packets
from asynctasq.adapters.drivers.mysql.statements import binary, listed, name_of, script
from asynctasq.adapters.drivers.mysql.suitability import Fitness, fitness_of, refusal_of_tables
from asynctasq.adapters.drivers.mysql.values import (
    ID_KEPT,
    NOBODYS,
    Key,
    dead_message,
    fence,
    found_message,
    in_microseconds,
    in_seconds,
    key_of,
    storable,
    text,
)
from asynctasq.adapters.drivers.mysql.wire import Reply
from asynctasq.domain.errors import (
    ConfigurationError,
    DispatchError,
    DriverClosed,
    InvalidName,
)
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Release, Settlement
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

PIECE = 5_000
"""How many messages a purge removes at a time."""

DEFAULT_PACKET = 16 * 1024 * 1024
"""The most bytes that MariaDB takes at once if it is not told otherwise; what a server takes is known once it is connected."""

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
    max_body=Fitness(max_packet=DEFAULT_PACKET, durable=True).max_body,
    claim_limit=None,
    exact_stats=True,
)
_PREFIX = re.compile("[A-Za-z0-9_]{0,40}").fullmatch
logger = logging.getLogger("asynctasq.mysql")
_told: set[str] = set()
"""Servers of whose settings people have been warned in this process."""


class MySQLDriver(QueueDriver, DeadLetters, Inspector, Purgeable, Installable, Examinable, Searchable):
    """Queues in MariaDB, 10.6 or newer, or MySQL, 8.0.1 or newer. `asynctasq migrate` installs its tables; connecting does not.

    Nothing that was acknowledged is lost as far as the server keeps what it acknowledged: with its own defaults
    (`innodb_flush_log_at_trx_commit` and `sync_binlog` of 1), nothing. The server tells nobody of new work: a waiting claim asks,
    fifty times a second at first and twice a second in the end.

    Args:
        dsn: mysql://user:password@host:port/database, with the options ssl-mode, ssl-ca, ssl-cert, ssl-key or socket if wanted.
        max_connections: how many there may be; further conversations wait for one.
        table_prefix: what the names of the tables begin with; apps of different prefixes know nothing of each other.

    Raises:
        ConfigurationError: an argument that cannot be.
    """

    def __init__(
        self,
        dsn: str = "mysql://localhost:3306/asynctasq",
        *,
        max_connections: int = 10,
        table_prefix: str = "asynctasq_",
    ) -> None:
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: use 1 or more")
        if not _PREFIX(table_prefix):
            raise ConfigurationError(f"table_prefix={table_prefix!r}: use up to 40 ASCII letters, digits and '_'")
        self.capabilities = _CAPABILITIES
        self._dsn, self._max_connections, self._prefix = dsn, max_connections, table_prefix
        self._address = Address(dsn)
        self.location = self._address.location
        self._packets = Packets(table_prefix, DEFAULT_PACKET)
        self._connected: Server | None = None
        self._closing = asyncio.Event()
        self._pace = Pace(0.0)
        self._flow: Flow | None = None
        self._background = Background()

    async def connect(self) -> None:
        if self._connected is not None:
            return
        server = Server(self._address, self._max_connections)
        try:
            fitness = await self._inspect(server)
        except BaseException:
            await server.close()
            raise
        if self._connected is not None:  # connected twice at once
            await server.close()
            return
        self.capabilities = replace(_CAPABILITIES, durable=fitness.durable, max_body=fitness.max_body)
        self._packets = Packets(self._prefix, fitness.max_packet)
        self._connected = server
        self._closing = asyncio.Event()
        self._pace = Pace(asyncio.get_running_loop().time())

    async def close(self) -> None:
        self._closing.set()
        await self._background.end()
        server, self._connected = self._connected, None
        if server is not None:
            await server.close()

    def sibling(self) -> MySQLDriver:
        return MySQLDriver(self._dsn, max_connections=self._max_connections, table_prefix=self._prefix)

    def schema_sql(self) -> str:
        return script("install", self._prefix)

    async def install(self) -> None:
        server = Server(self._address, 1)
        try:
            await self._fitness(server)
            await server.ask(self.schema_sql())
        finally:
            await server.close()

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        server = self._server
        refusals = [self._refusal(message) for message in messages]
        first: dict[tuple[str, str], Message] = {}
        for message, refusal in zip(messages, refusals, strict=True):
            if refusal is None:
                first.setdefault((message.queue, message.id), message)
        new = await self._store(server, first) if first else set[tuple[str, str]]()
        return answers.of_enqueue(messages, refusals, new)

    async def claim(
        self, queues: Sequence[str], *, limit: int, lease: float, wait: float, worker: str
    ) -> Sequence[Claim]:
        wanted = list(dict.fromkeys(queues))
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        while True:
            claims, due_in = await self._look(wanted, limit, lease, worker)
            now = loop.time()
            if claims:
                self._pace.found(now)
            if claims or now >= end:
                return claims
            pause = min(self._pace.pause(now), lease / 2, max(due_in, CONTENDED_WAIT))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(end, now + pause)):
                    await self._closing.wait()
            if now + pause > end and loop.time() >= end:
                return []  # the next claim will look anyway

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        server = self._server
        if not claims:
            return []
        began = time.monotonic()
        keys = [key_of(claim.receipt) for claim in claims]
        held = fence(set(keys))
        (reply,) = await server.ask(self._packets.of("extend", lease=in_microseconds(lease), fence=held))
        kept = set(keys) - {NOBODYS}
        if reply.changed < len(kept):
            (reply,) = await server.ask(self._packets.of("held", fence=held), applies=False)
            kept = _keys(reply)
        answer = Extended(ExtendStatus.KEPT, deadline=began + lease)
        return [answer if key in kept else Extended(ExtendStatus.LOST) for key in keys]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        server = self._server
        keys = [key_of(settlement.claim.receipt) for settlement in settlements]
        first = answers.to_settle(keys, settlements)
        done = await self._carry_out(server, first)
        return answers.of_settle(keys, settlements, done, "MySQL")

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        rows = await self._of_each("stats", queues)
        return [
            QueueStats(
                queue=queue,
                ready=ready,
                delayed=delayed,
                leased=leased,
                dead=dead,
                oldest_age=in_seconds(oldest) if ready else None,
                exact=True,
            )
            for queue, (ready, delayed, leased, dead, oldest) in zip(queues, rows, strict=True)
        ]

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        queue_key = name_of(queue)
        behind = "TRUE" if after is None else self._packets.of("behind", after=name_of(after), queue=queue_key)
        packet = self._packets.of("list_dead", queue=queue_key, behind=behind, limit=limit)
        (reply,) = await self._server.ask(packet, applies=False)
        return [dead_message(row) for row in reply.rows]

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        server = self._server
        if not ids:
            return []
        (reply,) = await server.ask(self._packets.of("get_dead", ids=listed(map(name_of, ids))), applies=False)
        found = {letter.id: letter for letter in map(dead_message, reply.rows)}
        return [found.get(id) for id in ids]

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._with_dead("requeue_dead", ids)

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._with_dead("purge_dead", ids)

    async def queues(self) -> Sequence[str]:
        names: list[str] = []
        last = b""
        while True:
            (reply,) = await self._server.ask(self._packets.of("next_queue", last=binary(last)), applies=False)
            ((name,),) = reply.rows
            if name is None:
                return names
            names.append(text(name))
            last = name

    async def purge(self, queue: str) -> int:
        packet = self._packets.of("purge", queue=name_of(queue), piece=PIECE)
        purged = 0
        while True:
            (reply,) = await self._server.ask(packet)
            purged += reply.changed
            if reply.changed < PIECE:
                return purged

    async def examine(self) -> Sequence[Finding]:
        (reply,) = await self._server.ask(self._packets.of("examine"), applies=False)
        return examination.findings(
            dict(reply.rows),
            missing=[privilege for privilege in examination.WRITING if not await self._may(privilege)],
            connections=self._max_connections,
            max_body=self.capabilities.max_body or 0,
        )

    async def _may(self, privilege: str) -> bool:
        try:
            await self._server.ask(self._packets.of(f"may_{privilege.lower()}"), applies=False)
        except ConfigurationError:
            return False
        return True

    async def clock(self) -> float:
        (reply,) = await self._server.ask(self._packets.of("clock"), applies=False)
        ((now,),) = reply.rows
        return in_seconds(now)

    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        server = self._server
        if not ids:
            return []
        (reply,) = await server.ask(self._packets.of("find", ids=listed(map(name_of, ids))), applies=False)
        found = {message.id: message for message in map(found_message, reply.rows)}
        return [found.get(id) for id in ids]

    @property
    def _server(self) -> Server:
        if self._connected is None:
            raise DriverClosed(f"the MySQL driver of {self.location} is not connected: await connect() first")
        return self._connected

    async def _inspect(self, server: Server) -> Fitness:
        """Refuse a server or tables that will not do, and warn of a server that may lose what it acknowledged."""
        fitness = await self._fitness(server)
        ((((tables,),), _),) = await server.ask(self._packets.of("version"), applies=False)
        if refusal := refusal_of_tables(tables, f"MySQL at {self.location}"):
            raise refusal
        if not fitness.durable and self.location not in _told:
            _told.add(self.location)
            logger.warning(
                "MySQL at %s has innodb_flush_log_at_trx_commit 0: when it is killed it loses the last second; set it to 1",
                self.location,
            )
        return fitness

    async def _fitness(self, server: Server) -> Fitness:
        (reply,) = await server.ask(self._packets.of("server"), applies=False)
        return fitness_of(dict(reply.rows), f"MySQL at {self.location}")

    def _refusal(self, message: Message) -> DispatchError | None:
        """Why a message cannot be stored."""
        if not storable(message.id):
            return InvalidName(
                f"message id {message.id!r} holds a lone surrogate or over {ID_KEPT} bytes: use another id"
            )
        return refusal_of_message(message, self.capabilities, "MySQL")

    async def _store(self, server: Server, messages: Mapping[tuple[str, str], Message]) -> set[tuple[str, str]]:
        """Store messages, each of another queue or id; which of them are new."""
        batch = secrets.randbits(63)
        packets = self._packets.enqueue(messages.values(), batch)

        created = await server.converse(lambda wire: transactions.store(wire, packets))
        if created == len(messages):
            return set(messages)
        if not created:
            return set()
        ids = listed(name_of(id) for _, id in messages)
        (reply,) = await server.ask(self._packets.of("created", ids=ids, batch=batch), applies=False)
        there = {(text(queue), text(id)): is_ours for queue, id, is_ours in reply.rows}
        ours = {name for name, is_ours in there.items() if is_ours and name in messages}
        if len(ours) < created:
            ours |= messages.keys() - there.keys()  # stored, claimed and done with since
        return ours

    async def _carry_out(self, server: Server, settlements: Mapping[Key, Settlement]) -> set[Key]:
        """Settle; the keys of those whose receipt was valid."""
        keys = set(settlements)
        if len(keys) <= ACKED and all(settlement.verdict == ACK for settlement in settlements.values()):
            if len(keys) == 1:
                (reply,) = await server.ask(self._packets.of("ack", fence=fence(keys)))
                return keys if reply.changed else set()
            if keys:
                are_all_acked = await server.converse(lambda wire: transactions.ack(wire, self._packets, keys))
                if are_all_acked:
                    return keys
        done: set[Key] = set()
        for packet in self._packets.settle(settlements):
            done |= _keys((await server.ask(packet))[1])
        return done

    async def _look(self, queues: Sequence[str], limit: int, lease: float, worker: str) -> tuple[list[Claim], float]:
        """What can be claimed now; if nothing, in how many seconds something is due."""
        # Of several queues, the others would be passed over where the first has less than was asked for.
        flow = self._flow
        if flow is not None and queues == [flow.queue]:
            claims = await self._take(queues, limit, lease, worker, flow)
            if claims:
                return claims, 0.0
        rows = await self._of_each("due", queues)
        due_in = [math.inf if micros is None else in_seconds(micros) for (micros,) in rows]
        due = [queue for queue, seconds in zip(queues, due_in, strict=True) if seconds <= 0]
        claims = await self._take(due, limit, lease, worker) if due else []
        return claims, min(due_in, default=math.inf)

    async def _take(
        self, queues: Sequence[str], limit: int, lease: float, worker: str, flow: Flow | None = None
    ) -> list[Claim]:
        """Claim from queues that have something due, the most urgent first."""
        server = self._server
        receipt = secrets.randbits(59)
        began = time.monotonic()
        first = 0 if flow is None else flow.first(limit, began)
        taking = asyncio.ensure_future(
            server.converse(
                lambda wire: transactions.take(
                    wire,
                    self._packets,
                    queues,
                    limit=limit,
                    lease=lease,
                    receipt=receipt,
                    deadline=began + lease,
                    worker=worker,
                    first=first,
                )
            )
        )
        try:
            claims = await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._background.begin(self._give_back(taking))
            raise
        self._flow = after(claims, limit, until=flow.until if flow is not None and first else began + LOOKS_BACK)
        return claims

    async def _give_back(self, taking: asyncio.Future[list[Claim]]) -> None:
        """Release what was claimed for somebody who has gone."""
        if claims := await taking:
            await self.settle([Settlement(claim=claim, verdict=Release()) for claim in claims])

    async def _of_each(self, name: str, queues: Sequence[str]) -> list[tuple[Any, ...]]:
        """What a statement answers for each queue, in order."""
        server = self._server
        if not queues:
            return []
        (reply,) = await server.ask(self._packets.of_each(name, queues), applies=False)
        return [row[1:] for row in sorted(reply.rows)]

    async def _with_dead(self, name: str, ids: Sequence[str]) -> list[bool]:
        """Carry out a statement on the dead letters of these ids; whether there was one of each."""
        server = self._server
        if not ids:
            return []
        found = await server.converse(lambda wire: transactions.with_dead(wire, self._packets, name, ids))
        return answers.each_once(ids, found)


def _keys(held: Reply) -> set[Key]:
    """What held.sql answers."""
    (receipts,) = held.rows[0]
    return {key_of(receipt) for receipt in receipts.split(",")} if receipts else set()
