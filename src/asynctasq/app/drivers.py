"""Which drivers there are, by name, and the app's descriptions of them. Nothing is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from asynctasq.app import plugins
from asynctasq.app.nearest import did_you_mean
from asynctasq.domain.errors import ConfigurationError, UnknownDriver

if TYPE_CHECKING:
    from asynctasq.app.settings import Settings
    from asynctasq.ports.driver import QueueDriver

AVAILABLE = ("memory", "sqlite", "redis", "postgres", "mysql", "sqs")
SCHEMES = {
    "rediss": "redis",
    "unix": "redis",
    "redis+sentinel": "redis",
    "rediss+sentinel": "redis",
    "redis+cluster": "redis",
    "rediss+cluster": "redis",
    "postgresql": "postgres",
}
"""The drivers of URLs that do not begin with their names."""


def check_driver(driver: object) -> None:
    """Refuse what cannot be a driver: None, a known name, a URL with a known scheme, `module:attribute` and instances can.

    Raises:
        UnknownDriver: a name that nobody provides.
        ConfigurationError: something else altogether.
    """
    if driver is None:
        return
    if isinstance(driver, str):
        name, is_url, _ = driver.partition("://")
        if is_url:
            _check_name(SCHEMES.get(name, name))
        elif ":" not in driver:
            _check_name(name)
    elif isinstance(driver, type) or not all(hasattr(driver, verb) for verb in ("capabilities", "claim", "settle")):
        raise ConfigurationError(
            f"driver={driver!r} is no driver: use a driver's name, or an instance such as SQLiteDriver('queue.db')"
        )


def _check_name(name: str) -> None:
    if name in AVAILABLE:
        return
    third_party = plugins.names(plugins.DRIVERS)
    if name not in third_party:
        known = [*AVAILABLE, *third_party]
        raise UnknownDriver(f"there is no driver {name!r}: known are {', '.join(known)}{did_you_mean(name, known)}")


class Drivers:
    """The descriptions of the drivers of one app: built once each, never connected (see `connections`)."""

    def __init__(self, settings: Settings, built_in: Mapping[str, Callable[[Settings], QueueDriver]]) -> None:
        self._settings = settings
        self._built_in = built_in
        self._described: dict[str, QueueDriver] = {}

    def get(self, driver: object | None = None) -> QueueDriver:
        """The description of a driver: None for the app's default, a name, a URL, `module:attribute`, or an instance.

        Raises:
            UnknownDriver: nobody provides it.
            ConfigurationError: it cannot be built as configured.
        """
        if driver is None:
            driver = self._settings.driver
        if not isinstance(driver, str):
            check_driver(driver)
            return cast("QueueDriver", driver)
        if driver not in self._described:
            self._described[driver] = self._describe(driver)
        return self._described[driver]

    def _describe(self, driver: str) -> QueueDriver:
        check_driver(driver)
        name, is_url, _ = driver.partition("://")
        if not is_url and ":" in driver:
            return self.get(_attribute(driver))
        name = SCHEMES.get(name, name)
        if name in self._built_in:
            return self._built_in[name](self._settings.at(driver) if is_url else self._settings)
        options = dict(self._settings.drivers.get(name, {}))
        if is_url:
            options["url"] = driver
        return cast("QueueDriver", plugins.build(plugins.DRIVERS, name, options, path=f"drivers.{name}"))


def _attribute(spec: str) -> Any:
    module, _, attribute = spec.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"driver {spec!r}: {error}; use module:attribute of a driver instance") from error
