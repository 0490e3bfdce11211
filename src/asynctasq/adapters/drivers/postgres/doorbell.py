"""Being told that there is work, and telling others: LISTEN on a connection of its own, and NOTIFY now and then.

What is said is a hint: whoever waits looks again, and looks by itself after a while if nothing is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence

from asynctasq.adapters.drivers.postgres.connection import PATIENCE, Address, Connection
from asynctasq.adapters.drivers.postgres.faults import THEIRS

HEARTBEAT = 15.0
"""Seconds after which the connection is tested: one whose other end has vanished, or which was reset, is silent for ever."""

PAUSES = (0.05, 2.0)
"""Seconds between the first, and between any, two attempts to reconnect."""

WINDOWS = (0.002, 0.05)
"""Seconds in which a queue is spoken of once, at first and while there is ever more to say: a NOTIFY makes every other one of the
server wait until it is committed, and who waits for work is gone by the second."""


class Doorbell:
    """Rings those who wait for work in a queue. One per driver; listens from when somebody first waits.

    Args:
        address: where the server is.
        channel: what to listen to; what is said there are names of queues.
        listens: whether it does; else it rings only when it is closed.
    """

    def __init__(self, address: Address, channel: str, *, listens: bool) -> None:
        self._address = address
        self._channel = channel
        self._listens = listens
        self._waiting: dict[asyncio.Event, frozenset[str]] = {}
        self._listening: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def rung_for(self, queues: Iterable[str]) -> Generator[asyncio.Event]:
        """An event that is set when there is work in one of the queues, and when work may have come unheard."""
        event = asyncio.Event()
        self._waiting[event] = frozenset(queues)
        if self._listens and self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        try:
            yield event
        finally:
            del self._waiting[event]

    async def close(self) -> None:
        """Stop listening, and let everybody go."""
        self._ring()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    async def _listen(self) -> None:
        pause, longest = PAUSES
        while True:
            with contextlib.suppress(*THEIRS):
                async with asyncio.timeout(PATIENCE):
                    connection = await self._address.connect()
                try:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _, lost=lost: lost.set())
                    async with asyncio.timeout(PATIENCE):
                        await connection.add_listener(self._channel, self._hear)
                    pause = PAUSES[0]
                    self._ring()  # nobody has heard what was said before
                    await _attend(connection, lost)
                finally:
                    connection.terminate()
            # Some of a crowd at a time, when all have lost the same server.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, longest)

    def _hear(self, _connection: object, _pid: int, _channel: str, queue: object) -> None:
        self._ring(queue)

    def _ring(self, queue: object | None = None) -> None:
        for event, queues in self._waiting.items():
            if queue is None or queue in queues:
                event.set()


class Herald:
    """Says where there is work: of a queue at once, and of what comes within a window after that, at its end.

    Args:
        say: tells those who listen of queues.
    """

    def __init__(self, say: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        self._say = say
        self._windows: dict[str, asyncio.TimerHandle] = {}
        self._unsaid: set[str] = set()
        self._saying: set[asyncio.Task[None]] = set()

    def tell(self, queues: Iterable[str]) -> None:
        """There is work in these queues, by now for everybody to see. Does not wait for anything."""
        told = set(queues)
        self._unsaid |= told & self._windows.keys()
        if news := sorted(told - self._windows.keys()):
            self._tell_now(news, WINDOWS[0])

    async def close(self) -> None:
        """Say what is unsaid."""
        for window in self._windows.values():
            window.cancel()
        self._windows.clear()
        if self._unsaid:
            await self._quietly(sorted(self._unsaid))
        if self._saying:
            await asyncio.wait(self._saying)

    def _tell_now(self, queues: Sequence[str], window: float) -> None:
        loop = asyncio.get_running_loop()
        self._windows |= {queue: loop.call_later(window, self._end_window, queue, window) for queue in queues}
        saying = asyncio.create_task(self._quietly(queues))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)

    def _end_window(self, queue: str, window: float) -> None:
        del self._windows[queue]
        if queue in self._unsaid:
            self._unsaid.remove(queue)
            self._tell_now([queue], min(window * 2, WINDOWS[1]))

    async def _quietly(self, queues: Sequence[str]) -> None:
        with contextlib.suppress(Exception):  # they will look by themselves
            await self._say(queues)


async def _attend(connection: Connection, lost: asyncio.Event) -> None:
    """Return when the connection is of no use any more."""
    while not lost.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await lost.wait()
            return
        async with asyncio.timeout(PATIENCE):
            if not await connection.fetch("SELECT pg_listening_channels()"):
                return
