"""The Redis driver."""

from asynctasq.adapters.drivers.redis.driver import RedisDriver

__all__ = ["RedisDriver"]
