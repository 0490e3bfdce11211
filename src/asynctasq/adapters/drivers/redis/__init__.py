"""The Redis driver."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.adapters.drivers.redis.driver import RedisDriver
except ModuleNotFoundError as error:
    if error.name != "redis":
        raise
    raise MissingDependency(
        "the Redis driver needs the package redis: install asynctasq with its extra 'redis'"
    ) from error

__all__ = ["RedisDriver"]
