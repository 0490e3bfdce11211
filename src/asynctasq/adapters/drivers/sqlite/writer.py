"""The thread that owns a driver's connection.

It is a daemon, so that a forgotten close() keeps no interpreter from exiting: what it has answered is committed, and what it has
not answered may be lost with the process, like any request on its way.

A fork needs care. SQLite keeps its locks in tables that a child inherits while the locks themselves stay behind: a
connection opened in the child beside an inherited one holds no lock at all, the parent deletes the log that it
writes to, and its commits are lost. So every connection is closed before a fork and opened again on either side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

import apsw

from asynctasq.adapters.drivers.sqlite import wakeup
from asynctasq.adapters.drivers.sqlite.connection import (
    Connection,
    Identity,
    Synchronous,
    connect,
    disconnect,
    opening,
    wait_for_locks,
)
from asynctasq.adapters.drivers.sqlite.faults import HARMLESS, OutcomeUnknown, translate
from asynctasq.adapters.drivers.sqlite.request import LIMIT, PATIENCE, Mailbox, Request
from asynctasq.domain.errors import AsyncTasQError, DriverError

T = TypeVar("T")
Work = Callable[[Connection], T]
Undo = Callable[[T], Work[object] | None]
Orders = SimpleQueue[Callable[[], None] | None]


class Writer:
    """Does work on one connection in one thread, in the order it came.

    The connection is opened when it is needed, and replaced when it is broken or its file is gone.

    Attributes:
        at_work: held by the thread while it may be using the connection.
    """

    def __init__(self, path: str, synchronous: Synchronous) -> None:
        self._path = path
        self._synchronous: Synchronous = synchronous
        self._connection: tuple[Connection, Identity] | None = None
        self._begin()
        _writers.add(self)

    async def ask(self, work: Work[T], *, brings_work: bool = False, undo: Undo[T] | None = None) -> T:
        """The result of `work`.

        Args:
            work: what to do with the connection.
            brings_work: whether waiting claimers are told once it is done.
            undo: gives the work, if any, that takes a result back whose caller has gone.

        Raises:
            DriverUnavailable: nothing was applied.
            Indeterminate: it has begun and did not end in time, or its commit failed halfway.
            ConfigurationError: the file can never be used as it is.
            PayloadTooLarge: a body is beyond SQLite.
        """
        return await self._request(partial(self._run, work), brings_work=brings_work, undo=undo)

    async def close(self) -> None:
        """Do what was asked, close the connection and end the thread. A broken file is no hindrance."""
        with contextlib.suppress(DriverError):
            # Results that reach a caller who has gone are sent back by the loop: behind the first of these, before the second.
            await self._request(lambda _: None)
            await self._request(lambda _: self.close_connection())
        self.stop()

    def stop(self) -> None:
        """End the thread and close the connection, once what was asked is done. Does not wait for it."""
        self._orders.put(None)

    def close_connection(self) -> None:
        """Close the connection until the next request. Only by the thread, or while holding `at_work`."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            disconnect(*connection)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._orders: Orders = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._mailbox: Mailbox | None = None
        self.at_work = threading.Lock()

    async def _request(
        self, work: Callable[[float], T], *, brings_work: bool = False, undo: Undo[T] | None = None
    ) -> T:
        if self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = None
            self._begin()
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        orders = self._orders

        def orphaned(result: T) -> None:
            if undo is not None and (back := undo(result)) is not None:
                orders.put(partial(self._take_back, back))

        request = Request(work, orphaned=orphaned, mailbox=self._mailbox, what=self._path)
        orders.put(partial(self._serve, request, brings_work))
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work_through, args=(orders, self.at_work), name=f"asynctasq {self._path}", daemon=True
            )
            self._thread.start()
        return await request.answer()

    def _work_through(self, orders: Orders, at_work: threading.Lock) -> None:
        stopping = False
        while not (stopping and orders.empty()):
            order = orders.get()
            if order is None:
                stopping = True
                continue
            with at_work:
                order()
            del order  # it holds a request and its result: not until the next one comes
        with at_work:
            self.close_connection()

    def _serve(self, request: Request[T], brings_work: bool) -> None:
        if request.serve() and brings_work:
            wakeup.hint(self._path)

    def _take_back(self, work: Work[object]) -> None:
        with contextlib.suppress(AsyncTasQError):  # the lease will end by itself
            self._run(work, time.monotonic() + PATIENCE)
            wakeup.hint(self._path)

    def _run(self, work: Work[T], deadline: float) -> T:
        try:
            connection = self._connected(deadline)
            wait_for_locks(connection, deadline)
            return work(connection)
        except (apsw.Error, OSError, OutcomeUnknown) as error:
            if not isinstance(error, HARMLESS):
                self.close_connection()
            raise translate(error, self._path) from (error.__cause__ if isinstance(error, OutcomeUnknown) else error)

    def _connected(self, deadline: float) -> Connection:
        if self._connection is not None:
            connection, identity = self._connection
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(self._path)
                if (status.st_dev, status.st_ino) == identity:
                    return connection
            # Deleted or replaced: what is written through this connection now, nobody would find.
            self.close_connection()
        self._connection = connect(self._path, self._synchronous, deadline)
        return self._connection[0]


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()

_inherited: list[object] = []
"""Connections that came through a fork which ran no hooks. Closing one here would break the parent's."""

_held: list[threading.Lock] = []


def _let_go_of_files() -> None:
    deadline = time.monotonic() + LIMIT
    for writer in list(_writers):
        if writer.at_work.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held.append(writer.at_work)
            writer.close_connection()
    opening.acquire()


def _go_on() -> None:
    opening.release()
    while _held:
        _held.pop().release()


os.register_at_fork(before=_let_go_of_files, after_in_parent=_go_on, after_in_child=_go_on)
