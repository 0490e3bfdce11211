"""The SQLite driver: the embedded, durable default."""

from asynctasq.adapters.drivers.sqlite import SQLiteDriver

__all__ = ["SQLiteDriver"]
