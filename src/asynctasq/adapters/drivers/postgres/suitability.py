"""Which servers and tables will do."""

from __future__ import annotations

from asynctasq.domain.errors import ConfigurationError

VERSION = 1
"""Of the tables; what install.sql writes down."""

OLDEST = 120_000
"""The oldest server that will do, 12, in the server's own way to write versions."""


def check(
    where: str, schema: str, *, tables: int | None, version: int, encoding: str, is_set: bool, notify: bool
) -> None:
    """Refuse a server or tables that will not do.

    Args:
        where: the server, for people.
        schema: what holds the tables.
        tables: their version; None if there are none.
        version: the server's.
        encoding: of the database.
        is_set: whether it has taken our settings of a session.
        notify: whether hints are to be given and listened to.

    Raises:
        ConfigurationError: they will not do.
    """
    if notify and not is_set:
        # A hint would be listened to on whichever connection the pooler lends us for that statement.
        raise ConfigurationError(
            f"{where} has not taken our settings, as behind a pooler that ignores them (ignore_startup_parameters): "
            "set postgres.notify to false"
        )
    if version < OLDEST:
        raise ConfigurationError(f"{where} is version {version // 10_000}: use 12 or newer")
    if encoding != "UTF8":
        raise ConfigurationError(f"{where} has the encoding {encoding}: create a database with ENCODING 'UTF8'")
    if tables is None or tables < VERSION:
        raise ConfigurationError(
            f"{where} has tables of version {tables} in schema {schema!r}, "
            f"this asynctasq needs {VERSION}: run `asynctasq migrate`"
        )
    if tables > VERSION:
        raise ConfigurationError(
            f"{where} has tables of version {tables} in schema {schema!r}, "
            f"this asynctasq knows {VERSION}: upgrade asynctasq"
        )
