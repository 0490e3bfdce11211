"""The brokers, thrown away after a run, and what they count about their clients."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.services import Server

from benchmarks.environments import CACHE, Unavailable
from benchmarks.peers import Broker

REDIS_SETTINGS = ("--appendonly", "yes", "--appendfsync", "everysec")
"""Redis as most run it when they care: a crash of the machine may lose a second."""

SIZE_OF_ALL_KEYS = """
local bytes, cursor = 0, '0'
repeat
    local found = redis.call('SCAN', cursor, 'COUNT', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end
until cursor == '0'
return bytes
"""


class Measured(Protocol):
    """A running broker."""

    @property
    def setting(self) -> str:
        """Its version and durability, for the report."""
        ...

    def clean(self) -> str:
        """Make a place with nothing in it, and its URL."""
        ...

    def served(self) -> float | None:
        """Commands or statements since its start; None where it does not count."""
        ...

    def served_during(self, seconds: float) -> float | None:
        """Commands or statements that clients send while we wait; None where it does not count."""
        ...

    def stored(self) -> float:
        """Bytes that the current place takes."""
        ...


@dataclass(slots=True)
class Redis:
    port: int
    own: int = 0
    """Commands of ours, which are no client's."""

    @property
    def setting(self) -> str:
        return f"redis {self._info('server', 'redis_version')} ({' '.join(REDIS_SETTINGS)})"

    def clean(self) -> str:
        self._ask("FLUSHALL")
        self._ask("SCRIPT", "FLUSH", "SYNC")
        return f"redis://127.0.0.1:{self.port}/0"

    def served(self) -> float:
        return (
            float(self._info("stats", "total_commands_processed")) - self.own + 1
        )  # it does not count the one that asks

    def served_during(self, seconds: float) -> float:
        """Watched, as the counters of Redis count what scripts call too."""
        with subprocess.Popen(
            ["redis-cli", "-p", str(self.port), "MONITOR"], stdout=subprocess.PIPE, text=True
        ) as monitor:
            time.sleep(seconds)
            monitor.terminate()
            said, _ = monitor.communicate()
        return sum(re.match(r"[\d.]+ \[\d+ (?!lua\])", line) is not None for line in said.splitlines())

    def stored(self) -> float:
        # The server's own sums count buffers and the heap of scripts, too.
        return float(self._ask("EVAL", SIZE_OF_ALL_KEYS, "0"))

    def _info(self, section: str, field: str) -> str:
        lines = dict(line.split(":", 1) for line in self._ask("INFO", section).splitlines() if ":" in line)
        return lines[field].strip()

    def _ask(self, *words: str) -> str:
        self.own += 1
        return subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True
        ).stdout


@dataclass(slots=True)
class Postgres:
    url: str

    @property
    def setting(self) -> str:
        return f"postgresql {self._ask('SHOW server_version')} (defaults: fsync and synchronous_commit on)"

    def clean(self) -> str:
        self._ask("DROP DATABASE IF EXISTS bench WITH (FORCE)", "CREATE DATABASE bench")
        return f"{self.url}/bench"

    def served(self) -> float | None:
        with contextlib.suppress(subprocess.CalledProcessError):
            return float(
                self._ask(
                    "SELECT sum(calls) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'bench')"
                )
                or 0
            )
        return None

    def served_during(self, seconds: float) -> float | None:
        before = self.served()
        time.sleep(seconds)
        after = self.served()
        return None if before is None or after is None else max(0.0, after - before)

    def stored(self) -> float:
        return float(self._ask("SELECT pg_database_size('bench')"))

    def _ask(self, *statements: str) -> str:
        words = [word for statement in statements for word in ("-c", statement)]
        command = ["psql", f"{self.url}/postgres", "-AtqX", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(slots=True)
class Mysql:
    url: str
    data: Path
    own: int = 0
    """Statements of ours, which are no client's."""

    @property
    def setting(self) -> str:
        ((version,),) = self._ask("SELECT VERSION()")
        return f"{version} (defaults: innodb_flush_log_at_trx_commit 1, doublewrite on)"

    def clean(self) -> str:
        self._ask("DROP DATABASE IF EXISTS bench", "CREATE DATABASE bench")
        return f"{self.url}/bench"

    def served(self) -> float:
        ((_, asked),) = self._ask("SHOW GLOBAL STATUS LIKE 'Questions'")
        return float(asked) - self.own

    def served_during(self, seconds: float) -> float:
        before = self.served()
        time.sleep(seconds)
        return self.served() - before

    def stored(self) -> float:
        return float(sum(file.stat().st_size for file in (self.data / "bench").glob("*.ibd")))

    def _ask(self, *statements: str) -> list[tuple[Any, ...]]:
        from tests.services.mariadb import execute

        self.own += len(statements) + 2  # what connecting asks, and hanging up
        return execute(f"{self.url}/mysql", *statements)


@dataclass(slots=True)
class Sqlite:
    folder: Path

    @property
    def setting(self) -> str:
        return "sqlite (WAL, synchronous=FULL)"

    def clean(self) -> str:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return f"sqlite:///{self.folder / 'queue.db'}"

    def served(self) -> None:
        return None

    def served_during(self, seconds: float) -> None:
        time.sleep(seconds)

    def stored(self) -> float:
        return float(
            sum(file.stat().st_size for file in self.folder.glob("queue.db*") if not file.name.endswith("-shm"))
        )


@contextlib.contextmanager
def started(broker: Broker) -> Iterator[Measured]:
    """A server of our own, gone afterwards.

    Raises:
        Unavailable: there is none to start.
    """
    CACHE.mkdir(exist_ok=True)
    if broker == "redis":
        with _redis() as port:
            yield Redis(port)
    elif broker == "postgres":
        with _postgres() as url:
            yield Postgres(url)
    elif broker == "mysql":
        with _mysql() as server:
            yield Mysql(f"mysql://root@127.0.0.1:{server.port}", server.folder / "data")
    else:
        # Beside the environments, thus on a disk: /tmp may be memory, where FULL costs nothing.
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            yield Sqlite(Path(folder) / "place")


@contextlib.contextmanager
def _redis() -> Iterator[int]:
    from tests.services import redis

    if redis.program() is None or not shutil.which("redis-cli"):
        raise Unavailable(f"no redis: {redis.COMMAND}")
    # The tests' servers sync every write; the last of two options wins.
    with redis.server(options=REDIS_SETTINGS) as server:
        yield server.port


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    from tests.services import on_path

    found = on_path("initdb", "/usr/lib/postgresql/*/bin")
    if found is None or not shutil.which("psql"):
        raise Unavailable("no postgresql: apt-get install postgresql")
    binaries = Path(found).resolve().parent

    def command(folder: Path, port: int) -> list[str]:
        options = [f"-k {folder}", f"-p {port}", "-c listen_addresses=127.0.0.1"]
        options += ["-c shared_preload_libraries=pg_stat_statements"]
        script = (
            f"[ -d {folder}/data ] || {binaries}/initdb -D {folder}/data -U bench -A trust >{folder}/initdb.log 2>&1; "
        )
        return ["/bin/sh", "-c", f"{script} exec {binaries}/postgres -D {folder}/data {' '.join(options)}"]

    def ready(_folder: Path, port: int, _pid: int) -> bool:
        asked = ["psql", f"postgresql://bench@127.0.0.1:{port}/postgres", "-Atqc", "SELECT 1"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    with Server("postgres", command, ready, user="postgres" if os.geteuid() == 0 else None) as server:
        url = f"postgresql://bench@127.0.0.1:{server.port}"
        extension = ["psql", f"{url}/postgres", "-qc", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"]
        subprocess.run(extension, capture_output=True, check=False)
        yield url


@contextlib.contextmanager
def _mysql() -> Iterator[Server]:
    from tests.services import mariadb

    if mariadb.program() is None:
        raise Unavailable(f"no mariadb: {mariadb.COMMAND}")
    with mariadb.server() as server:
        yield server
