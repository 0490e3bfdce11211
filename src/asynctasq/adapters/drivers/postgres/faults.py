"""The client's errors and the server's refusals in the port's words."""

from __future__ import annotations

import ssl

import asyncpg
from asyncpg.exceptions import ClientConfigurationError

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverUnavailable, Indeterminate

THEIRS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Whatever the client raises."""

CONTENDED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
"""Nothing was applied, because somebody else was faster; the same statement may succeed at once."""

_UNPREPARED = (
    "it has not the statements that we have prepared, as behind a PgBouncer that pools transactions: "
    "set postgres.statement_cache_size to 0"
)
_FOR_GOOD = {
    "08P01": "it does not take our settings: set postgres.notify to false, if it is a PgBouncer",
    "26000": _UNPREPARED,
    "42P05": _UNPREPARED,
    "28": "it refuses the user name or password: check postgres.dsn",
    "3D000": "it has no such database: create it, or check the end of postgres.dsn",
    "3F000": "the tables of asynctasq are not there: run `asynctasq migrate`",
    "42P01": "the tables of asynctasq are not there: run `asynctasq migrate`",
    "42703": "the tables of asynctasq are not as this version needs them: run `asynctasq migrate`",
    "42501": "this user may not do what a queue needs: grant it what `asynctasq doctor` says",
}
_FOR_NOW = {
    "25006": "it is a standby that cannot be written to; writes go to its primary",
    "53": "it has no room left",
    "57P03": "it is starting up or shutting down",
}
_LOST = ("08", "57P01", "57P02")
"""Connections that broke, or were ended: the server may have committed what it did not live to answer."""


def translated(error: Exception, location: str, *, sent: bool) -> AsyncTasQError:
    """What an error means.

    Args:
        error: one of `THEIRS`.
        location: where the server is.
        sent: whether a statement had been sent, so that the server may have carried it out.
    """
    where = f"PostgreSQL at {location}"
    said = (str(error) or type(error).__name__).partition("\n")[0]
    if meaning := _of_tls(error, said):
        return ConfigurationError(f"{where}: {meaning} ({said})")
    state = error.sqlstate or "" if isinstance(error, asyncpg.PostgresError) else "08"
    if meaning := _meaning(_FOR_GOOD, state):
        return ConfigurationError(f"{where}: {meaning} ({said})")
    if meaning := _meaning(_FOR_NOW, state):
        return DriverUnavailable(f"{where}: {meaning} ({said})")
    if not state.startswith(_LOST):
        return DriverUnavailable(f"{where} refused: {said}")
    if sent:
        return Indeterminate(f"{where} was lost before it had answered ({said})")
    return DriverUnavailable(f"{where} cannot be reached ({said})")


def _meaning(known: dict[str, str], state: str) -> str | None:
    return next((meaning for code, meaning in known.items() if state.startswith(code)), None)


def _of_tls(error: Exception, said: str) -> str | None:
    """What is wrong with how we are told to encrypt; None if it is something else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted: name its CA with ?sslrootcert=FILE in postgres.dsn"
    if "rejected SSL upgrade" in said:
        return "it does not speak TLS, on which sslmode in postgres.dsn insists: turn ssl on there, or write sslmode=prefer"
    if isinstance(error, ClientConfigurationError):
        return "postgres.dsn asks for what cannot be: correct it"
    return None
