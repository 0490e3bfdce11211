"""Connections over TLS, which end when both sides agree, or when one of them does not wait for that."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.services import Server, free_port, tls
from tests.services import redis as service

from asynctasq.drivers.redis_driver import RedisDriver

pytestmark = pytest.mark.asyncio

TURNS = 5
"""Of the loop, which asyncio.run gives what is closed at its end."""


def sockets_to(port: int) -> int:
    """How many of this process's sockets are connected to a port."""
    fields = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{each[9]}]" for each in fields if int(each[2].rpartition(":")[2], 16) == port}
    return sum(os.readlink(fd) in there for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())


@pytest.fixture
def secured(tmp_path: Path) -> Generator[tuple[Server, int, str]]:
    """A server, its port for TLS, and the URL of that."""
    folder, port = tls.authority(tmp_path), free_port()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(service.server(options=service.over_tls(folder, port)))
        except RuntimeError:
            pytest.skip("this server was built without TLS")
        yield server, port, f"rediss://127.0.0.1:{port}?ssl_ca_certs={folder / 'ca.crt'}"
        os.kill(server.pid, signal.SIGCONT)


async def test_closing_waits_for_no_server_and_leaves_no_socket_open(secured: tuple[Server, int, str]) -> None:
    server, port, url = secured
    driver = RedisDriver(url)
    await driver.connect()
    waiting = asyncio.create_task(driver.claim(["q"], limit=1, lease=30, wait=30, worker="test"))
    async with asyncio.timeout(5):
        while sockets_to(port) < 2:  # noqa: ASYNC110 the second one listens, and nothing tells when
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # until it has subscribed and looked
    os.kill(server.pid, signal.SIGSTOP)
    waiting.cancel()
    await asyncio.wait({waiting})
    async with asyncio.timeout(1):  # where a connection that is closed in good order waits for 4.5 s
        await driver.close()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert sockets_to(port) == 0
