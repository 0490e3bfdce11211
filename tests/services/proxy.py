"""A TCP proxy of the tests' own: what lies between a driver and its broker, and what can go wrong there.

It lives on the loop of the test that enters it, which must therefore not block. Every fault is told to it in a sentence:

    async with Proxy.before(url) as proxy:
        driver = RedisDriver(proxy.url)
        proxy.latency = 0.2
        with proxy.blackhole(): ...     # nothing gets through, in either direction; what was sent arrives afterwards
        with proxy.half_open(): ...     # requests arrive, and their replies never do
        proxy.reset()                   # every connection is broken now
        lost = proxy.lose_reply_to(containing(b"EVALSHA"), breaking=True)    # of the next such request, which is carried out
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Self, TypeAlias
from urllib.parse import urlsplit

CHUNK = 65_536
PORTS = {"redis": 6379, "postgresql": 5432, "postgres": 5432, "mysql": 3306, "http": 80}
"""Where a URL means when it names no port."""

ASKS_FOR_TLS = struct.pack(">I", 80_877_103)
"""What a client of PostgreSQL says first if it would like to encrypt."""

Watch: TypeAlias = Callable[[bytes], bool]
"""Is given what a client sends on one connection, piece by piece; whether what it looks for was in it."""


def containing(text: bytes) -> Callable[[], Watch]:
    """Requests in which these bytes are, of a broker that is told in each request what to do."""

    def watch() -> Watch:
        tail = b""

        def sees(data: bytes) -> bool:
            nonlocal tail
            seen = text in tail + data
            tail = (tail + data)[-len(text) + 1 :] if len(text) > 1 else b""
            return seen

        return sees

    return watch


def executing(text: bytes) -> Callable[[], Watch]:
    """Executions of PostgreSQL statements in whose text these bytes are.

    A statement is sent once (Parse) and executed later, under its name (Bind): only the latter does anything.
    """

    def watch() -> Watch:
        unread = b""
        is_greeting = True
        named = dict[bytes, bytes]()

        def sees(data: bytes) -> bool:
            nonlocal unread, is_greeting
            unread += data
            seen = False
            while len(unread) >= 8 or (not is_greeting and len(unread) >= 5):
                # What a connection begins with has a length and no kind.
                at = 0 if is_greeting else 1
                length = struct.unpack_from(">I", unread, at)[0] + at
                if len(unread) < length:
                    break
                kind, body, unread = unread[:1], unread[at + 4 : length], unread[length:]
                if is_greeting:
                    is_greeting = body == ASKS_FOR_TLS  # and then begins anew
                elif kind == b"P":
                    name, statement, _ = body.split(b"\0", 2)
                    named[name] = statement
                elif kind == b"B":
                    seen |= text in named.get(body.split(b"\0", 2)[1], b"")
            return seen

        return sees

    return watch


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    sent: bytearray = field(default_factory=bytearray)
    watches: dict[_Loss, Watch] = field(default_factory=dict["_Loss", Watch])
    losing: _Loss | None = None
    is_deaf: bool = False
    """Replies to it are thrown away."""

    def reset(self) -> None:
        """Break it: not a closing, but what is seen when the other end knows nothing of the connection any more."""
        for writer in (self.client, self.broker):
            ours: socket.socket | None = writer.get_extra_info("socket")
            if ours is not None and not writer.transport.is_closing():
                with contextlib.suppress(OSError):  # the other end was faster
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclass(eq=False, slots=True)
class _Loss:
    """A reply that is to be lost."""

    watch: Callable[[], Watch]
    breaking: bool
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False, slots=True)
class Proxy:
    """Stands before a broker, on a loopback port of its own. A context manager.

    Args:
        host: where the broker is.
        target: its port.
        place: a URL of the broker, if there is one.

    Attributes:
        port: where it listens.
        latency: seconds that each piece takes, in each direction.
    """

    host: str
    target: int
    place: str = ""
    latency: float = 0.0
    port: int = field(init=False, default=0)
    _flows: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _is_half_open: bool = field(init=False, default=False)
    _links: set[_Link] = field(init=False, default_factory=set[_Link])
    _losses: deque[_Loss] = field(init=False, default_factory=deque[_Loss])
    _serving: set[asyncio.Task[None]] = field(init=False, default_factory=set[asyncio.Task[None]])
    _server: asyncio.Server | None = field(init=False, default=None)

    @classmethod
    def before(cls, url: str) -> Self:
        """One before the broker of a URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme], url)

    @property
    def url(self) -> str:
        """The broker's URL, by way of the proxy."""
        parts = urlsplit(self.place)
        login, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await asyncio.sleep(0)  # in which what was aborted is closed

    @contextlib.contextmanager
    def blackhole(self) -> Generator[None]:
        """Nothing gets through, in either direction. What was sent meanwhile arrives afterwards, as TCP sends it again and
        again: also what somebody sent who has long given up."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @contextlib.contextmanager
    def half_open(self) -> Generator[None]:
        """Requests arrive and are carried out, and no reply comes back: not later either, on connections of that time."""
        self._is_half_open = True
        for link in self._links:
            link.is_deaf = True
        try:
            yield
        finally:
            self._is_half_open = False

    def reset(self) -> None:
        """Break every connection that there is."""
        for link in list(self._links):
            link.reset()

    def lose_reply_to(self, request: Callable[[], Watch], *, breaking: bool) -> asyncio.Event:
        """Let the next request of a kind be carried out, and its reply be lost. Several are lost one after the other.

        Args:
            request: which: `containing(...)` or `executing(...)`.
            breaking: whether the connection breaks then, or says nothing any more.

        Returns:
            An event, set when it has happened.
        """
        loss = _Loss(request, breaking)
        self._losses.append(loss)
        return loss.happened

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            # Whoever connects in a blackhole is answered by nobody, not even this proxy's broker.
            await self._flows.wait()
            answers, broker = await asyncio.open_connection(self.host, self.target)
        except (OSError, asyncio.CancelledError):
            client.transport.abort()
            self._serving.discard(task)
            return
        link = _Link(client, broker, is_deaf=self._is_half_open)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, broker, lambda data: self._sent(link, data)))
                both.create_task(self._forward(answers, client, lambda data: self._answered(link, data)))
        except* OSError:
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            # Cut here, the other end learns of it.
            client.transport.abort()
            broker.transport.abort()
            self._links.discard(link)
            self._serving.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[bytes], bool]
    ) -> None:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1_000)

        async def deliver() -> None:
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(due - loop.time())
                await self._flows.wait()
                if not data:
                    raise ConnectionResetError  # one end has closed: so does the other
                if passes(data):
                    writer.write(data)
                    await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while data := await reader.read(CHUNK):
                await pieces.put((loop.time() + self.latency, data))
            await pieces.put((loop.time() + self.latency, b""))
            await delivering
        finally:
            delivering.cancel()
            await asyncio.wait({delivering})

    def _sent(self, link: _Link, data: bytes) -> bool:
        for loss in list(self._losses):
            watch = link.watches.get(loss)
            if watch is None:
                watch = link.watches[loss] = loss.watch()
                watch(bytes(link.sent))  # what was agreed on before
            if watch(data) and link.losing is None:
                link.losing = loss
                self._losses.remove(loss)
        link.sent += data
        return True

    def _answered(self, link: _Link, data: bytes) -> bool:
        if link.losing is not None and not link.is_deaf:
            link.is_deaf = True
            if link.losing.breaking:
                link.reset()
            link.losing.happened.set()
        return not link.is_deaf
