"""The MySQL driver."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.adapters.drivers.mysql.driver import MySQLDriver
except ModuleNotFoundError as error:
    if error.name not in ("aiomysql", "pymysql"):
        raise
    raise MissingDependency(
        "the MySQL driver needs the package aiomysql: install asynctasq with its extra 'mysql'"
    ) from error

__all__ = ["MySQLDriver"]
