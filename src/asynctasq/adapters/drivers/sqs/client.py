"""One client of SQS, and how it is asked: bounded in time, in batches of ten, with the port's errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from aiobotocore import config as _config  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from aiobotocore import session as _session  # pyright: ignore[reportMissingTypeStubs]

from asynctasq.adapters.drivers.sqs.envelope import MOST
from asynctasq.adapters.drivers.sqs.faults import RAISED, NoSuchQueue, NotAllowed, refusal, translated
from asynctasq.domain.errors import AsyncTasQError, DriverUnavailable, Indeterminate

ClientFactory = Callable[..., AbstractAsyncContextManager[Any]]
"""Gives a client of SQS for `region_name`, `endpoint_url` and `config`, as `aioboto3.Session().client` does given "sqs"."""

PATIENCE = 4.5
"""Seconds for a verb: the port allows five."""

CONNECTING = 3.0
"""Seconds for a connection: less than a verb has, so that it can say that nothing was sent."""

IDLE = 4.0
"""Seconds after which a connection that nobody has used is not used again. Where one has fallen silent it costs a verb more than
these, and those that lay idle beside it, as likely to be dead, cost no other verb anything."""

AT_ONCE = 10
"""Entries of one request."""

QUESTIONS = {"get_queue_url", "get_queue_attributes", "list_queues"}
"""What changes nothing, whatever becomes of the answer."""

SIDE_BY_SIDE = 16
"""Requests of one verb that are under way at the same time."""

_theirs_config: Any = _config
_theirs_session: Any = _session
_known = threading.local()


class Client:
    """A client that is open, on one event loop.

    Args:
        client: of aiobotocore.
        manager: what closes it.
        location: where SQS is.
    """

    def __init__(self, client: Any, manager: AbstractAsyncContextManager[Any], location: str) -> None:
        self._client = client
        self._manager = manager
        self._turn = asyncio.Semaphore(SIDE_BY_SIDE)
        self.location = location

    async def close(self) -> None:
        """Close every connection."""
        await self._manager.__aexit__(None, None, None)

    async def ask(self, action: str, *, until: float | None = None, **request: Any) -> Mapping[str, Any]:
        """What SQS answers.

        Args:
            action: the client's name for it.
            until: when to give up, by the loop's clock; by default after `PATIENCE`.
            request: what is asked.

        Raises:
            DriverUnavailable: nothing was carried out.
            Indeterminate: it may have been.
            ConfigurationError: it will always be refused.
            Superseded: the receipt is worth nothing any more.
        """
        try:
            async with asyncio.timeout_at(give_up_at() if until is None else until):
                answer: Mapping[str, Any] = await getattr(self._client, action)(**request)
                return answer
        except RAISED as error:
            meant = translated(error, self.location)
            if isinstance(meant, Indeterminate) and action in QUESTIONS:
                meant = DriverUnavailable(str(meant))
            raise meant from error

    async def clock(self, queue: str) -> float:
        """What time it is for SQS, within half a second: it dates its answers, refusals too, by the second.

        Args:
            queue: a name to ask for; there need be none of it.

        Raises:
            AsyncTasQError: as `ask` does; `DriverUnavailable` also where the answer has no date.
        """
        try:
            answer: Any = await self.ask("get_queue_url", QueueName=queue)
        except (NoSuchQueue, NotAllowed) as refused:
            answer = getattr(refused.__cause__, "response", {})
        try:
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            return parsedate_to_datetime(date).timestamp() + 0.5
        except (KeyError, TypeError, ValueError) as error:
            raise DriverUnavailable(f"SQS at {self.location} does not tell the time: its answer has no date") from error

    async def ask_each(
        self, action: str, url: str, entries: Sequence[Mapping[str, Any]], *, until: float
    ) -> list[AsyncTasQError | None]:
        """What SQS has against each entry of a batch, in order; None where it was carried out.

        Args:
            action: the client's name for it.
            url: the queue's.
            entries: any number, without their ids.
            until: when to give up, by the loop's clock.
        """
        errors: list[AsyncTasQError | None] = [None] * len(entries)

        async def ask(places: Sequence[int]) -> None:
            batch = [{"Id": str(place), **entries[place]} for place in places]
            try:
                async with self._turn:
                    answer = await self.ask(action, until=until, QueueUrl=url, Entries=batch)
            except AsyncTasQError as error:
                for place in places:
                    errors[place] = error
                return
            for failed in answer.get("Failed", ()):
                errors[int(failed["Id"])] = refusal(failed.get("Code", ""), failed.get("Message", ""), self.location)

        await asyncio.gather(*(ask(places) for places in in_batches([_size(entry) for entry in entries])))
        return errors


async def opened(
    factory: ClientFactory | None, *, region: str | None, endpoint_url: str | None, connections: int
) -> Client:
    """A client that is open. Nothing is asked of SQS yet.

    Raises:
        ConfigurationError: it can never be opened as configured.
    """
    config = _theirs_config.AioConfig(
        # None of its own retries: an enqueue that was carried out and not answered would be two messages.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECTING,
        read_timeout=60,  # time is bounded by whoever asks
        max_pool_connections=connections,
        tcp_keepalive=True,
        connector_args={"keepalive_timeout": IDLE},
    )
    where = location_of(endpoint_url, region)
    try:
        manager = (factory or _aiobotocore)(region_name=region, endpoint_url=endpoint_url, config=config)
        client: Any = await manager.__aenter__()
    except RAISED as error:
        raise translated(error, where) from error
    return Client(client, manager, location_of(endpoint_url, str(client.meta.region_name)))


def location_of(endpoint_url: str | None, region: str | None) -> str:
    """Where SQS is, for people: no user and no password."""
    if endpoint_url is None:
        return f"sqs://{region or ''}"
    parts = urlsplit(endpoint_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def in_batches(sizes: Sequence[int]) -> list[list[int]]:
    """Places of entries of these sizes, in order, so that no batch has more than ten or more bytes than SQS takes."""
    batches: list[list[int]] = []
    room = 0
    for place, size in enumerate(sizes):
        if not batches or len(batches[-1]) == AT_ONCE or size > room:
            batches.append([])
            room = MOST
        batches[-1].append(place)
        room -= size
    return batches


def give_up_at() -> float:
    """When a verb that begins now gives up, by the loop's clock."""
    return asyncio.get_running_loop().time() + PATIENCE


def _aiobotocore(**options: Any) -> AbstractAsyncContextManager[Any]:
    session: Any = _theirs_session.get_session()
    # It is ten times as long to read what there is to know about SQS as to open a client; credentials are looked for anew.
    if not hasattr(_known, "loader"):
        _known.loader = session.get_component("data_loader")
    session.register_component("data_loader", _known.loader)
    manager: AbstractAsyncContextManager[Any] = session.create_client("sqs", **options)
    return manager


def _size(entry: Mapping[str, Any]) -> int:
    return len(entry.get("MessageBody", ""))
