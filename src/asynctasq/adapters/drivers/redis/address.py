"""Where a server is and how to log in: a URL, and keywords that may complete but not contradict it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asynctasq.domain.errors import ConfigurationError

PATIENCE = 4.5
"""Seconds for a verb, connecting included: the port allows five."""

OPTIONS = {
    "redis": ("db",),
    "unix": ("db",),
    "rediss": ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
}
"""What may be given in a URL behind a question mark: nothing that would change how the driver works."""


class Address:
    """Where a server is and how to log in.

    Attributes:
        location: the URL without user, password and options.

    Raises:
        ConfigurationError: not a URL of Redis, an option that is not ours to pass on, or a keyword that contradicts it.
    """

    def __init__(self, url: str, *, password: str | None, db: int | None) -> None:
        options, place, scheme = _read(url)
        for name, given in (("password", password), ("db", db)):
            if given is None:
                continue
            if options.get(name) not in (None, given):
                shown = "" if name == "password" else f" ({options[name]} and {given})"
                raise ConfigurationError(f"redis.url and {name}= disagree{shown}: give it in one place")
            options[name] = given
        if not isinstance(options.get("db", 0), int) or options.get("db", 0) < 0:
            raise ConfigurationError(f"db={options['db']!r}: use a database number, 0 or more")
        if scheme != "unix":
            options["socket_keepalive"] = True
        self._options = options
        self.location = f"{scheme}://{place}/{options.get('db', 0)}"

    async def connect(self) -> Any:
        """A new connection. Raises the client's errors."""
        connection: Any = self._connections().make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except BaseException:  # while it was introducing itself, perhaps
            await connection.disconnect(nowait=True)
            raise
        return connection

    def client(self) -> Redis:
        """A client of one connection, for what it knows better than we do: to subscribe."""
        return Redis(connection_pool=self._connections())

    def _connections(self) -> ConnectionPool:
        return ConnectionPool(
            # Given one by one, as defaults differ between versions of the client. Time is bounded by whoever asks.
            socket_timeout=None,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
            decode_responses=False,
            client_name="asynctasq",
            max_connections=1,
            **self._options,
        )


def _read(url: str) -> tuple[dict[str, Any], str, str]:
    """The client's options, where the server is, for people, and how it is spoken to."""
    try:
        parts = urlsplit(url)
        options: dict[str, Any] = dict(parse_url(url))
        place = parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except (ValueError, TypeError):
        # Not from the cause, which quotes a part of the URL: a password with odd characters is the likely reason.
        raise _unreadable() from None
    if parts.scheme != "unix" and _is_cut_short(parts):
        raise _unreadable()
    for option in parse_qs(parts.query, keep_blank_values=True):
        if option not in (known := OPTIONS[parts.scheme]):
            raise ConfigurationError(f"redis.url has the option {option!r}; {parts.scheme}:// takes {', '.join(known)}")
    return options, place, parts.scheme


def _is_cut_short(parts: SplitResult) -> bool:
    """Whether a `/`, `?` or `#` in a password ended the host, or what should be a database's number is none."""
    rest = parts.path + parts.query + parts.fragment
    return "@" in rest or bool(parts.fragment) or not re.fullmatch(r"/?[0-9]*", parts.path)


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "redis.url cannot be read: write redis://host:6379/0 (or rediss://, unix://), a user name and password "
        "in it percent-encoded, or the password in redis.password"
    )
