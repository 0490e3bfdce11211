"""The queues of SQS behind ours: their names, their addresses, whether they exist, and whether they will do."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from asynctasq.adapters.drivers.sqs.client import SIDE_BY_SIDE, Client
from asynctasq.adapters.drivers.sqs.envelope import MOST
from asynctasq.adapters.drivers.sqs.examination import ATTRIBUTES, KEPT, Told, troubles
from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue, NotAllowed
from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverError, InvalidName

logger = logging.getLogger("asynctasq.sqs")

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

    async def told(self, *, until: float) -> dict[tuple[str, bool], Told]:
        """What SQS tells of every queue of ours and of its dead letters', by its name there; none is created.

        Raises:
            NotAllowed: these credentials may not list queues.
            DriverError: SQS could not be asked of any.
        """
        places = [(queue, dead) for queue in await self.all(until=until) for dead in (False, True)]

        async def of(queue: str, *, dead: bool) -> Told:
            try:
                name = self.name(queue, dead=dead)
                async with turn:
                    found = await self._client.ask("get_queue_url", QueueName=name, until=until)
                    return await self._attributes(found["QueueUrl"], until=until)
            except NoSuchQueue:
                return None
            except AsyncTasQError as error:
                return error

        turn = asyncio.Semaphore(SIDE_BY_SIDE)
        answers = await asyncio.gather(*(of(queue, dead=dead) for queue, dead in places))
        failures = [answer for answer in answers if isinstance(answer, DriverError)]
        if failures and len(failures) == len(answers):
            raise failures[0]
        names = [(f"{self._prefix}{DEAD if dead else ''}{queue}", dead) for queue, dead in places]
        return dict(zip(names, answers, strict=True))

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
        try:
            attributes = await self._attributes(url, until=until)
        except NotAllowed as error:  # what it is like will show
            self._warn(name, f"its attributes cannot be checked: {error}")
            return Queue(url=url, most=MOST)
        for problem, mend in troubles(attributes, dead=dead):
            self._warn(name, f"{problem}: {mend}")
        return Queue(url=url, most=min(MOST, int(attributes.get("MaximumMessageSize", MOST))))

    async def _attributes(self, url: str, *, until: float) -> Mapping[str, str]:
        answer = await self._client.ask(
            "get_queue_attributes", QueueUrl=url, AttributeNames=list(ATTRIBUTES), until=until
        )
        attributes: Mapping[str, str] = answer.get("Attributes", {})
        return attributes

    def complain(self, queue: str, problem: BaseException) -> None:
        """Tell people, once, of a queue that cannot be used where others can."""
        self._warn(f"{self._prefix}{queue}", f"it cannot be served: {problem}")

    def _warn(self, name: str, problem: str) -> None:
        if (self._client.location, f"{name}: {problem}") not in _told:
            _told.add((self._client.location, f"{name}: {problem}"))
            logger.warning("SQS at %s: queue %s: %s", self._client.location, name, problem)
