"""The Redis driver: Redis 6.2 or newer, or Valkey."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.adapters.drivers.redis import RedisDriver
except ModuleNotFoundError as error:
    if error.name != "redis":
        raise
    raise MissingDependency("the Redis driver needs the package redis: install asynctasq with its extra 'redis'") from error

__all__ = ["RedisDriver"]
