"""`asynctasq config`: the settings in force and where they come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import click

from asynctasq.app.cli.opening import open_app
from asynctasq.app.cli.output import show_json, show_table


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--app", metavar="APP", help="Import this module, module:attribute or file for its init().")
@click.option("--json", "as_json", is_flag=True, help="An object: for each setting its value and source.")
def show(app: str | None, as_json: bool) -> None:
    """Show every setting with its value and source. Secrets are shown as stars.

    What a program gives to asynctasq.init() is seen only if its module is named by --app or by the setting app.
    """
    from asynctasq.app.settings import load_settings

    loaded = load_settings()
    if app or loaded.settings.app:
        opened = open_app(app, loaded.settings)
        settings, sources = opened.settings, opened.sources
    else:
        settings, sources = loaded.settings, loaded.sources
    values = {path: _shown(path, value) for path, value in settings.flat().items()}
    if as_json:
        show_json({path: {"value": value, "source": sources[path]} for path, value in values.items()})
        return
    show_table(
        ["SETTING", "VALUE", "SOURCE"],
        [[path, _text(value), sources[path]] for path, value in values.items()],
    )


def _shown(path: str, value: object) -> object:
    # Which options of another package are secret is known to that package alone: those that sound like it are.
    if path.count(".") == 2 and re.search("pass|secret|token|key|credential", path.rpartition(".")[2]):
        return "**********"
    return _plain(value)


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case tuple():
            return ",".join(cast("tuple[str, ...]", value))
        case Path():
            return str(value)
        case str():  # another package's driver may be a URL with a password in it
            return re.sub(r"://[^/@]*@", "://**********@", value)
        case _:  # a driver instance, or a secret, which prints as stars
            return f"{value}"


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:g}"
        case _:
            return f"{value}"
