"""The embedded driver: a durable queue in one SQLite file, through apsw."""

from asynctasq.adapters.drivers.sqlite.driver import SQLiteDriver
from asynctasq.adapters.drivers.sqlite.location import default_path

__all__ = ["SQLiteDriver", "default_path"]
