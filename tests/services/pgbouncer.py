"""PgBouncer for the tests: before a PostgreSQL of theirs, pooling transactions."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.services import Server, missing, on_path
from tests.services.postgres import unprivileged

COMMAND = "apt-get install pgbouncer"
POOL = 4
"""Connections to the server: fewer than the drivers of a test have to it, so that these do share them."""


def program() -> str | None:
    """The PgBouncer of this machine."""
    return on_path("pgbouncer", "/usr/sbin")


def version() -> tuple[int, ...]:
    """Of the PgBouncer of this machine; (0,) without one."""
    found = program()
    if found is None:
        return (0,)
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"(\d+)\.(\d+)", said)
    return tuple(map(int, number.groups())) if number else (0,)


def server(postgres_url: str, **settings: object) -> Server:
    """One before a server, not started yet: enter it.

    Args:
        postgres_url: where the server is.
        settings: of pgbouncer.ini.
    """
    found = program()
    if found is None:
        missing("pgbouncer", COMMAND)
    to = urlsplit(postgres_url)
    as_whom = f"user={to.username or 'postgres'}" + (f" password={to.password}" if to.password else "")

    def command(folder: Path, port: int) -> list[str]:
        ours = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": POOL,
            "max_client_conn": 500,
            "pidfile": f"{folder}/pgbouncer.pid",
            "log_connections": 0,
            "log_disconnections": 0,
            **settings,
        }
        lines = ["[databases]", f"* = host={to.hostname} port={to.port or 5432} {as_whom}", "[pgbouncer]"]
        (folder / "pgbouncer.ini").write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in ours.items())]))
        return [found, f"{folder}/pgbouncer.ini"]

    return Server("pgbouncer", command, _answers, user=unprivileged())


def url(server: Server, database: str = "postgres") -> str:
    """Where it is."""
    return f"postgresql://postgres@127.0.0.1:{server.port}/{database}"


@pytest.fixture(scope="session")
def pgbouncer_url(postgres_url: str) -> Generator[str]:
    """One that this test process shares, before the PostgreSQL that it shares. It is not to be killed."""
    with server(postgres_url) as ours:
        yield url(ours, urlsplit(postgres_url).path.strip("/") or "postgres")


def _answers(folder: Path, port: int, pid: int) -> bool:
    with suppress(OSError, ValueError):
        # It writes that down once it listens, and what a killed one has left is another's number.
        if int((folder / "pgbouncer.pid").read_text()) == pid:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
    return False
