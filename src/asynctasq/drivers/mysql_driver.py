"""The MySQL driver: MariaDB 10.6 or newer, or MySQL 8.0.1 or newer."""

from asynctasq.adapters.drivers.mysql import MySQLDriver

__all__ = ["MySQLDriver"]
