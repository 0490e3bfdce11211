"""The way from a task function to the process-wide app, which is loaded when it is first needed.

The import is by name because it must be late (decorating a task loads neither asyncio nor pydantic) and because the app
knows the task functions already: an ordinary import would close a circle.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App


def init(config: Mapping[str, object] | str | None = None, *, tortoise_config: Mapping[str, Any] | None = None) -> App:
    """Configure asynctasq for this process.

    Args:
        config: settings as a nested mapping, such as `{"driver": "sqlite", "sqlite": {"path": "queue.db"}}`; or a URL such as
            `"sqlite:///queue.db"`; or nothing, for the environment and the defaults.
        tortoise_config: what workers initialise Tortoise ORM with: its configuration, or the keyword arguments of
            `Tortoise.init`.

    Returns:
        The app, which is also the current one from now on.

    Raises:
        ConfigurationError: an unknown key or a bad value, by its path and with the nearest known name.
    """
    return cast("App", _bootstrap().init(config, tortoise_config=tortoise_config))


def current() -> App:
    """The app of the last `init()`; without one, an app with the settings of the environment."""
    app: App = _bootstrap().current()
    return app


@functools.cache
def _bootstrap() -> Any:
    return import_module("asynctasq.app.bootstrap")
