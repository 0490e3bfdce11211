"""The app: settings, and what the container builds from them. `current()` is the one that is process-wide."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from asynctasq.app.container import Container
from asynctasq.app.dispatch import again, id_of
from asynctasq.app.registry import REGISTRY, Registry
from asynctasq.app.settings import LoadedSettings, Settings, load_settings
from asynctasq.domain.errors import AsyncTasQError, DriverError, Indeterminate, PartlyDispatched
from asynctasq.domain.message import Message
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.task import Task, TaskConfig

if TYPE_CHECKING:
    from asynctasq.app.parameters import Parameters
    from asynctasq.app.task_function import PendingTask
    from asynctasq.ports.driver import QueueDriver


class App:
    """One configured asynctasq: where tasks are dispatched, and what a worker is built from.

    Several apps can live in one process; `asynctasq.init()` makes one and lets it be the current.

    Attributes:
        settings: the settings in force.
        sources: where each setting came from.
        registry: the tasks it knows.
        container: what is wired for it.
        drivers: descriptions of its drivers, by name.
        defaults: what a task's missing options follow.
    """

    def __init__(
        self, loaded: LoadedSettings, *, registry: Registry = REGISTRY, container: Container | None = None
    ) -> None:
        self.settings: Settings = loaded.settings
        self.sources = loaded.sources
        self.registry = registry
        given = loaded.settings.defaults
        self.defaults = TaskConfig(
            queue=given.queue,
            retry=RetryPolicy(max_attempts=given.max_attempts, delay=given.retry_delay),
            timeout=given.timeout,
            on_missing=given.on_missing,
        )
        self.container = container or Container(settings=self.settings)
        self.drivers = self.container.drivers()
        self._connections = self.container.connections()
        self._codec = self.container.codec()
        self._new_id = self.container.seams().new_id
        self._bridge = self.container.sync_bridge()

    async def dispatch(self, pending: PendingTask) -> str:
        """Queue one call; see `PendingTask.dispatch`."""
        message, driver = self._message(pending.task(self.defaults), pending.function.parameters)
        dispatcher = await self._connections.dispatcher(driver)
        (result,) = await dispatcher.send([message])
        return id_of(result)

    async def dispatch_many(self, pending: Sequence[PendingTask]) -> list[str]:
        """Queue many calls; see `asynctasq.tasks.dispatch_many`."""
        messages: collections.defaultdict[object | None, list[Message]] = collections.defaultdict(list)
        places: collections.defaultdict[object | None, list[int]] = collections.defaultdict(list)
        for n, call in enumerate(pending):
            message, driver = self._message(call.task(self.defaults), call.function.parameters)
            messages[driver].append(message)
            places[driver].append(n)
        results: list[str | AsyncTasQError] = [""] * len(pending)
        for driver, its in places.items():
            dispatcher = await self._connections.dispatcher(driver)
            for n, result in zip(its, await dispatcher.send_all(messages[driver]), strict=True):
                results[n] = result
        failures = [result for result in results if isinstance(result, AsyncTasQError)]
        if failures and len(failures) == len(results) and isinstance(failures[0], DriverError):
            raise again(next((error for error in failures if isinstance(error, Indeterminate)), failures[0]))
        if failures:
            raise PartlyDispatched(results)
        return cast("list[str]", results)

    def dispatch_sync(self, pending: PendingTask) -> str:
        """Queue one call from code without a running loop; see `PendingTask.dispatch_sync`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            name = pending.function.__name__
            raise AsyncTasQError(
                f"dispatch_sync() was called inside a running event loop, which it would block: "
                f"type `await {name}(...).dispatch()`"
            )
        return self._bridge.run(self.dispatch(pending))

    @contextlib.asynccontextmanager
    async def driver(self, driver: object | None = None) -> AsyncGenerator[QueueDriver]:
        """A connected driver of its own, closed at the end.

        Args:
            driver: a name, a URL, `module:attribute`, an instance, or None for the app's default.
        """
        connected = self.drivers.get(driver).sibling()
        try:
            await connected.connect()
            yield connected
        finally:
            await connected.close()

    async def close(self) -> None:
        """Close what the running loop has connected. Not needed where the loop is shut down properly."""
        await self._connections.close()

    def _message(self, task: Task, parameters: Parameters) -> tuple[Message, object | None]:
        driver = task.config.driver
        message_id = self._new_id()
        max_body = self.drivers.get(driver).capabilities.max_body
        body = self._codec.encode(task, parameters, id=message_id, max_body=max_body)
        return Message(id=message_id, queue=task.config.queue, body=body, delay=task.delay), driver


_make_app: Callable[[LoadedSettings], App] = App
_current: App | None = None
_current_lock = threading.Lock()


def init(
    config: Mapping[str, object] | str | None = None,
    *,
    cli: Mapping[str, object] | None = None,
    tortoise_config: Mapping[str, Any] | None = None,
) -> App:
    """Configure asynctasq for this process.

    Args:
        config: settings as a nested mapping, such as `{"driver": "sqlite", "sqlite": {"path": "queue.db"}}`; or a URL such as
            `"sqlite:///queue.db"`; or nothing, for the environment and the defaults.
        cli: settings given on a command line; they win.
        tortoise_config: what workers initialise Tortoise with: its configuration, or the keyword arguments of `Tortoise.init`.

    Returns:
        The app, which is also the current one from now on.

    Raises:
        ConfigurationError: an unknown key or a bad value, by its path and with the nearest known name.
    """
    global _current  # noqa: PLW0603 -- what is process-wide is here
    app = _make_app(load_settings(config, cli=cli))
    if tortoise_config is not None:
        app.container.resolvers().add(app.container.tortoise_resolver(tortoise_config))
    app.drivers.get()  # an unknown driver fails here, not at the first dispatch
    _current = app
    return app


def current() -> App:
    """The app of the last `init()`; without one, an app with the settings of the environment."""
    if _current is None:
        with _current_lock:
            if _current is None:
                init()
    assert _current is not None
    return _current


@contextlib.contextmanager
def replaced(make: Callable[[LoadedSettings], App]) -> Generator[None]:
    """Until the end, what `init()` makes is made by `make`, and so is the current app, with the settings in force now.

    For tests: code that initialises asynctasq, or finds it initialised, gets an app of theirs.
    """
    global _make_app, _current
    before = _make_app, _current
    loaded = LoadedSettings(_current.settings, _current.sources) if _current else load_settings()
    _make_app, _current = make, make(loaded)
    try:
        yield
    finally:
        _make_app, _current = before
