"""The PostgreSQL driver."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.adapters.drivers.postgres.driver import PostgresDriver
except ModuleNotFoundError as error:
    if error.name != "asyncpg":
        raise
    raise MissingDependency(
        "the PostgreSQL driver needs the package asyncpg: install asynctasq with its extra 'postgres'"
    ) from error

__all__ = ["PostgresDriver"]
