"""The Redis driver: Redis 6.2 or newer, or Valkey 7.2 or newer."""

from asynctasq.adapters.drivers.redis import RedisDriver

__all__ = ["RedisDriver"]
