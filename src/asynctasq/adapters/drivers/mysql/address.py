"""Where a server is and how to log in: a URL, as MySQL's own tools read it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from asynctasq.adapters.drivers.mysql.wire import Wire
from asynctasq.domain.errors import ConfigurationError

MODES = ("disabled", "required", "verify-ca", "verify-identity")
"""How far the connection is secured: not at all, against listeners, also by a known authority, also to that very host."""

OPTIONS = ("ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket")


class Address:
    """Where a server is and how to log in.

    Args:
        dsn: mysql://user:password@host:port/database?ssl-mode=verify-identity&ssl-ca=ca.pem

    Attributes:
        location: the URL without user, password and options.

    Raises:
        ConfigurationError: not a URL of MySQL, or with options that cannot be.
    """

    def __init__(self, dsn: str) -> None:
        try:
            parts = urlsplit(dsn)
            port = parts.port or 3306
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            host, database = parts.hostname or "localhost", unquote(parts.path[1:])
            # Behind "#", and behind "?" before "@", is the rest of a password.
            readable = parts.scheme == "mysql" and not parts.fragment and "@" not in parts.query
            readable = readable and bool(database) and "/" not in parts.path[1:]
        except ValueError:
            readable = False
            parts, options, host, port, database = urlsplit(""), dict[str, str](), "", 0, ""
        if not readable:
            # Not shown, and no cause: either may hold the password, whose odd characters are the likely reason.
            raise ConfigurationError(
                "mysql.dsn cannot be read: write mysql://user:password@host:3306/database, "
                "the user name and password percent-encoded"
            )
        self.location = f"mysql://{parts.netloc.rpartition('@')[2] or 'localhost'}/{database}"
        tls = _tls(options)
        password = unquote(parts.password or "")
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": unquote(parts.username) if parts.username else None,
            # The client writes passwords in Latin-1; the server's users have theirs in UTF-8.
            "password": password.encode().decode("latin-1"),
            "db": database,
            "unix_socket": options.get("socket"),
            "ssl": tls,
            "charset": "utf8mb4",
            "autocommit": None,
            "program_name": "asynctasq",
        }

    def wire(self) -> Wire:
        """A connection, not opened yet."""
        return Wire(self._options)


def _tls(options: Mapping[str, str]) -> ssl.SSLContext | None:
    unknown = ", ".join(sorted(options.keys() - set(OPTIONS)))
    if unknown:
        raise ConfigurationError(f"mysql.dsn has options {unknown}: known are {', '.join(OPTIONS)}")
    authority = options.get("ssl-ca")
    mode = options.get("ssl-mode", "verify-ca" if authority else "disabled").lower().replace("_", "-")
    if mode not in MODES:
        raise ConfigurationError(f"mysql.dsn has ssl-mode={mode}: use {', '.join(MODES)}")
    if mode == "disabled":
        if given := [name for name in ("ssl-ca", "ssl-cert", "ssl-key") if name in options]:
            raise ConfigurationError(f"mysql.dsn has {', '.join(given)} with ssl-mode=disabled: keep one of the two")
        return None
    if "socket" in options:
        raise ConfigurationError(
            "mysql.dsn has a socket, which stays on this machine, and ssl-mode: keep one of the two"
        )
    try:
        context = ssl.create_default_context(cafile=authority and str(Path(authority).expanduser()))
        context.check_hostname = mode == "verify-identity"
        if mode == "required":
            context.verify_mode = ssl.CERT_NONE
        if "ssl-cert" in options:
            context.load_cert_chain(options["ssl-cert"], options.get("ssl-key"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"mysql.dsn: ssl-ca, ssl-cert or ssl-key cannot be read: check the paths and the files ({error})"
        ) from error
    return context
