"""MariaDB for the tests, and MySQL 8 where somebody runs one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
import pytest
from tests.services import Program, Server, find, given, missing, on_path

COMMAND = "apt-get install mariadb-server-core mariadb-client-core"
PROTOCOL = b"\x0a"
"""What a greeting begins with."""

UNSAFE = ("innodb-flush-log-at-trx-commit=2", "innodb-doublewrite=0", "innodb-flush-method=nosync")
"""For tests in which no machine dies: they wait for no disk. What was acknowledged survives a kill -9 all the same."""


def program() -> Program | None:
    """The server to start: MariaDB of this machine. It needs its mariadb-install-db, which needs my_print_defaults."""
    return find("mysql", binary=_of_this_machine, wheel=lambda: None)


def version(program: Program) -> str:
    """What a server is: "mariadb 10.11.18 (binary)"."""
    said = subprocess.run([program.path, "--no-defaults", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout)
    return f"mariadb {found[0]} ({program.origin})" if found else said.stdout.strip()


def described() -> str:
    """What the tests will use, for the header of the run."""
    found = program()
    ours = version(found) if found else "no mariadb"
    if given("mysql"):
        ours = "mysql of ASYNCTASQ_TEST_MYSQL_URL"
    return f"{ours}, {'mysql 8 of ASYNCTASQ_TEST_MYSQL8_URL' if given('mysql8') else 'no mysql 8'}"


def server(*, options: Sequence[str] = ()) -> Server:
    """A server of one's own, not started yet: enter it. It keeps every commit over a kill -9.

    Args:
        options: "name=value" of its command line.
    """
    found = program()
    if found is None:
        missing("mysql", COMMAND)

    def command(folder: Path, port: int) -> list[str]:
        serve = [found.path, "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/sock"]
        serve += [
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={folder}/pid",
            f"--init-file={folder}/init",
        ]
        serve += ["--max-connections=300", "--skip-name-resolve", "--innodb-buffer-pool-size=64M"]
        serve += [f"--{option}" for option in options]
        # A second start finds the data of the first.
        install = f"mariadb-install-db --no-defaults --datadir={folder}/data --auth-root-authentication-method=normal"
        first = f"{install} --skip-test-db >{folder}/install.log 2>&1 || {{ cat {folder}/install.log; exit 1; }}"
        ours = f"echo 'CREATE DATABASE IF NOT EXISTS asynctasq;' >{folder}/init"
        # One that starts removes what lies in the place for temporary tables, also those of another that is starting.
        alone = f"mkdir -p {folder}/tmp; export TMPDIR={folder}/tmp"
        return ["/bin/sh", "-c", f"{alone}; [ -d {folder}/data ] || {first}; {ours}; exec {' '.join(serve)}"]

    return Server("mariadb", command, _answers, user=_user())


def url(server: Server, database: str = "asynctasq") -> str:
    """Where a server is."""
    return f"mysql://root@127.0.0.1:{server.port}/{database}"


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a connection of their own, each in its own transaction; the rows of the last."""
    with closing(connection(url)) as connected, connected.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def connection(url: str, *, client_flag: int = 0) -> pymysql.Connection:
    """A connection of the tests' own."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or "").encode().decode("latin-1"),  # as which the client writes it
        database=unquote(parts.path[1:]),
        autocommit=True,
        client_flag=client_flag,
        ssl_disabled=True,  # or each connection would read the system's certificates first
    )


@pytest.fixture(scope="session")
def mysql_url() -> Generator[str]:
    """A server that this test process shares: use queues and table prefixes of your own. It is not to be killed."""
    if (elsewhere := given("mysql")) is not None:
        yield elsewhere
        return
    with server(options=UNSAFE) as ours:
        yield url(ours)


def _of_this_machine() -> str | None:
    found = on_path("mariadbd", "/usr/sbin", "/usr/libexec")
    return found if found and on_path("mariadb-install-db") and on_path("my_print_defaults") else None


def _user() -> str | None:
    """Who runs it: it refuses to be root's."""
    if os.geteuid() != 0:
        return None
    import pwd

    with suppress(KeyError):
        return pwd.getpwnam("mysql").pw_name
    return "nobody"


def _answers(folder: Path, port: int, pid: int) -> bool:
    with suppress(OSError, ValueError):
        # It writes down who it is when it is ready.
        if int((folder / "pid").read_text()) == pid:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as greeted:
                # A packet's length and number, and then what it is: it may also begin by letting nobody in.
                return greeted.recv(5, socket.MSG_WAITALL)[4:] == PROTOCOL
    return False
