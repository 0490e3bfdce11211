"""The PostgreSQL driver: PostgreSQL 12 or newer."""

from asynctasq.adapters.drivers.postgres import PostgresDriver

__all__ = ["PostgresDriver"]
