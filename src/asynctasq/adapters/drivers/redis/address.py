"""Where servers are and how to log in: a URL, and keywords that may complete but not contradict it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio.connection import parse_url

from asynctasq.adapters.drivers.redis.node import Node
from asynctasq.domain.errors import ConfigurationError

_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL = ("sentinel_username", "sentinel_password")
OPTIONS = {
    "redis": ("db",),
    "unix": ("db",),
    "rediss": ("db", *_TLS),
    "redis+sentinel": ("db", *_SENTINEL),
    "rediss+sentinel": ("db", *_TLS, *_SENTINEL),
    "redis+cluster": (),
    "rediss+cluster": _TLS,
}
"""What may be given in a URL behind a question mark: nothing that would change how the driver works."""

_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}


class Address:
    """Where servers are and how to log in.

    Attributes:
        kind: "" for one server; "sentinel" if that has to be asked for at sentinels; "cluster".
        places: the hosts and ports that the URL names: of the server, the sentinels, or some nodes; none for a socket.
        service: what the sentinels know the server by.
        location: the URL without user, password and options.

    Raises:
        ConfigurationError: not a URL of Redis, an option that is not ours to pass on, or a keyword that contradicts it.
    """

    def __init__(self, url: str, *, password: str | None, db: int | None) -> None:
        read = _read(url)
        options = read.options
        for name, given in (("password", password), ("db", db)):
            if given is None:
                continue
            if options.get(name) not in (None, given):
                shown = "" if name == "password" else f" ({options[name]} and {given})"
                raise ConfigurationError(f"redis.url and {name}= disagree{shown}: give it in one place")
            options[name] = given
        if not isinstance(options.get("db", 0), int) or options.get("db", 0) < 0:
            raise ConfigurationError(f"db={options['db']!r}: use a database number, 0 or more")
        if read.kind == "cluster" and options.get("db"):
            raise ConfigurationError(f"db={options['db']!r}: a cluster has the database 0 only: leave it out")
        if "path" not in options:
            options["socket_keepalive"] = True
        self.kind, self.places, self.service = read.kind, read.places, read.service
        self._sentinel = {name.removeprefix("sentinel_"): options.pop(name, None) for name in _SENTINEL}
        self._options = options
        self._tls: list[Any] = []
        self._scheme = read.scheme
        self.location = f"{read.scheme}://{read.shown}" + ("" if read.kind == "cluster" else f"/{options.get('db', 0)}")

    def node(self, host: str | None = None, port: int | None = None) -> Node:
        """The server itself, or that at a host and port."""
        if host is None:
            return Node(self._options, self.location, self._tls)
        tls = self._scheme.partition("+")[0]
        where = f"{tls}://{host}:{port}/{self._options.get('db', 0)}"
        return Node({**self._options, "host": host, "port": port}, where, self._tls)

    def sentinel(self, host: str, port: int) -> Node:
        """A sentinel, whose user and password are its own."""
        login = {"username": self._sentinel["username"], "password": self._sentinel["password"]}
        return Node(
            {**self._options, **login, "db": 0, "host": host, "port": port}, f"sentinel://{host}:{port}", self._tls
        )


@dataclass(frozen=True, slots=True)
class _Read:
    scheme: str
    kind: Literal["", "sentinel", "cluster"]
    options: dict[str, Any]
    places: tuple[tuple[str, int], ...]
    service: str
    shown: str


def _read(url: str) -> _Read:
    """A URL, taken apart."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in OPTIONS:
            raise _unreadable()
        base, _, kind = parts.scheme.partition("+")
        service, path = "", parts.path
        if kind == "sentinel":
            service, _, path = parts.path.strip("/").partition("/")
            path = path and f"/{path}"
        login, at, hosts = parts.netloc.rpartition("@")
        # One after the other, as the client reads it.
        each = [parts._replace(scheme=base, netloc=f"{login}{at}{host}", path=path) for host in hosts.split(",")]
        options: dict[str, Any] = dict(parse_url(each[0].geturl()))
        places = tuple((one.hostname or "localhost", one.port or _PORTS[kind]) for one in each)
    except (ValueError, TypeError):
        # Not from the cause, which quotes a part of the URL: a password with odd characters is the likely reason.
        raise _unreadable() from None
    if base != "unix" and (_is_cut_short(each[0]) or (kind == "" and len(each) > 1)):
        raise _unreadable()
    if kind == "sentinel" and not re.fullmatch(r"[\w.-]+", service):
        raise ConfigurationError(
            "redis.url names no service: write redis+sentinel://host:26379,host:26379/mymaster, with the name that the "
            "sentinels know the server by"
        )
    for option in parse_qs(parts.query, keep_blank_values=True):
        if option not in (known := OPTIONS[parts.scheme]):
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ConfigurationError(
                f"redis.url has the option {option!r}, and {parts.scheme}:// {takes}: take it away"
            )
    shown = unquote(parts.path) if base == "unix" else ",".join(f"{host}:{port}" for host, port in places)
    return _Read(
        scheme=parts.scheme,
        kind=kind,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- as the schemes are known
        options=options,
        places=() if base == "unix" else places,
        service=service,
        shown=f"{shown}/{service}" if service else shown,
    )


def _is_cut_short(parts: SplitResult) -> bool:
    """Whether a `/`, `?` or `#` in a password ended the host, or what should be a database's number is none."""
    rest = parts.path + parts.query + parts.fragment
    return "@" in rest or bool(parts.fragment) or not re.fullmatch(r"/?[0-9]*", parts.path)


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "redis.url cannot be read: write redis://host:6379/0 (or rediss://, unix://, redis+sentinel://, redis+cluster://), "
        "a user name and password in it percent-encoded, or the password in redis.password"
    )
