"""SQS for the tests: moto's, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.services import Server, given, missing

from asynctasq.adapters.drivers.sqs import SQSDriver
from asynctasq.adapters.drivers.sqs.envelope import read
from asynctasq.ports.driver import DeadMessage

COMMAND = "uv sync"
REGION = "eu-central-1"
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""What a client needs to know that talks to no AWS, so that it does not look for it elsewhere."""


def described() -> str:
    """What the tests will use, for the header of the run."""
    if given("sqs"):
        return "sqs of ASYNCTASQ_TEST_SQS_URL"
    with suppress(PackageNotFoundError):
        return f"sqs of moto {version('moto')}"
    return "no sqs"


def server() -> Server:
    """A server of one's own, not started yet: enter it. Whatever it holds ends with its process."""
    try:
        version("moto")
        version("flask")
    except PackageNotFoundError:
        missing("sqs", COMMAND)

    def command(_: Path, port: int) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("moto_sqs.py")), str(port)]

    return Server("sqs", command, _answers)


def url(server: Server) -> str:
    """Where a server is."""
    return f"http://127.0.0.1:{server.port}"


def told(url: str, what: str) -> Any:
    """What our own server says to something under its path `/asynctasq/`."""
    with urllib.request.urlopen(f"{url}/asynctasq/{what}", timeout=10) as answer:
        return json.load(answer)


def requests(url: str) -> Mapping[str, int]:
    """How many requests there were of each action since this was last asked."""
    return Counter(told(url, "requests"))


def driver(url: str, *, kind: type[SQSDriver] = SQSDriver, **options: Any) -> SQSDriver:
    """A driver with queues of its own, not connected."""
    given = {"region": REGION, "endpoint_url": url, "queue_prefix": f"test-{uuid4().hex[:8]}-", "shortest_poll": 0}
    return kind(**(given | options))


def age(url: str, seconds: float) -> None:
    """Let everything on our own server have happened earlier."""
    told(url, f"age?seconds={seconds}")


def forbid(url: str, queue: str) -> None:
    """Let our own server allow nothing with a queue, whatever the prefix of its name."""
    told(url, f"forbid?queue={queue}")


def dead_letters(url: str, name: str) -> list[DeadMessage]:
    """What a queue of dead letters on our own server holds, without receiving it."""
    letters: list[DeadMessage] = []
    for sent, text in told(url, f"messages?queue={name}"):
        letter = read(text)
        assert letter.dead is not None, text
        letters.append(
            DeadMessage(
                id=letter.id,
                queue=name.partition("_dead-")[2],
                body=letter.body,
                reason=letter.dead.reason,
                error=letter.dead.error,
                attempts=letter.dead.attempts,
                enqueued_at=letter.enqueued_at or sent,
                died_at=sent,
            )
        )
    return letters


@pytest.fixture(scope="session")
def moto_url(_aws_environ: None) -> Generator[str]:
    """A server of our own, which can be asked more than SQS can: share it by queues and prefixes of your own."""
    with server() as ours:
        yield url(ours)


@pytest.fixture(scope="session")
def sqs_url(request: pytest.FixtureRequest) -> str:
    """SQS, or what is like it: use queues and prefixes of your own."""
    return given("sqs") or request.getfixturevalue("moto_url")


@pytest.fixture(scope="session")
def _aws_environ() -> Generator[None]:
    """Credentials that are good enough for an emulator, unless the environment has some."""
    with pytest.MonkeyPatch.context() as patch:
        if not given("sqs"):
            for name, value in ENVIRON.items():
                patch.setenv(name, value)
        yield


def _answers(_: Path, port: int, pid: int) -> bool:
    with suppress(OSError, ValueError):
        return told(f"http://127.0.0.1:{port}", "pid") == pid
    return False
