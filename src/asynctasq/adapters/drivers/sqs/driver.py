"""The SQS driver: standard queues, requests of ten messages, and a new copy wherever a message changes."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from asynctasq.adapters.background import Background
from asynctasq.adapters.drivers.sqs import examination
from asynctasq.adapters.drivers.sqs.broker import Broker
from asynctasq.adapters.drivers.sqs.client import AT_ONCE, PATIENCE, ClientFactory, give_up_at, location_of, opened
from asynctasq.adapters.drivers.sqs.copies import copy_after
from asynctasq.adapters.drivers.sqs.envelope import LARGEST_BODY, Envelope
from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue, NotAllowed, Superseded
from asynctasq.adapters.drivers.sqs.outcomes import by_queue, raise_if_nothing_is_known, settled
from asynctasq.adapters.drivers.sqs.polls import UNUSABLE, Polls
from asynctasq.adapters.drivers.sqs.queues import LONGEST_PREFIX, Queues
from asynctasq.domain.errors import (
    AsyncTasQError,
    ConfigurationError,
    DriverClosed,
    UnsupportedByDriver,
)
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Ack, Release, Settlement
from asynctasq.ports.driver import (
    Capabilities,
    Enqueued,
    EnqueueStatus,
    Extended,
    ExtendStatus,
    Inspector,
    QueueDriver,
    QueueStats,
    Settled,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.refusals import refusal_of_follow_ups, refusal_of_message

LONGEST_DELAY = 7 * 86_400.0
"""Seconds. What SQS cannot hold is sent anew every quarter of an hour, and each time costs three requests for ten."""

LONGEST_HOP = 900
"""Seconds for which SQS holds a message back at most."""

LONGEST_LEASE = 43_200.0
"""Seconds for which SQS hides a message at most, from when it was received."""

LONGEST_POLL = 20
"""Seconds for which SQS waits for a message at most."""

CLAIM_LIMIT = 100
"""Messages of one claim: ten requests side by side."""

ROUNDED = 0.2
"""Seconds by which a claim may wait longer or shorter than it was asked to, as SQS waits for whole seconds."""

LAST_POLL = 1.0
"""Seconds that a driver which is being closed gives to requests that wait for messages: what is dropped may take one along."""

_CAPABILITIES = Capabilities(
    durable=True,
    max_delay=LONGEST_DELAY,
    delay_resolution=1.0,
    ordered=False,
    fencing=False,
    idempotent_enqueue=False,
    atomic_batch=False,
    atomic_move=False,
    refunds_release=True,
    attempt_history=False,
    lease="timed",
    max_lease=LONGEST_LEASE,
    max_body=LARGEST_BODY,
    claim_limit=CLAIM_LIMIT,
    exact_stats=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    region: str | None
    endpoint_url: str | None
    queue_prefix: str
    create_queues: bool
    hop: int
    shortest_poll: int
    max_connections: int
    client: ClientFactory | None


class SQSDriver(QueueDriver, Inspector, Examinable):
    """Standard queues of Amazon SQS, or of what speaks like it.

    SQS hands a message out at least once, in no order, and cannot tell who holds it: a worker stops by itself what has lost
    its lease, and a task may rarely run twice.

    Args:
        region: such as "eu-central-1"; None for what the environment or the profile says.
        endpoint_url: where an emulator is; None for AWS.
        queue_prefix: what the names of all queues in SQS begin with; apps of different prefixes know nothing of each other.
        create_queues: whether a queue that is missing is created when it is needed; else it is refused.
        hop: seconds, 1 to 900, for which SQS is asked to hold a message back; longer delays are made of several.
        shortest_poll: seconds, 0 to 20, that the last look at empty queues waits at least. SQS asks all of its machines only
            if it may wait; 0 is for emulators, which have one.
        max_connections: how many a process may open; further requests wait for one.
        client: gives the client of SQS, as `aioboto3.Session().client` does without its first argument; None for one of
            aiobotocore with the usual credentials.

    Raises:
        ConfigurationError: an argument that cannot be.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        queue_prefix: str = "asynctasq-",
        create_queues: bool = True,
        hop: int = LONGEST_HOP,
        shortest_poll: int = 1,
        max_connections: int = 50,
        client: ClientFactory | None = None,
    ) -> None:
        if endpoint_url is not None and not re.fullmatch(r"https?://[^/\s]+.*", endpoint_url):
            raise ConfigurationError("endpoint_url: write http://host:port, or leave it out for AWS")
        if not re.fullmatch(f"[A-Za-z0-9_-]{{0,{LONGEST_PREFIX}}}", queue_prefix):
            raise ConfigurationError(
                f"queue_prefix={queue_prefix!r}: use at most {LONGEST_PREFIX} letters, digits, hyphens and underscores"
            )
        for name, value, least, most in (
            ("hop", hop, 1, LONGEST_HOP),
            ("shortest_poll", shortest_poll, 0, LONGEST_POLL),
            ("max_connections", max_connections, 1, None),
        ):
            if value < least or (most is not None and value > most):
                raise ConfigurationError(
                    f"{name}={value!r}: use a whole number from {least}{f' to {most}' if most else ''}"
                )
        self.capabilities = _CAPABILITIES
        self._options = _Options(
            region=region,
            endpoint_url=endpoint_url,
            queue_prefix=queue_prefix,
            create_queues=create_queues,
            hop=hop,
            shortest_poll=shortest_poll,
            max_connections=max_connections,
            client=client,
        )
        self.location = location_of(endpoint_url, region)
        self._broker: Broker | None = None
        self._polls: Polls | None = None
        self._idle: tuple[str, ...] = ()
        self._background = Background()

    async def connect(self) -> None:
        if self._broker is not None:
            return
        options = self._options
        client = await opened(
            options.client,
            region=options.region,
            endpoint_url=options.endpoint_url,
            connections=options.max_connections,
        )
        try:
            queues = Queues(client, prefix=options.queue_prefix, creates=options.create_queues)
            # Any will do, also one that does not exist or is not for us: what is asked is whether SQS answers and knows us.
            with contextlib.suppress(NoSuchQueue, NotAllowed):
                await client.ask("get_queue_url", QueueName=queues.name("default"))
        except BaseException:
            await client.close()
            raise
        if self._broker is not None:  # connected twice at once
            await client.close()
            return
        broker = self._broker = Broker(client, queues, hop=options.hop)
        self._polls = Polls(broker.receive, lambda claims: self._give_back(broker, claims), queues.complain)
        self.location = client.location

    async def close(self) -> None:
        broker, self._broker = self._broker, None
        polls, self._polls = self._polls, None
        if broker is None or polls is None:
            return
        await polls.close(LAST_POLL)
        await self._background.end(PATIENCE)
        await broker.client.close()

    def sibling(self) -> SQSDriver:
        options = self._options
        return SQSDriver(**{name: getattr(options, name) for name in _Options.__slots__})

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        broker, until = self._connected, give_up_at()
        errors: dict[int, AsyncTasQError | None] = {
            n: refusal_of_message(message, _CAPABILITIES, "SQS") for n, message in enumerate(messages)
        }
        places: defaultdict[str, list[int]] = defaultdict(list)
        for n, message in enumerate(messages):
            if errors[n] is None:
                places[message.queue].append(n)

        async def send(queue: str, these: Sequence[int]) -> None:
            envelopes = [(Envelope(id=messages[n].id, body=messages[n].body), messages[n].delay) for n in these]
            errors.update(zip(these, await broker.send(queue, envelopes, until=until), strict=True))

        await asyncio.gather(*(send(queue, these) for queue, these in places.items()))
        raise_if_nothing_is_known(list(errors.values()))
        return [
            Enqueued(EnqueueStatus.CREATED if (error := errors[n]) is None else EnqueueStatus.FAILED, message.id, error)
            for n, message in enumerate(messages)
        ]

    async def claim(
        self,
        queues: Sequence[str],
        *,
        limit: int,
        lease: float,
        wait: float,
        worker: str,  # noqa: ARG002 -- for brokers that show it
    ) -> Sequence[Claim]:
        polls = self._waiting
        if lease > LONGEST_LEASE:
            raise UnsupportedByDriver(
                f"a lease of {lease:g} s: SQS hides a message for {LONGEST_LEASE:g} s at most: use a shorter worker.lease"
            )
        limit, loop = min(limit, CLAIM_LIMIT), asyncio.get_running_loop()
        end, shortest = loop.time() + wait, self._options.shortest_poll
        # A look keeps the order of the queues. With one there is none to keep, and where nothing was there rarely is.
        waits = wait >= 1 and (len(queues) == 1 or self._idle == tuple(queues))
        claims = [] if waits else await self._look(polls, queues, limit, lease)
        while not claims:
            left = end - loop.time()
            if seconds := max(shortest, min(int(left + ROUNDED), LONGEST_POLL)):
                claims = await polls.first(queues, limit=limit, lease=lease, seconds=seconds)
                claims += await self._more(polls, queues, claims, limit, lease)
            elif left > 0:  # SQS waits for whole seconds
                await asyncio.sleep(left)
                claims = await self._look(polls, queues, limit, lease)
            if loop.time() + ROUNDED >= end:
                break
        self._idle = () if claims else tuple(queues)
        return claims

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        broker, until, began = self._connected, give_up_at(), time.monotonic()
        errors: dict[int, AsyncTasQError | None] = {}

        async def hide(queue: str, these: Sequence[int]) -> None:
            receipts = [claims[n].receipt for n in these]
            errors.update(zip(these, await broker.hide(queue, receipts, lease, until=until), strict=True))

        await asyncio.gather(*(hide(queue, these) for queue, these in by_queue(claims).items()))
        raise_if_nothing_is_known([errors[n] for n in range(len(claims))])
        answers: list[Extended] = []
        for n in range(len(claims)):
            match errors[n]:
                case None:
                    answers.append(Extended(ExtendStatus.KEPT, began + lease))
                case Superseded():
                    answers.append(Extended(ExtendStatus.LOST))
                case error:
                    answers.append(Extended(ExtendStatus.FAILED, error=error))
        return answers

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return await self._settled(self._connected, settlements)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        return await self._counted(self._connected, queues, give_up_at())

    async def queues(self) -> Sequence[str]:
        broker, until = self._connected, give_up_at()
        stats = await self._counted(broker, await broker.queues.all(until=until), until)
        return [each.queue for each in stats if each.ready or each.delayed or each.leased or each.dead]

    async def examine(self) -> Sequence[Finding]:
        broker, options = self._connected, self._options
        try:
            told = await broker.queues.told(until=give_up_at())
        except NotAllowed as refused:
            return examination.findings(refused, prefix=options.queue_prefix, creates=options.create_queues)
        return examination.findings(told, prefix=options.queue_prefix, creates=options.create_queues)

    async def clock(self) -> float:
        broker = self._connected
        return await broker.client.clock(broker.queues.name("default"))

    @property
    def _connected(self) -> Broker:
        if self._broker is None:
            raise self._closed()
        return self._broker

    @property
    def _waiting(self) -> Polls:
        if self._polls is None:
            raise self._closed()
        return self._polls

    def _closed(self) -> DriverClosed:
        return DriverClosed(f"the SQS driver of {self.location} is not connected: await connect() first")

    async def _look(self, polls: Polls, queues: Sequence[str], limit: int, lease: float) -> list[Claim]:
        """What is there now, the most urgent first."""
        claims: list[Claim] = []
        problems: dict[str, AsyncTasQError] = {}
        for queue in queues:
            claims += polls.kept(queue, limit=limit - len(claims), lease=lease)
            if len(claims) < limit and not polls.waits_at(queue, lease):
                try:
                    found = await polls.first([queue], limit=limit - len(claims), lease=lease, seconds=0)
                except UNUSABLE as error:  # which holds up no other
                    problems[queue] = error
                    continue
                claims += found
                claims += await self._more(polls, [queue], found, limit - len(claims) + len(found), lease)
            if len(claims) >= limit:
                break
        if problems and len(problems) == len(queues):
            raise next(iter(problems.values()))
        for queue, problem in problems.items():
            polls.complain(queue, problem)
        return claims

    async def _more(
        self, polls: Polls, queues: Sequence[str], found: Sequence[Claim], limit: int, lease: float
    ) -> list[Claim]:
        """More of the first queue that has just given as much as one request takes, by several side by side."""
        counts = Counter(claim.message.queue for claim in found)
        full = next((queue for queue in queues if counts[queue] >= AT_ONCE), None)
        wanted = limit - len(found)
        if full is None or wanted <= 0:
            return []
        shares = [min(AT_ONCE, wanted - begun) for begun in range(0, wanted, AT_ONCE)]
        more = await asyncio.gather(
            *(polls.first([full], limit=share, lease=lease, seconds=0) for share in shares), return_exceptions=True
        )
        # One that failed is of no matter: there are claims already.
        return [claim for each in more if not isinstance(each, BaseException) for claim in each]

    def _give_back(self, broker: Broker, claims: Sequence[Claim]) -> None:
        released = [Settlement(claim=claim, verdict=Release()) for claim in claims]
        self._background.begin(self._settled(broker, released))

    async def _settled(self, broker: Broker, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        until = give_up_at()
        errors: dict[int, AsyncTasQError | None] = {
            n: refusal_of_follow_ups("SQS") for n, settlement in enumerate(settlements) if settlement.then
        }
        copies = {
            n: copy_after(settlement.claim, settlement.verdict)
            for n, settlement in enumerate(settlements)
            if n not in errors and not isinstance(settlement.verdict, Ack)
        }
        if copies:
            errors |= {
                n: error
                for n, error in zip(copies, await broker.send_copies(list(copies.values()), until=until), strict=True)
                if error is not None
            }
        # A copy is there: the original may go.
        going = [n for n in range(len(settlements)) if n not in errors]

        async def delete(queue: str, these: Sequence[int]) -> None:
            places = [going[n] for n in these]
            receipts = [settlements[n].claim.receipt for n in places]
            errors.update(zip(places, await broker.delete(queue, receipts, until=until), strict=True))

        groups = by_queue([settlements[n].claim for n in going])
        await asyncio.gather(*(delete(queue, these) for queue, these in groups.items()))
        raise_if_nothing_is_known([errors[n] for n in range(len(settlements))])
        return [settled(errors[n], copied=n in copies) for n in range(len(settlements))]

    async def _counted(self, broker: Broker, queues: Sequence[str], until: float) -> Sequence[QueueStats]:
        live = await asyncio.gather(*(broker.counts(queue, until=until) for queue in queues))
        dead = await asyncio.gather(*(broker.counts(queue, dead=True, until=until) for queue in queues))
        return [
            QueueStats(
                queue=queue,
                ready=int(alive.get("ApproximateNumberOfMessages", 0)),
                delayed=int(alive.get("ApproximateNumberOfMessagesDelayed", 0)),
                leased=int(alive.get("ApproximateNumberOfMessagesNotVisible", 0)),
                dead=sum(map(int, letters.values())),
                oldest_age=None,
                exact=False,
            )
            for queue, alive, letters in zip(queues, live, dead, strict=True)
        ]
