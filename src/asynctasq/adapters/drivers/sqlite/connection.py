"""Opening the queue file: private, in WAL mode, with our schema, and shared with no other SQLite library."""
# ruff: noqa: D102 - the methods of apsw are documented there

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Literal, Protocol, cast

import apsw

from asynctasq.adapters.drivers.sqlite.faults import OutcomeUnknown
from asynctasq.adapters.drivers.sqlite.statements import statement
from asynctasq.domain.errors import ConfigurationError

SCHEMA_VERSION = 1

_APPLICATION_ID = 0x61737471  # "astq", in the file's header
_SCHEMA = statement("schema")

Synchronous = Literal["full", "normal"]
Identity = tuple[int, int]


class Rows(Protocol):
    """What a statement gives."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Connection(Protocol):
    """As much of `apsw.Connection` as is used here; its own annotations need Python 3.12."""

    in_transaction: bool

    def execute(self, statements: str, bindings: Sequence[object] | None = None) -> Rows: ...
    def executemany(self, statements: str, sequenceofbindings: Sequence[Sequence[object]]) -> Rows: ...
    def changes(self) -> int: ...
    def pragma(self, name: str, value: object = None) -> Any: ...
    def readonly(self, name: str) -> bool: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def close(self, force: bool = False) -> None: ...


opening = threading.RLock()
"""Held while a connection is opened or closed, so that the descriptors found around it can be told to be ours."""

_ours: dict[Identity, set[int]] = {}
_owner = os.getpid()


def connect(path: str, synchronous: Synchronous, deadline: float) -> tuple[Connection, Identity]:
    """Open the file, and create it with our schema if it is not there.

    Args:
        path: absolute.
        synchronous: SQLite's setting of that name.
        deadline: until when locks are waited for, on the monotonic clock.

    Returns:
        The connection, and the device and inode that tell whether the path still leads to it.

    Raises:
        apsw.Error: as SQLite says.
        OSError: the folder or file cannot be created.
        ConfigurationError: not a queue file, one of a newer version, or one that this process has open by other means.
    """
    with opening:
        identity = _create(path)
        _refuse_inherited(identity, path)
        before = _descriptors(identity)
        if before - _ours.get(identity, set()):
            raise ConfigurationError(
                f"{path} is already open in this process through something other than this driver (the sqlite3 module?): "
                "two SQLite libraries in one process drop each other's locks and corrupt the file. Close it there, or give "
                "asynctasq a file of its own"
            )
        connection = cast("Connection", apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE))
        _ours[identity] = before | _descriptors(identity)
    try:
        while True:
            try:
                _prepare(connection, path, synchronous, deadline)
            except apsw.BusyError:
                # SQLite calls no busy handler where it sees two connections turning one fresh file to WAL.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.005)
            else:
                return connection, identity
    except BaseException:
        disconnect(connection, identity)
        raise


def disconnect(connection: Connection, identity: Identity) -> None:
    """Close a connection; whatever it was doing is rolled back."""
    with opening:
        with contextlib.suppress(apsw.Error):
            connection.close(True)
        # SQLite keeps the descriptor while a sibling holds a lock: closing it would drop the sibling's.
        if left := _ours.pop(identity, set()) & _descriptors(identity):
            _ours[identity] = left


def wait_for_locks(connection: Connection, deadline: float) -> None:
    """Let the next statements wait for other processes' locks until `deadline`."""
    connection.set_busy_timeout(max(0, int((deadline - time.monotonic()) * 1000)))


@contextlib.contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """One write transaction: applied as a whole or not at all.

    It takes the write lock first: a transaction that reads before it writes can be refused without any waiting.

    Raises:
        OutcomeUnknown: the disk failed during COMMIT.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        try:
            connection.execute("COMMIT")
        except apsw.IOError as error:
            raise OutcomeUnknown from error
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                connection.execute("ROLLBACK")
        raise


def _refuse_inherited(identity: Identity, path: str) -> None:
    global _owner  # noqa: PLW0603 - one process, one of it
    if _owner != os.getpid():
        if identity in _ours:
            raise ConfigurationError(
                f"{path} was open when this process was forked by something that runs no os.register_at_fork hooks: "
                "SQLite would lose what is written here. Use asynctasq only after the fork (uWSGI: lazy-apps = true)"
            )
        _owner = os.getpid()


def _create(path: str) -> Identity:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    # Only a file that is new may be opened and closed by us: closing one that SQLite has open drops SQLite's locks.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _prepare(connection: Connection, path: str, synchronous: Synchronous, deadline: float) -> None:
    wait_for_locks(connection, deadline)
    if connection.readonly("main"):
        raise apsw.ReadOnlyError("SQLite could open it for reading only")
    if (mode := connection.pragma("journal_mode", "wal")) != "wal":
        raise ConfigurationError(
            f"{path}: its file system cannot do write-ahead logging (journal_mode stays {mode!r}): use a local disk"
        )
    connection.pragma("synchronous", synchronous)
    connection.pragma("cache_size", -16_000)  # kibibytes; the default of 2 MB is read over and over at a million rows
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    if _version(connection, path) == 0:
        with transaction(connection):
            if _version(connection, path) == 0:
                connection.execute(_SCHEMA)
                connection.pragma("application_id", _APPLICATION_ID)
                connection.pragma("user_version", SCHEMA_VERSION)


def _version(connection: Connection, path: str) -> int:
    version, application = connection.pragma("user_version"), connection.pragma("application_id")
    if application == _APPLICATION_ID and version == SCHEMA_VERSION:
        return SCHEMA_VERSION
    if application == _APPLICATION_ID:
        raise ConfigurationError(
            f"{path} holds queue schema version {version}, and this asynctasq knows {SCHEMA_VERSION}: "
            "use the newer asynctasq that wrote it, or another file"
        )
    if connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        raise ConfigurationError(f"{path} is a database of another program: give asynctasq a file of its own")
    return 0


def _descriptors(identity: Identity) -> set[int]:
    """The numbers under which this process has the file open; empty where the system has no /proc."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                status = os.fstat(int(name))
                if (status.st_dev, status.st_ino) == identity:
                    found.add(int(name))
    return found
