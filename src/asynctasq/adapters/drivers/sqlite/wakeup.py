"""How a waiting claimer learns of work: hints, which may be lost and may be needless.

Claimers of this process are told directly. Those of others bind a datagram socket in a folder beside the queue file for as
long as they wait; whoever adds work sends a byte to each socket that he finds there. A busy queue has no sockets to find.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Generator

_LONGEST_ADDRESS = 100  # bytes; sun_path holds 108 on Linux and 104 on BSD and macOS

_waiters: dict[str, set[Waiter]] = {}
_guard = threading.Lock()


class Waiter:
    """One claimer that waits for work in one queue file. Belongs to the running loop."""

    def __init__(self, path: str) -> None:
        self._folder = _folder(path)
        self._loop = asyncio.get_running_loop()
        self._hinted = asyncio.Event()
        self._name = secrets.token_hex(8)
        self._socket = self._bind()
        with _guard:
            _waiters.setdefault(self._folder, set()).add(self)

    @property
    def name(self) -> str:
        """The name of its socket."""
        return self._name

    async def wait(self, seconds: float) -> None:
        """Until a hint comes or `seconds` have passed. A hint from before the call counts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hinted.wait()
        self._hinted.clear()

    def hint(self) -> None:
        """End the wait. From any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._hinted.set)

    def close(self) -> None:
        """Stop listening."""
        with _guard:
            if others := _waiters.get(self._folder):
                others.discard(self)
                if not others:
                    del _waiters[self._folder]
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            with contextlib.suppress(OSError), _short(self._folder) as folder:
                os.unlink(f"{folder}/{self._name}")

    def abandon_socket(self) -> None:
        """Close the descriptor that a fork has copied; the socket itself stays the parent's."""
        if self._socket is not None:
            self._socket.close()

    def _bind(self) -> socket.socket | None:
        """A socket that others can hint; None where that cannot be had, and polling has to do."""
        bound = None
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            bound.setblocking(False)
            with _short(self._folder) as folder:
                bound.bind(f"{folder}/{self._name}")
            self._loop.add_reader(bound, self._drain)
        except (OSError, AttributeError, NotImplementedError):  # no such sockets (Windows), or no such folder
            if bound is not None:
                bound.close()
            return None
        return bound

    def _drain(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            while True:
                self._socket.recv(16)
                self._hinted.set()


def hint(path: str) -> None:
    """Tell everyone who waits for work in the queue file at `path` to look again. From any thread; never fails."""
    folder = _folder(path)
    with _guard:
        ours = tuple(_waiters.get(folder, ()))
    for waiter in ours:
        waiter.hint()
    with contextlib.suppress(OSError, AttributeError):
        if names := set(os.listdir(folder)).difference(waiter.name for waiter in ours):
            with _short(folder) as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                for name in names:
                    _send(sender, f"{short}/{name}")


def _send(sender: socket.socket, address: str) -> None:
    try:
        sender.sendto(b"!", address)
    except ConnectionRefusedError:  # bound by a process that has died
        with contextlib.suppress(OSError):
            os.unlink(address)
    except OSError:  # full: it has hints enough; gone: it no longer waits
        pass


def _folder(path: str) -> str:
    return f"{path}.wake"


@contextlib.contextmanager
def _short(folder: str) -> Generator[str]:
    """The folder under a name that leaves room for a socket's in an address, however deep it lies."""
    if len(os.fsencode(folder)) + 17 <= _LONGEST_ADDRESS:
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _forget_the_parents() -> None:
    global _guard  # noqa: PLW0603 - one process, one of it
    _guard = threading.Lock()
    for waiters in _waiters.values():
        for waiter in waiters:
            waiter.abandon_socket()
    _waiters.clear()


os.register_at_fork(after_in_child=_forget_the_parents)
