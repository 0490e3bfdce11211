"""The client's errors and the server's refusals in the port's words."""

from __future__ import annotations

import ssl

from asynctasq.adapters.drivers.mysql.wire import IN_THE_CLEAR, NO_TLS, ClientError
from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverUnavailable, Indeterminate

THEIRS = (ClientError, OSError, TimeoutError, EOFError, UnicodeError)
"""Whatever the client raises."""

OUT_OF_RANGE = 1690
"""The code of a number that is less than zero where it must not be."""

_CONTENDED = {1205, 1213}
"""Lock wait timeout, deadlock: nothing was applied, because somebody else was faster."""

_FOR_GOOD = {
    NO_TLS: "it cannot encrypt, which ssl-mode of mysql.dsn demands: turn TLS on there, or take ssl-mode away",
    IN_THE_CLEAR: "it would have the password shown on the way: add ?ssl-mode=required to mysql.dsn",
    1044: "this user may not use that database: grant it access, or check the end of mysql.dsn",
    1045: "it refuses the user name or password: check mysql.dsn",
    1049: "it has no such database: create it, or check the end of mysql.dsn",
    1054: "the tables of asynctasq are not as this version needs them: run `asynctasq migrate`",
    1142: "this user may not do what a queue needs: grant it SELECT, INSERT, UPDATE and DELETE on the tables",
    1143: "this user may not do what a queue needs: grant it SELECT, INSERT, UPDATE and DELETE on the tables",
    1146: "the tables of asynctasq are not there: run `asynctasq migrate`",
    1227: "this user may not do what a queue needs: grant it SELECT, INSERT, UPDATE and DELETE on the tables",
    1251: "it logs users in as this client cannot: give the user the plugin mysql_native_password or caching_sha2_password",
    1698: "it refuses the user name or password: check mysql.dsn",
    3118: "it has locked this user's account: unlock it, or name another user in mysql.dsn",
    3159: "it demands TLS: add ?ssl-mode=required to mysql.dsn",
}
_FOR_NOW = {
    1021: "its disk is full",
    1040: "it has no connection left",
    1041: "it has no memory left",
    1114: "it has no room left",
    1203: "this user has no connection left",
    1226: "this user has no connection left",
    1290: "it is read-only: writes go to its primary",
    1836: "it is read-only: writes go to its primary",
}
_LOST = {
    1053,
    1077,
    1079,
    1080,
    1152,
    1153,
    1158,
    1159,
    1160,
    1161,
    1184,
    1927,
    2000,
    2003,
    2006,
    2013,
    2014,
    2055,
    4031,
}
"""Connections that broke, or were ended: the server may have committed what it did not live to answer."""

_OURS = range(2000, 3000)
"""What the client says, and not the server."""


def falls_short(error: Exception) -> bool:
    """Whether a packet ended early because `sql/all.sql` was refused."""
    return _code(error) == OUT_OF_RANGE


def is_contended(error: Exception) -> bool:
    """Whether the same may succeed at once."""
    return _code(error) in _CONTENDED


def is_answer(error: BaseException) -> bool:
    """Whether it is the server's answer, after which the connection may be used again."""
    code = _code(error)
    return isinstance(error, ClientError) and code > 0 and code not in _LOST and code not in _OURS


def translated(error: Exception, location: str, *, applied: bool) -> AsyncTasQError:
    """What an error means.

    Args:
        error: one of `THEIRS`.
        location: where the server is.
        applied: whether something had been sent that the server may have carried out.
    """
    where = f"MySQL at {location}"
    code = _code(error)
    said = _said(error)
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"{where} shows a certificate that cannot be trusted: check ssl-ca in mysql.dsn ({said})"
        )
    if meaning := _FOR_GOOD.get(code):
        return ConfigurationError(f"{where}: {meaning} ({said})")
    if meaning := _FOR_NOW.get(code):
        return DriverUnavailable(f"{where}: {meaning} ({said})")
    if is_answer(error):
        return DriverUnavailable(f"{where} refused: {said}")
    if applied:
        return Indeterminate(f"{where} was lost before it had answered ({said})")
    return DriverUnavailable(f"{where} cannot be reached ({said})")


def _code(error: BaseException) -> int:
    code = error.args[0] if isinstance(error, ClientError) and error.args else 0
    return code if isinstance(code, int) else 0


def _said(error: Exception) -> str:
    said = error.args[1] if isinstance(error, ClientError) and len(error.args) > 1 else str(error)
    cause = f": {error.__cause__}" if error.__cause__ is not None else ""
    return f"{said or type(error).__name__}{cause}".partition("\n")[0]
