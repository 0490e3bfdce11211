"""The app that a command works on: imported where one is named, else made of the settings alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.app.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def where(command: F) -> F:
    """The options that say which queues a command looks at."""
    driver = click.option("--driver", metavar="NAME|URL|MODULE:ATTR", help="The driver, if not the app's own.")
    app = click.option("--app", metavar="APP", help="Import this module, module:attribute or file for its init().")
    return app(driver(command))


def open_app(named: str | None, settings: Settings) -> App:
    """Import what was named, or what the settings `app` and `imports` name, and give the app that is current then.

    Raises:
        ConfigurationError: it cannot be imported, or `module:attribute` is no app.
    """
    from asynctasq.app.origin import Origin

    return Origin(spec=named or settings.app, modules=settings.imports).open()


def open_quietly(named: str | None) -> App:
    """The app for a command that reads or repairs: of what importing it logs, only warnings are shown."""
    from asynctasq.app import logs
    from asynctasq.app.settings import load_settings

    logs.configure("warning", "auto")
    return open_app(named, load_settings().settings)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    from asynctasq.app import loop

    return loop.run(main)
