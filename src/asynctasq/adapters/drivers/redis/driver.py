"""The Redis driver: sorted sets and Lua, one round trip per batch."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Sequence

from asynctasq.adapters.background import Background
from asynctasq.adapters.drivers.redis import examination, scripts, suitability
from asynctasq.adapters.drivers.redis.address import Address
from asynctasq.adapters.drivers.redis.arguments import claims_of, fence, stored, verdict
from asynctasq.adapters.drivers.redis.batches import AT_ONCE, Batches
from asynctasq.adapters.drivers.redis.claiming import Taken, take, take_one_by_one
from asynctasq.adapters.drivers.redis.cluster import Cluster
from asynctasq.adapters.drivers.redis.connection import Asked, Server, give_up_at
from asynctasq.adapters.drivers.redis.doorbell import Doorbell
from asynctasq.adapters.drivers.redis.keys import Keys
from asynctasq.adapters.drivers.redis.node import PATIENCE
from asynctasq.adapters.drivers.redis.sentinel import MovingServer
from asynctasq.adapters.drivers.redis.values import (
    dead_message,
    found_message,
    in_microseconds,
    in_seconds,
    packed_id,
)
from asynctasq.domain.errors import (
    ConfigurationError,
    CorruptMessage,
    DriverClosed,
    DriverUnavailable,
    Indeterminate,
)
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Release, Settlement
from asynctasq.ports.driver import (
    Capabilities,
    DeadLetters,
    DeadMessage,
    Enqueued,
    EnqueueStatus,
    Extended,
    ExtendStatus,
    Inspector,
    Purgeable,
    QueueDriver,
    QueueStats,
    Settled,
    SettleStatus,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.refusals import refusal_of_follow_ups, refusal_of_message
from asynctasq.ports.search import LiveMessage, Searchable

logger = logging.getLogger("asynctasq.redis")

HISTORY_KEPT = 10
"""How many errors of earlier attempts are kept of a message."""

LONGEST_WAIT = 5.0
"""Seconds between two looks of a waiting claim, whether it was rung or not: the net under lost hints."""

_CAPABILITIES = Capabilities(
    durable=True,
    max_delay=None,
    delay_resolution=0.001,
    ordered=True,
    fencing=True,
    idempotent_enqueue=True,
    atomic_batch=False,
    atomic_move=True,
    refunds_release=True,
    attempt_history=True,
    lease="timed",
    max_lease=None,
    max_body=64 * 1024 * 1024,
    claim_limit=AT_ONCE,
    exact_stats=True,
)
_DONE, _LOST = Settled(SettleStatus.DONE), Settled(SettleStatus.LOST)
_told: set[tuple[str, str]] = set()


class RedisDriver(QueueDriver, DeadLetters, Inspector, Purgeable, Examinable, Searchable):
    """Queues in Redis (6.2 or newer) or Valkey (7.2 or newer).

    Nothing that was acknowledged is lost as far as the server keeps what it acknowledged: with `appendonly yes`, all of it when
    the server dies, and at most the last second when its machine does (`appendfsync always`: nothing).

    Args:
        url: redis://, rediss:// (TLS) or unix://, with a user name, password and database if wanted. For a server that sentinels
            watch redis+sentinel://host:port,host:port/service, for a cluster redis+cluster://host:port,host:port, and over TLS
            rediss+sentinel:// and rediss+cluster://.
        password: if not in the URL.
        db: the database's number, if not in the URL.
        max_connections: how many there may be for requests, which else wait for one; one more listens where claims wait.
        key_prefix: what the names of all keys begin with; apps of different prefixes know nothing of each other.

    Raises:
        ConfigurationError: an argument that cannot be, or contradicts the URL.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        password: str | None = None,
        db: int | None = None,
        max_connections: int = 100,
        key_prefix: str = "asynctasq",
    ) -> None:
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: use 1 or more")
        if not key_prefix or set(key_prefix) & set("{}"):
            raise ConfigurationError(f"key_prefix={key_prefix!r}: use a name without braces")
        self.capabilities = _CAPABILITIES
        self._url, self._password, self._db = url, password, db
        self._max_connections = max_connections
        self._keys = Keys(key_prefix)
        self._address = Address(url, password=password, db=db)
        self.location = self._address.location
        self._connected: Asked | None = None
        self._doorbell: Doorbell | None = None
        self._batches = Batches(self._keys)
        self._background = Background()

    async def connect(self) -> None:
        if self._connected is not None:
            return
        server = _opened(self._address, self._max_connections)
        try:
            info, *settings = await server.ask_each(*suitability.QUESTIONS)
            suitability.check(info, self.location, is_cluster=self._address.kind == "cluster")
            suitability.warn(settings, self.location)
        except BaseException as error:
            await server.close()
            if isinstance(error, Indeterminate):  # it was only asked how it is
                raise DriverUnavailable(str(error)) from error
            raise
        if self._connected is not None:  # connected twice at once
            await server.close()
            return
        self._connected, self._doorbell = server, Doorbell(server)

    async def close(self) -> None:
        server, self._connected = self._connected, None
        doorbell, self._doorbell = self._doorbell, None
        self._batches.forget()
        if doorbell is not None:
            await doorbell.close()
        if server is not None:
            await self._background.end(PATIENCE)
            await server.close()

    def sibling(self) -> RedisDriver:
        return RedisDriver(
            self._url,
            password=self._password,
            db=self._db,
            max_connections=self._max_connections,
            key_prefix=self._keys.prefix,
        )

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        refusals = [refusal_of_message(message, _CAPABILITIES, "Redis") for message in messages]
        items = [
            (message.queue, stored(message)) for message, refusal in zip(messages, refusals, strict=True) if not refusal
        ]
        created = iter(await self._batches.run_for_each(self._server, scripts.ENQUEUE, items))
        answers: list[Enqueued] = []
        for message, refusal in zip(messages, refusals, strict=True):
            match refusal or next(created):
                case True:
                    answers.append(Enqueued(EnqueueStatus.CREATED, message.id))
                case False:
                    answers.append(Enqueued(EnqueueStatus.DUPLICATE, message.id))
                case error:
                    answers.append(Enqueued(EnqueueStatus.FAILED, message.id, error))
        return answers

    async def claim(
        self,
        queues: Sequence[str],
        *,
        limit: int,
        lease: float,
        wait: float,
        worker: str,  # noqa: ARG002 -- for brokers that show it
    ) -> Sequence[Claim]:
        if wait <= 0:
            claims, _ = await self._look(queues, limit, lease, waits=False)
            return claims
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        bell, channels = self._bell, [self._keys.channel(queue) for queue in queues]
        if not bell.hears(channels):  # connecting takes its time, and there may be work already
            claims, _ = await self._look(queues, limit, lease, waits=False)
            if claims:
                return claims
        async with bell.rung_for(channels, patience=end - loop.time()) as rung:
            while True:
                rung.clear()  # before the look: what comes after it rings
                claims, due_in = await self._look(queues, limit, lease, waits=True)
                now = loop.time()
                if claims or now >= end:
                    return claims
                due = math.inf if due_in is None else now + due_in
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(end, due, now + LONGEST_WAIT)):
                        await rung.wait()
                if not rung.is_set() and end < due and loop.time() >= end:
                    return []  # nothing can have come: the next claim will look anyway

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        server = self._server
        began = time.monotonic()
        items = [(claim.message.queue, fence(claim)) for claim in claims]
        answers: list[Extended] = []
        for kept in await self._batches.run_for_each(server, scripts.EXTEND, items, [in_microseconds(lease)]):
            match kept:
                case True:
                    answers.append(Extended(ExtendStatus.KEPT, deadline=began + lease))
                case False:
                    answers.append(Extended(ExtendStatus.LOST))
                case error:
                    answers.append(Extended(ExtendStatus.FAILED, error=error))
        return answers

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return await self._settle(self._server, settlements)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        return await self._stats(self._server, queues, give_up_at())

    async def _stats(self, server: Asked, queues: Sequence[str], until: float) -> Sequence[QueueStats]:
        asked = (self._batches.run(scripts.STATS, queue, ()) for queue in queues)
        replies = await server.ask(*asked, until=until) if queues else []
        return [
            QueueStats(
                queue=queue,
                ready=ready,
                delayed=delayed,
                leased=leased,
                dead=dead,
                oldest_age=in_seconds(int(oldest)) if ready else None,
                exact=True,
            )
            for queue, (ready, delayed, leased, dead, oldest) in zip(queues, replies, strict=True)
        ]

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        server, until = self._server, give_up_at()
        behind = b"" if after is None else packed_id(after)
        readable: list[DeadMessage] = []
        while (most := limit - len(readable)) > 0:
            page = self._batches.run(scripts.LIST_DEAD, queue, [most, behind])
            ((ids, letters),) = await server.ask(page, until=until)
            for id, packed in zip(ids, letters, strict=True):
                if letter := _letter(queue, id, packed):
                    readable.append(letter)
            if len(ids) < most:
                break
            behind = ids[-1]  # strangers' letters must not look like the end
        return readable

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        server, until, found = self._server, give_up_at(), dict[str, DeadMessage]()
        names = await self._batches.queues(server, until)
        if not names or not ids:
            return [None] * len(ids)
        packed = [packed_id(id) for id in ids]
        replies = await server.ask(*(("HMGET", self._keys.dead(queue), *packed) for queue in names), until=until)
        for queue, letters in zip(names, replies, strict=True):
            for id, raw, letter in zip(ids, packed, letters, strict=True):
                if letter is not None and (read := _letter(queue, raw, letter)):
                    found[id] = read
        return [found.get(id) for id in ids]

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._batches.run_in_any_queue(self._server, scripts.REQUEUE_DEAD, ids)

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._batches.run_in_any_queue(self._server, scripts.PURGE_DEAD, ids)

    async def queues(self) -> Sequence[str]:
        server, until = self._server, give_up_at()
        stats = await self._stats(server, await self._batches.queues(server, until), until)
        return [each.queue for each in stats if each.ready or each.delayed or each.leased or each.dead]

    async def purge(self, queue: str) -> int:
        (count,) = await self._server.ask(self._batches.run(scripts.PURGE, queue, ()))
        return int(count)

    async def examine(self) -> Sequence[Finding]:
        info, *settings = await self._server.ask_each(
            ("INFO",), *(("CONFIG", "GET", setting) for setting in examination.SETTINGS)
        )
        return examination.findings(info, settings)

    async def clock(self) -> float:
        ((seconds, microseconds),) = await self._server.ask(("TIME",))
        return int(seconds) + int(microseconds) / 1_000_000

    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        server, until, found = self._server, give_up_at(), dict[str, LiveMessage]()
        # An id alone does not say in which queue it is: each that there is looks into its hash, all in one round trip.
        names = await self._batches.queues(server, until) if ids else []
        packed = [packed_id(id) for id in ids]
        asked = (self._batches.run(scripts.FIND, queue, packed) for queue in names)
        replies = await server.ask(*asked, until=until) if names else []
        for queue, reply in zip(names, replies, strict=True):
            for each in reply:
                message = found_message(ids[int(each[0])], queue, each[1:])
                found[message.id] = message
        return [found.get(id) for id in ids]

    @property
    def _server(self) -> Asked:
        if self._connected is None:
            raise self._closed()
        return self._connected

    @property
    def _bell(self) -> Doorbell:
        if self._doorbell is None:
            raise self._closed()
        return self._doorbell

    def _closed(self) -> DriverClosed:
        return DriverClosed(f"the Redis driver of {self.location} is not connected: await connect() first")

    async def _look(
        self, queues: Sequence[str], limit: int, lease: float, *, waits: bool
    ) -> tuple[list[Claim], float | None]:
        """What can be claimed now; if nothing, in how many seconds something is due, None if never."""
        server = self._server
        token = os.urandom(8)
        began = time.monotonic()
        arguments = (min(limit, AT_ONCE), in_microseconds(lease), token, int(waits))
        is_spread = self._address.kind == "cluster" and len(queues) > 1
        ask = take_one_by_one if is_spread else take
        asking = asyncio.ensure_future(ask(server, self._keys, queues, arguments))
        try:
            claimed, due_in, broken = await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._background.begin(self._give_back(server, asking, queues, token, began + lease))
            raise
        for place, problem in zip(broken[::2], broken[1::2], strict=True):
            self._complain(queues[int(place)], problem.decode("utf-8", "replace"))
        return claims_of(claimed, queues, token, began + lease), None if due_in < 0 else in_seconds(due_in)

    async def _give_back(
        self,
        server: Asked,
        asking: asyncio.Future[Taken],
        queues: Sequence[str],
        token: bytes,
        deadline: float,
    ) -> None:
        """Release what was claimed for somebody who has gone, even if the driver is being closed."""
        claimed, *_ = await asking
        claims = claims_of(claimed, queues, token, deadline)
        if claims:
            await self._settle(server, [Settlement(claim=claim, verdict=Release()) for claim in claims])

    async def _settle(self, server: Asked, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        items = [(each.claim.message.queue, verdict(each)) for each in settlements if not each.then]
        done = iter(await self._batches.run_for_each(server, scripts.SETTLE, items, [HISTORY_KEPT]))
        answers: list[Settled] = []
        for settlement in settlements:
            match refusal_of_follow_ups("Redis") if settlement.then else next(done):
                case True:
                    answers.append(_DONE)
                case False:
                    answers.append(_LOST)
                case error:
                    answers.append(Settled(SettleStatus.FAILED, error))
        return answers

    def _complain(self, queue: str, problem: str) -> None:
        if (self.location, f"{queue}: {problem}") not in _told:
            _told.add((self.location, f"{queue}: {problem}"))
            logger.warning("Redis at %s: queue %s cannot be served: %s", self.location, queue, problem)


def _opened(address: Address, size: int) -> Asked:
    """Not connected yet: that is done when it is asked."""
    match address.kind:
        case "cluster":
            return Cluster(address, size)
        case "sentinel":
            return MovingServer(address, size)
        case _:
            return Server(address.node(), size)


def _letter(queue: str, id: bytes, packed: bytes | None) -> DeadMessage | None:
    """A dead letter; None, with a warning, if a stranger has written something else there."""
    if packed is None:
        return None
    try:
        return dead_message(queue, id, packed)
    except CorruptMessage as error:
        logger.warning("%s", error)
        return None
