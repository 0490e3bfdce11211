"""The queues of SQS behind ours: their names, their addresses, whether they exist, and whether they will do."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from asynctasq.adapters.drivers.sqs.client import Client
from asynctasq.adapters.drivers.sqs.envelope import MOST
from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue, NotAllowed
from asynctasq.domain.errors import ConfigurationError, InvalidName

logger = logging.getLogger("asynctasq.sqs")

KEPT = 1_209_600
"""Seconds that SQS keeps a message at most: fourteen days."""

KEPT_BY_DEFAULT = 345_600
"""Seconds that it keeps one unless told otherwise: four days."""

FEW_RECEIPTS = 10
"""A redrive policy that allows fewer takes tasks away that would have been run again."""

LONGEST_NAME = 80
"""Characters of a name in SQS."""

LONGEST_PREFIX = 40
"""Characters that may stand before our names: the rest is theirs."""

DEAD = "_dead-"
"""What stands before the name of the queue whose dead letters a queue holds: no queue's own name begins like that."""

_told: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue of SQS.

    Attributes:
        url: its address.
        most: bytes of its largest message.
    """

    url: str
    most: int


class Queues:
    """The queues that one client has met.

    Args:
        client: for looking.
        prefix: what the names of all of them begin with.
        creates: whether one that is missing is created when it is needed.
    """

    def __init__(self, client: Client, *, prefix: str, creates: bool) -> None:
        self._client = client
        self._prefix = prefix
        self._creates = creates
        self._known: dict[str, Queue] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def needed(self, queue: str, *, dead: bool = False, until: float) -> Queue:
        """The queue of SQS for one of ours, or for its dead letters; created if that is allowed.

        Raises:
            ConfigurationError: it does not exist and is not to be created, or will not do.
            InvalidName: with the prefix the name is too long.
            DriverUnavailable: SQS could not be asked.
        """
        found = await self._find(queue, dead=dead, create=self._creates, until=until)
        if found is None:
            name = self.name(queue, dead=dead)
            raise ConfigurationError(
                f"SQS at {self._client.location} has no queue {name!r}: create it, or set sqs.create_queues to true"
            )
        return found

    async def existing(self, queue: str, *, dead: bool = False, until: float) -> Queue | None:
        """The queue of SQS for one of ours, or for its dead letters; None if there is none."""
        return await self._find(queue, dead=dead, create=False, until=until)

    def forget(self, queue: str, *, dead: bool = False) -> None:
        """Somebody has deleted it."""
        self._known.pop(self.name(queue, dead=dead), None)

    def name(self, queue: str, *, dead: bool = False) -> str:
        """What SQS calls it.

        Raises:
            InvalidName: too long.
        """
        name = f"{self._prefix}{DEAD if dead else ''}{queue}"
        if len(name) > LONGEST_NAME:
            raise InvalidName(
                f"queue {queue!r} would be called {name!r}, of which SQS takes {LONGEST_NAME} characters: use a shorter "
                "name, or a shorter sqs.queue_prefix"
            )
        return name

    async def all(self, *, until: float) -> list[str]:
        """The names of ours that there are, dead letters' included, sorted."""
        names: set[str] = set()
        more: dict[str, str] = {}
        while True:
            page = await self._client.ask(
                "list_queues", QueueNamePrefix=self._prefix, MaxResults=1000, until=until, **more
            )
            for url in page.get("QueueUrls", ()):
                name = url.rpartition("/")[2].removeprefix(self._prefix).removeprefix(DEAD)
                if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
                    names.add(name)
            if not page.get("NextToken"):
                return sorted(names)
            more = {"NextToken": page["NextToken"]}

    async def _find(self, queue: str, *, dead: bool, create: bool, until: float) -> Queue | None:
        name = self.name(queue, dead=dead)
        if known := self._known.get(name):
            return known
        async with self._opening[name]:
            if known := self._known.get(name):
                return known
            try:
                found = await self._client.ask("get_queue_url", QueueName=name, until=until)
            except NoSuchQueue:
                if not create:
                    return None
                attributes = {"MessageRetentionPeriod": str(KEPT)}
                found = await self._client.ask("create_queue", QueueName=name, Attributes=attributes, until=until)
            self._known[name] = await self._inspected(name, found["QueueUrl"], dead=dead, until=until)
            return self._known[name]

    async def _inspected(self, name: str, url: str, *, dead: bool, until: float) -> Queue:
        """A queue, after a warning if it may lose tasks."""
        asked = ["MaximumMessageSize", "MessageRetentionPeriod", "RedrivePolicy"]
        try:
            answer = await self._client.ask("get_queue_attributes", QueueUrl=url, AttributeNames=asked, until=until)
        except NotAllowed as error:  # what it is like will show
            self._warn(name, f"its attributes cannot be checked: {error}")
            return Queue(url=url, most=MOST)
        attributes: Mapping[str, str] = answer.get("Attributes", {})
        kept = int(attributes.get("MessageRetentionPeriod", KEPT))
        if kept < KEPT_BY_DEFAULT:
            what = "dead letters" if dead else "tasks"
            self._warn(name, f"it forgets {what} after {kept / 3600:g} hours: raise its MessageRetentionPeriod")
        receipts = int(json.loads(attributes.get("RedrivePolicy") or "{}").get("maxReceiveCount", FEW_RECEIPTS))
        if receipts < FEW_RECEIPTS:
            self._warn(
                name,
                f"SQS itself takes tasks away from it after {receipts} receipts: remove its RedrivePolicy, or raise "
                f"maxReceiveCount to {FEW_RECEIPTS} or more",
            )
        return Queue(url=url, most=min(MOST, int(attributes.get("MaximumMessageSize", MOST))))

    def _warn(self, name: str, problem: str) -> None:
        if (self._client.location, f"{name}: {problem}") not in _told:
            _told.add((self._client.location, f"{name}: {problem}"))
            logger.warning("SQS at %s: queue %s: %s", self._client.location, name, problem)
