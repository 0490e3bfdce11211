"""One server, and how it is asked: one statement in one round trip, bounded in time, with the port's errors."""

from __future__ import annotations

import asyncio
import random
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.exceptions import ClientConfigurationError

from asynctasq.adapters.drivers.postgres.faults import CONTENDED, THEIRS, translated
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable

PATIENCE = 4.5
"""Seconds for one statement, connecting included: the port allows a verb five."""

RETRIES = 3
"""How often a statement is sent again that others got in the way of."""

PLANS = {"enable_bitmapscan": "off", "enable_seqscan": "off", "jit": "off"}
"""Each statement is meant for one index. A queue fills and empties faster than statistics follow, and a planner that takes a full
one for empty would rather fetch and sort all of it at each claim."""

FILES = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})
"""The options of a DSN that name files."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Address:
    """Where a server is and how to log in.

    Args:
        dsn: as libpq reads it: postgresql://user:password@host:port/database?option=value.
        statement_cache_size: prepared statements per connection; None for as many as there are, or none without a session.
        is_session: whether a connection is one to the server for as long as it lasts, and not to a pool before it.

    Attributes:
        location: the URL without user, password and options.

    Raises:
        ConfigurationError: not a URL of PostgreSQL.
    """

    def __init__(self, dsn: str, statement_cache_size: int | None, *, is_session: bool) -> None:
        try:
            parts = urlsplit(dsn)
            hosts, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
            for host in hosts.split(","):
                _ = urlsplit(f"//{host}").port  # raises if it is no number
            # Behind "#", and behind "?" before "@", is the rest of a password.
            options = set(parse_qs(parts.query))
            readable = parts.scheme in ("postgres", "postgresql") and not parts.fragment and "@" not in parts.query
        except ValueError:
            readable, hosts, database, options = False, "", "", set[str]()
        if not readable:
            # Not shown, and no cause: either may hold the password, whose odd characters are the likely reason.
            raise ConfigurationError(
                "postgres.dsn cannot be read: write postgresql://user:password@host:5432/database, "
                "the user name and password percent-encoded"
            )
        self.location = f"postgresql://{hosts or 'localhost'}/{database}"
        self._dsn = dsn
        self._is_session = is_session
        self._files = sorted(FILES & options)
        # A statement stays prepared as long as its connection: there are a dozen of them, and all are ours.
        self._options: dict[str, Any] = {"max_cached_statement_lifetime": 0}
        if statement_cache_size is None and not is_session:
            statement_cache_size = 0
        if statement_cache_size is not None:
            self._options = {"statement_cache_size": statement_cache_size}
        if is_session:
            self._options["server_settings"] = {"application_name": "asynctasq", **PLANS}

    async def connect(self) -> Connection:
        """A new connection. Raises the client's errors."""
        try:
            connection: Connection = await asyncpg.connect(self._dsn, timeout=PATIENCE, **self._options)
        except FileNotFoundError as error:
            if self._files:  # else it is a socket, whose server does not run
                raise ClientConfigurationError(f"{', '.join(self._files)}: no such file") from error
            raise
        if not self._is_session:
            try:
                await _learn_types(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection


async def _learn_types(connection: Connection) -> None:
    """Let the client look up our types in one transaction, and so at one server.

    It does so on each connection, and turns JIT off before and on again after that query, whose compilation takes longer than a
    verb may. A pooler might have each of the three done by another server.
    """
    async with connection.transaction():
        await connection.fetch("SELECT $1::text[], $2::bytea[], $3::bigint[]", [], [], [])


class Server:
    """A connected server, on one event loop.

    The client's own pool sends a statement of its own each time that a connection is given back; ours leave nothing behind
    that would have to be reset.

    Args:
        address: where it is.
        size: how many connections there may be; further statements wait for one.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.location = address.location
        self._address = address
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False

    async def ask(self, statement: str, *arguments: object) -> list[Any]:
        """The rows that a statement answers, which is a transaction of its own.

        Raises:
            DriverUnavailable: nothing was carried out.
            Indeterminate: it may have been.
            ConfigurationError: the server will always refuse.
        """
        for _ in range(RETRIES):
            try:
                return await self._exchange(statement, arguments)
            except CONTENDED:
                await asyncio.sleep(random.uniform(0.0, 0.05))
        try:
            return await self._exchange(statement, arguments)
        except CONTENDED as error:
            raise translated(error, self.location, sent=True) from error

    async def ask_unless_known(self, statement: str, *arguments: object) -> list[Any] | None:
        """As `ask`; None, and nothing is carried out, if a row that it stores is there already."""
        try:
            return await self.ask(statement, *arguments)
        except DriverUnavailable as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                return None
            raise

    async def run(self, script: str) -> None:
        """Carry out a script of several statements. Raises as `ask`."""
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._address.connect()
                try:
                    await connection.execute(script)
                finally:
                    connection.terminate()
        except THEIRS as error:
            raise translated(error, self.location, sent=True) from error

    async def close(self) -> None:
        """Close every connection; those at work, when they are done."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.close(timeout=1) for connection in idle), return_exceptions=True)

    async def _exchange(self, statement: str, arguments: tuple[object, ...]) -> list[Any]:
        sent = False
        try:
            async with asyncio.timeout(PATIENCE), self._free:
                connection = self._reusable() or await self._address.connect()
                sent = True
                try:
                    return await connection.fetch(statement, *arguments)
                except asyncpg.PostgresError:
                    raise
                except BaseException:
                    # The answer may still be on its way, and would be taken for the next statement's.
                    connection.terminate()
                    raise
                finally:
                    self._put_back(connection)
        except CONTENDED:
            raise
        except THEIRS as error:
            if sent and not isinstance(error, asyncpg.PostgresError):
                self._forget_idle()
            raise translated(error, self.location, sent=sent) from error

    def _forget_idle(self) -> None:
        """Where one has fallen silent, those that lie idle are as old or older, and each would cost a verb all its time."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    def _put_back(self, connection: Connection) -> None:
        if self._is_closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append(connection)

    def _reusable(self) -> Connection | None:
        """The connection that was last used, as the fewer are in use the fewer need to be kept warm."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None
