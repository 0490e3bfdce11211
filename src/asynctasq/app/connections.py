"""The connected drivers of one app: one sibling per driver and running event loop.

Connections belong to an event loop, and a program may run several: two `asyncio.run` in a row, a loop per test, the loop of
`dispatch_sync`. What was connected in a loop is closed by that loop's own shutdown: an asynchronous generator that was
started in it is closed by `loop.shutdown_asyncgens()`, which `asyncio.run`, `uvloop.run` and `asyncio.Runner` call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from asynctasq.app.dispatch import Dispatcher
from asynctasq.app.drivers import Drivers
from asynctasq.domain.errors import AsyncTasQError

_inherited: list[object] = []
"""What a fork left of its parent's connections: never closed here, since they are the parent's, and never collected."""


class Connections:
    """Dispatchers, and with them connected drivers, of the running loop."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers
        self._loops: dict[asyncio.AbstractEventLoop, _LoopConnections] = {}
        self._pid = os.getpid()

    async def dispatcher(self, driver: object | None) -> Dispatcher:
        """The dispatcher of a driver in the running loop; `driver` as for `Drivers.get`.

        Raises:
            AsyncTasQError: no loop of asyncio's runs.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:  # awaited by trio, or by hand
            raise AsyncTasQError(
                "dispatch() was awaited where no event loop of asyncio runs: call dispatch_sync() in a thread, as with "
                "`await trio.to_thread.run_sync(f(...).dispatch_sync)`"
            ) from error
        if os.getpid() != self._pid:
            _inherited.append(self._loops)
            self._loops, self._pid = {}, os.getpid()
        here = self._loops.get(loop)
        if here is None:
            self._loops = {known: held for known, held in self._loops.items() if not known.is_closed()}
            here = self._loops[loop] = _LoopConnections()
            await anext(here.until_shutdown)
        return here.dispatcher(self._drivers, driver)

    async def close(self) -> None:
        """Close what is connected in the running loop."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.until_shutdown.aclose()


class _LoopConnections:
    def __init__(self) -> None:
        self._by_spec: dict[object, Dispatcher] = {}
        self._by_description: dict[int, Dispatcher] = {}
        self.until_shutdown = self._until_shutdown()

    def dispatcher(self, drivers: Drivers, spec: object | None) -> Dispatcher:
        by_spec = self._by_spec.get(spec)
        if by_spec is None:
            description = drivers.get(spec)
            by_spec = self._by_description.get(id(description))
            if by_spec is None:
                by_spec = self._by_description[id(description)] = Dispatcher(description.sibling())
            self._by_spec[spec] = by_spec
        return by_spec

    async def _until_shutdown(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            dispatchers = list(self._by_description.values())
            self._by_spec.clear()
            self._by_description.clear()
            for dispatcher in dispatchers:
                await dispatcher.driver.close()
