"""Which servers will do, and which may lose what they acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from asynctasq.adapters.drivers.redis.examination import field
from asynctasq.domain.errors import AsyncTasQError, ConfigurationError

logger = logging.getLogger("asynctasq.redis")

OLDEST = (6, 2)
"""The oldest server that will do; Valkey says 7.2 here."""

QUESTIONS = (("INFO", "server"), ("CONFIG", "GET", "maxmemory-policy"), ("CONFIG", "GET", "appendonly"))
"""What a server is asked. Hosted ones may tell none of it."""

GOOD = (
    (b"noeviction", "it may throw tasks away when memory is short: set noeviction"),
    (b"yes", "it loses its tasks when it is restarted: set it to yes"),
)
"""What each setting should be, in the order of the questions, and what it means if it is not."""

_told: set[tuple[str, str]] = set()
"""Servers and their settings of which people have been warned in this process."""


def check(info: Any, location: str, *, is_cluster: bool) -> None:
    """Refuse a server that will not do.

    Args:
        info: what it answers to INFO, or its error.
        location: where it is.
        is_cluster: whether it was taken for one.

    Raises:
        ConfigurationError: it will not do.
    """
    if isinstance(info, AsyncTasQError):
        return
    version = field(info, "redis_version")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise ConfigurationError(f"Redis at {location} is version {version}: use Redis 6.2, Valkey 7.2 or newer")
    # Valkey has a word of its own for it.
    is_one = "cluster" in {field(info, "redis_mode"), field(info, "server_mode")}
    if is_one and not is_cluster:
        raise ConfigurationError(f"Redis at {location} is a cluster: write redis+cluster:// in redis.url")
    if is_cluster and not is_one:
        raise ConfigurationError(f"Redis at {location} is no cluster: write redis:// in redis.url")


def warn(settings: Sequence[Any], location: str) -> None:
    """Warn, once, of settings by which a server may lose what it acknowledged."""
    for reply, (good, trouble) in zip(settings, GOOD, strict=True):
        if not reply or isinstance(reply, AsyncTasQError) or reply[1] == good:
            continue
        setting = reply[0].decode()
        if (location, setting) not in _told:
            _told.add((location, setting))
            logger.warning("Redis at %s has %s %s: %s", location, setting, reply[1].decode(), trouble)
