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

import pytest
from tests.services import Server, given, missing

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


@pytest.fixture(scope="session")
def sqs_url(_aws_environ: None) -> Generator[str]:
    """A server that this test process shares: use queues and prefixes of your own."""
    if (elsewhere := given("sqs")) is not None:
        yield elsewhere
        return
    with server() as ours:
        yield url(ours)


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
