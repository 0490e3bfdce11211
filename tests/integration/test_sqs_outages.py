"""SQS that cannot be reached, refuses us, or does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from uuid import uuid4

import pytest
from tests.integration.fleet import Fleet, sqs_at
from tests.integration.ledger_tasks import work
from tests.services import Server, free_port
from tests.services import sqs as service

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverUnavailable, Indeterminate
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Retry, Settlement
from asynctasq.drivers.sqs_driver import SQSDriver

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

FIVE = 6.0
"""Seconds: the port's five, and one for a crowded machine."""


@pytest.fixture
def server(_aws_environ: None) -> Generator[Server]:
    with service.server() as server:
        yield server


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str]:
    """Somebody who gives every request the same answer; the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def refusing(code: str, status: str = "400 Bad Request") -> bytes:
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "said by the test"}).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def message() -> Message:
    return Message(id=str(uuid4()), queue="default", body=b"")


async def claimed(driver: SQSDriver) -> Claim:
    await driver.connect()
    await driver.enqueue([message()])
    (claim,) = await driver.claim(["default"], limit=1, lease=60, wait=2, worker="test")
    return claim


def verbs(driver: SQSDriver, claim: Claim) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "enqueue": lambda: driver.enqueue([message(), message()]),
        "claim": lambda: driver.claim(["default"], limit=1, lease=60, wait=0, worker="test"),
        "extend": lambda: driver.extend([claim], lease=60),
        "ack": lambda: driver.settle([Settlement(claim=claim, verdict=ACK)]),
        "retry": lambda: driver.settle([Settlement(claim=claim, verdict=Retry(delay=0, error=""))]),
        "stats": lambda: driver.stats(["default"]),
    }


@pytest.mark.usefixtures("_aws_environ")
async def test_an_address_where_nobody_listens_cannot_be_reached() -> None:
    with pytest.raises(DriverUnavailable, match="cannot be reached"):
        await service.driver(f"http://127.0.0.1:{free_port()}").connect()


@pytest.mark.usefixtures("_aws_environ")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusing("InvalidClientTokenId", "403 Forbidden"), ConfigurationError),
        (refusing("SignatureDoesNotMatch", "403 Forbidden"), ConfigurationError),
        (refusing("RequestThrottled"), DriverUnavailable),
        (refusing("InternalFailure", "500 Internal Server Error"), DriverUnavailable),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n", AsyncTasQError),
        (b"SSH-2.0-OpenSSH\r\n", AsyncTasQError),
        (b"", DriverUnavailable),
    ],
    ids=["unknown credentials", "wrong secret", "throttled", "failing", "a web server", "no web server", "hangs up"],
)
async def test_what_answers_otherwise_than_sqs_is_told_apart(answer: bytes, error: type[AsyncTasQError]) -> None:
    async with answering(answer) as url:
        driver = service.driver(url)
        with pytest.raises(error) as refused:
            await driver.connect()
        assert url in str(refused.value)
        await driver.close()


@pytest.mark.usefixtures("_aws_environ")
@pytest.mark.parametrize("code", ["AccessDenied", "QueueDoesNotExist"])
async def test_whoever_is_allowed_other_queues_only_can_connect(code: str) -> None:
    async with answering(refusing(code)) as url:
        driver = service.driver(url, create_queues=False)
        await driver.connect()
        (answer,) = await driver.enqueue([message()])
        assert isinstance(answer.error, ConfigurationError)
        await driver.close()


@pytest.mark.usefixtures("_aws_environ")
async def test_whoever_may_not_list_queues_is_told_so_by_an_examination_and_knows_the_time_from_a_refusal() -> None:
    closing = refusing("AccessDenied").replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    date = formatdate(1_795_851_234, usegmt=True).encode()
    async with answering(closing.replace(b"\r\n", b"\r\nDate: " + date + b"\r\n", 1)) as url:
        driver = service.driver(url)
        await driver.connect()
        assert await driver.clock() == 1_795_851_234.5
        refused, _ = await driver.examine()
        assert refused.mend.startswith("allow sqs:ListQueues")
        await driver.close()
    async with answering(closing) as url:
        driver = service.driver(url)
        await driver.connect()
        with pytest.raises(DriverUnavailable, match="does not tell the time"):
            await driver.clock()
        await driver.close()


async def test_without_credentials_or_a_region_it_says_what_to_set(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"sqs\.region"):
        await SQSDriver(endpoint_url=service.url(server)).connect()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        await service.driver(service.url(server)).connect()


async def test_each_verb_says_that_a_server_is_gone_and_that_nothing_was_applied(server: Server) -> None:
    driver = service.driver(service.url(server))
    claim = await claimed(driver)
    await asyncio.to_thread(server.kill)
    # Connections that are open still are found to be broken when they are used next.
    await asyncio.gather(*(driver.stats(["default"]) for _ in range(5)), return_exceptions=True)
    for verb in verbs(driver, claim).values():
        with pytest.raises(DriverUnavailable, match="cannot be reached"):
            await verb()
    await driver.close()


async def test_a_claim_that_waits_says_that_its_server_has_gone(server: Server) -> None:
    driver = service.driver(service.url(server))
    await driver.connect()
    waiting = asyncio.create_task(driver.claim(["default"], limit=1, lease=60, wait=10, worker="test"))
    while not service.requests(service.url(server)).get("ReceiveMessage"):  # noqa: ASYNC110 -- no event
        await asyncio.sleep(0.01)
    await asyncio.to_thread(server.kill)
    with pytest.raises((DriverUnavailable, Indeterminate)):
        await asyncio.wait_for(waiting, FIVE)
    await driver.close()


async def test_a_copy_that_was_sent_is_not_sent_again_when_the_deletion_failed(server: Server) -> None:
    driver = service.driver(service.url(server))
    claim = await claimed(driver)
    settlement = Settlement(claim=claim, verdict=Retry(delay=0, error=""))
    await asyncio.to_thread(service.told, service.url(server), "fail?action=DeleteMessageBatch")
    with pytest.raises(Indeterminate):
        await driver.settle([settlement])
    (answer,) = await driver.settle([settlement])
    assert answer.error is None
    claims = await driver.claim(["default"], limit=10, lease=60, wait=0, worker="test")
    assert [each.attempt for each in claims] == [2]
    await driver.close()


async def test_workers_outlive_a_server_that_loses_everything_and_serve_its_successor(
    server: Server, tmp_path: Path
) -> None:
    async with Fleet(sqs_at(service.url(server)), tmp_path, lease=4.0) as fleet:
        worker = fleet.spawn()
        (first,) = await fleet.dispatch(work(seconds=0))
        await fleet.until(lambda: first in {start.task for start in fleet.starts()}, "the first task")
        await asyncio.to_thread(server.kill)
        await fleet.until(lambda: "trying again until it works" in worker.log.read_text(), "the worker to complain")
        await asyncio.to_thread(server.start)
        (second,) = await fleet.dispatch(work(seconds=0))
        await fleet.until(lambda: second in {start.task for start in fleet.starts()}, "the second task")
        await fleet.drained()
        await fleet.stop()
        assert worker.log.read_text().count("trying again until it works") == 1
