"""The queues of SQS behind ours: created or refused, checked, shared with nobody; and what strangers leave in them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aioboto3
import pytest
import pytest_asyncio
from aiobotocore.session import get_session
from tests.services import sqs as service

from asynctasq.domain.errors import ConfigurationError, InvalidName, PayloadTooLarge
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Settlement
from asynctasq.drivers.sqs_driver import SQSDriver
from asynctasq.ports.driver import EnqueueStatus

pytestmark = pytest.mark.asyncio


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex[:8]}-"


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[SQSDriver]:
    driver = service.driver(url, **options)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()


@pytest_asyncio.fixture
async def sqs(moto_url: str) -> AsyncGenerator[Any]:
    """SQS as an operator sees it."""
    async with get_session().create_client("sqs", region_name=service.REGION, endpoint_url=moto_url) as client:
        yield client


async def enqueue(driver: SQSDriver, queue: str = "mail", body: bytes = b"", id: str | None = None) -> Any:
    (answer,) = await driver.enqueue([Message(id=id or str(uuid4()), queue=queue, body=body)])
    return answer


async def claim(driver: SQSDriver, queue: str = "mail") -> Any:
    claims = await driver.claim([queue], limit=10, lease=60, wait=0, worker="test")
    return claims[0] if claims else None


async def names(sqs: Any, prefix: str) -> list[str]:
    listed = await sqs.list_queues(QueueNamePrefix=prefix)
    return sorted(url.rpartition("/")[2].removeprefix(prefix) for url in listed.get("QueueUrls", ()))


async def test_a_queue_is_created_when_it_is_needed_and_keeps_messages_as_long_as_sqs_does(
    moto_url: str, sqs: Any, prefix: str
) -> None:
    async with connected(moto_url, queue_prefix=prefix) as driver:
        assert await names(sqs, prefix) == []
        await driver.stats(["mail"])
        assert await names(sqs, prefix) == []
        await enqueue(driver)
        assert await names(sqs, prefix) == ["mail"]
        held = await claim(driver)
        await driver.settle([Settlement(claim=held, verdict=DeadLetter(reason="bad"))])
        assert await names(sqs, prefix) == ["_dead-mail", "mail"]
        assert await driver.queues() == ["mail"]
    for name in ("mail", "_dead-mail"):
        url = (await sqs.get_queue_url(QueueName=prefix + name))["QueueUrl"]
        attributes = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MessageRetentionPeriod"])
        assert attributes["Attributes"]["MessageRetentionPeriod"] == "1209600"


async def test_a_queue_that_is_missing_is_refused_by_name_where_none_is_to_be_created(
    moto_url: str, sqs: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await sqs.create_queue(QueueName=f"{prefix}there")
    async with connected(moto_url, queue_prefix=prefix, create_queues=False) as driver:
        there, missing = await driver.enqueue(
            [Message(id="1", queue="there", body=b""), Message(id="2", queue="mail", body=b"")]
        )
        assert there.status is EnqueueStatus.CREATED
        assert isinstance(missing.error, ConfigurationError)
        assert f"{prefix}mail" in str(missing.error)
        assert "create_queues" in str(missing.error)
        with pytest.raises(ConfigurationError, match=f"{prefix}mail"):
            await driver.claim(["mail"], limit=10, lease=60, wait=0, worker="test")
        for _ in range(2):
            (found,) = await driver.claim(["mail", "there"], limit=10, lease=60, wait=1, worker="test")
            await driver.settle([Settlement(claim=found, verdict=Release())])
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "asynctasq.sqs"]
    assert f"{prefix}mail: it cannot be served" in warning
    assert await names(sqs, prefix) == ["there"]


async def test_a_queue_that_was_deleted_is_created_again(moto_url: str, sqs: Any, prefix: str) -> None:
    async with connected(moto_url, queue_prefix=prefix) as driver:
        await enqueue(driver)
        held = await claim(driver)
        url = (await sqs.get_queue_url(QueueName=f"{prefix}mail"))["QueueUrl"]
        await sqs.delete_queue(QueueUrl=url)
        assert [each.status.name for each in await driver.extend([held], lease=60)] == ["LOST"]
        assert [each.status.name for each in await driver.settle([Settlement(claim=held, verdict=ACK)])] == ["LOST"]
        assert (await enqueue(driver)).status is EnqueueStatus.CREATED
        assert await claim(driver) is not None


async def test_a_name_that_is_too_long_with_its_prefix_is_refused_by_itself(moto_url: str) -> None:
    async with connected(moto_url, queue_prefix="a" * 20) as driver:
        good, bad = await driver.enqueue(
            [Message(id="1", queue="q" * 60, body=b""), Message(id="2", queue="q" * 61, body=b"")]
        )
    assert good.status is EnqueueStatus.CREATED
    assert isinstance(bad.error, InvalidName)
    assert "queue_prefix" in str(bad.error)


async def test_queues_that_forget_early_or_are_redriven_soon_are_told_of_once(
    moto_url: str, sqs: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    dead = (await sqs.create_queue(QueueName=f"{prefix}somewhere"))["QueueUrl"]
    got = await sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = json.dumps({"deadLetterTargetArn": got["Attributes"]["QueueArn"], "maxReceiveCount": 3})
    await sqs.create_queue(
        QueueName=f"{prefix}mail", Attributes={"MessageRetentionPeriod": "3600", "RedrivePolicy": policy}
    )
    with caplog.at_level(logging.WARNING, "asynctasq.sqs"):
        for _ in range(2):
            async with connected(moto_url, queue_prefix=prefix) as driver:
                await enqueue(driver)
                await enqueue(driver, "other")
    assert [
        (f"{prefix}mail" in text, "after 1 hours" in text, "after 3 receipts" in text) for text in caplog.messages
    ] == [
        (True, True, False),
        (True, False, True),
    ]


async def test_a_message_has_room_in_its_queue_for_its_death(moto_url: str, sqs: Any, prefix: str) -> None:
    await sqs.create_queue(QueueName=f"{prefix}mail", Attributes={"MaximumMessageSize": "262144"})
    async with connected(moto_url, queue_prefix=prefix) as driver:
        refused = await enqueue(driver, body=b"x" * 200_000)
        assert isinstance(refused.error, PayloadTooLarge)
        assert "MaximumMessageSize" in str(refused.error)
        assert (await enqueue(driver, body=b"x" * 175_000)).error is None
        assert (await claim(driver)).message.body == b"x" * 175_000


async def test_what_a_stranger_has_sent_is_a_dead_letter_and_its_neighbours_are_claimed(
    moto_url: str, sqs: Any, prefix: str
) -> None:
    async with connected(moto_url, queue_prefix=prefix) as driver:
        await enqueue(driver, body=b"first")
        url = (await sqs.get_queue_url(QueueName=f"{prefix}mail"))["QueueUrl"]
        await sqs.send_message(QueueUrl=url, MessageBody="Hello, is anybody there?")
        await enqueue(driver, body=b"second")
        claims = await driver.claim(["mail"], limit=10, lease=60, wait=0, worker="test")
        assert sorted(each.message.body for each in claims) == [b"first", b"second"]
        (stats,) = await driver.stats(["mail"])
        assert (stats.ready, stats.leased, stats.dead) == (0, 2, 1)
    (letter,) = await asyncio.to_thread(service.dead_letters, moto_url, f"{prefix}_dead-mail")
    assert letter.body == b"Hello, is anybody there?"
    assert "not a message of asynctasq" in letter.reason


async def test_a_dead_letter_says_why_and_moved_back_by_any_tool_starts_again(
    moto_url: str, sqs: Any, prefix: str
) -> None:
    async with connected(moto_url, queue_prefix=prefix) as driver:
        await enqueue(driver, body=b"unchanged", id="a")
        held = await claim(driver)
        await driver.settle([Settlement(claim=held, verdict=DeadLetter(reason="gave up", error="first\nsecond"))])
        (letter,) = await asyncio.to_thread(service.dead_letters, moto_url, f"{prefix}_dead-mail")
        assert (letter.id, letter.body, letter.reason, letter.error) == ("a", b"unchanged", "gave up", "first\nsecond")
        assert (letter.attempts, letter.enqueued_at) == (1, held.enqueued_at)

        dead, alive = [
            (await sqs.get_queue_url(QueueName=prefix + name))["QueueUrl"] for name in ("_dead-mail", "mail")
        ]
        (message,) = (await sqs.receive_message(QueueUrl=dead))["Messages"]
        await sqs.send_message(QueueUrl=alive, MessageBody=message["Body"])
        again = await claim(driver)
        assert (again.message.id, again.message.body, again.attempt, again.expiries) == ("a", b"unchanged", 1, 0)


async def test_entries_that_are_refused_fail_alone(moto_url: str) -> None:
    ids = [f"{n}" for n in range(25)]
    ids[3] = ids[17] = "to-be-refused"
    async with connected(moto_url) as driver:
        answers = await driver.enqueue([Message(id=id, queue="mail", body=b"") for id in ids])
        assert [answer.id for answer in answers] == ids
        assert [n for n, answer in enumerate(answers) if answer.error is not None] == [3, 17]
        claims = await driver.claim(["mail"], limit=100, lease=60, wait=0, worker="test")
        assert sorted(each.message.id for each in claims) == sorted(id for id in ids if id != "to-be-refused")


@pytest.mark.parametrize("library", ["aioboto3", "aiobotocore"])
async def test_the_client_may_come_from_elsewhere(moto_url: str, library: str) -> None:
    asked: list[str] = []

    def client(**options: Any) -> Any:
        asked.append(options["region_name"])
        if library == "aioboto3":
            return aioboto3.Session().client("sqs", **options)
        return get_session().create_client("sqs", **options)

    async with connected(moto_url, client=client) as driver:
        await enqueue(driver, body=b"through another client")
        sibling = driver.sibling()
        await sibling.connect()
        assert (await claim(sibling)).message.body == b"through another client"
        await sibling.close()
    assert asked == [service.REGION] * 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"hop": 901}, "from 1 to 900"),
        ({"hop": 0}, "hop=0"),
        ({"shortest_poll": 21}, "from 0 to 20"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"queue_prefix": "shop.fifo"}, "queue_prefix='shop.fifo'"),
        ({"queue_prefix": "a" * 41}, "at most 40"),
        ({"endpoint_url": "localhost:4566"}, "http://host:port"),
    ],
)
async def test_an_argument_that_cannot_be_is_refused_at_once(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SQSDriver(**options)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({}, "sqs://"),
        ({"region": "eu-central-1"}, "sqs://eu-central-1"),
        ({"endpoint_url": "https://user:secret@sqs.test:8443/path"}, "https://sqs.test:8443"),
    ],
)
async def test_a_location_is_for_people_and_keeps_no_password(options: dict[str, Any], location: str) -> None:
    assert SQSDriver(**options).location == location


async def test_the_doctor_is_told_of_queues_that_are_missing_forget_early_or_are_redriven(
    moto_url: str, sqs: Any, prefix: str
) -> None:
    async with connected(moto_url, queue_prefix=prefix, create_queues=False) as driver:
        none, *_ = await driver.examine()
        assert f"none whose name begins with '{prefix}'" in none.said
        assert "sqs.create_queues" in none.mend
        somewhere = (await sqs.create_queue(QueueName=f"elsewhere-{uuid4().hex[:8]}"))["QueueUrl"]
        got = await sqs.get_queue_attributes(QueueUrl=somewhere, AttributeNames=["QueueArn"])
        policy = json.dumps({"deadLetterTargetArn": got["Attributes"]["QueueArn"], "maxReceiveCount": 3})
        await sqs.create_queue(QueueName=f"{prefix}mail", Attributes={"RedrivePolicy": policy})
        await sqs.create_queue(QueueName=f"{prefix}_dead-mail", Attributes={"MessageRetentionPeriod": "3600"})
        await sqs.create_queue(QueueName=f"{prefix}other")
        found = {each.subject.removeprefix(f"queue {prefix}"): each for each in await driver.examine()}
        assert {subject for subject, each in found.items() if each.mend} == {"mail", "_dead-mail", "_dead-other"}
        assert "RedrivePolicy" in found["mail"].mend
        assert "forgets dead letters after 1 hours" in found["_dead-mail"].said
        assert "dead letters cannot be put away" in found["_dead-other"].said
        assert found["other"].said == "keeps tasks for 4 days"
        assert await names(sqs, prefix) == ["_dead-mail", "mail", "other"]


async def test_the_doctor_is_told_of_a_queue_whose_dead_letters_would_have_too_long_a_name(
    moto_url: str, sqs: Any, prefix: str
) -> None:
    await sqs.create_queue(QueueName=f"{prefix}{'q' * 64}")
    async with connected(moto_url, queue_prefix=prefix) as driver:
        fine, dead, _ = await driver.examine()
    assert not fine.mend
    assert "sqs.queue_prefix" in dead.mend
