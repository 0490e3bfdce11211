"""SQLite's errors in the words of the port."""

from __future__ import annotations

import apsw

from asynctasq.domain.errors import (
    AsyncTasQError,
    ConfigurationError,
    DriverUnavailable,
    Indeterminate,
    PayloadTooLarge,
)

_LOCKED = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)
_REFUSED = (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError)
_BROKEN = (apsw.CorruptError, apsw.NotADBError)

HARMLESS = (*_LOCKED, apsw.FullError, apsw.TooBigError)
"""After these the connection is as good as before; after any other it is replaced."""


class OutcomeUnknown(Exception):
    """A COMMIT failed in a way that leaves open whether it is on the disk. Its cause says how."""


def translate(error: apsw.Error | OSError | OutcomeUnknown, path: str) -> AsyncTasQError:
    """The port's error for SQLite's, to be raised `from` it."""
    if isinstance(error, OutcomeUnknown):
        return Indeterminate(
            f"{path}: the disk failed during a commit, which may or may not have been stored "
            f"({error.__cause__}): check the disk"
        )
    if isinstance(error, apsw.TooBigError):
        return PayloadTooLarge(
            f"{path}: a body is over the 1,000,000,000 bytes that SQLite can store: pass a reference to the data instead"
        )
    if isinstance(error, _BROKEN):
        return ConfigurationError(
            f"{path} is not a usable SQLite database ({error}): restore it from a backup, or move it away to start empty"
        )
    return DriverUnavailable(f"{path}: nothing was applied; {_advice(error)} ({error})")


def _advice(error: apsw.Error | OSError) -> str:
    if isinstance(error, _LOCKED):
        return "another process keeps it locked: wait for its transaction, or end that process"
    if isinstance(error, apsw.FullError):
        return "its disk is full: free some space"
    if isinstance(error, _REFUSED):
        return "it cannot be opened for writing: check the permissions of the file and its folder, and the mount"
    if isinstance(error, (apsw.IOError, OSError)):
        return "its disk or folder cannot be used: check both"
    return "SQLite refused"
