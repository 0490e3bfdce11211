"""The client's errors and the server's refusals in the port's words."""

from __future__ import annotations

from collections.abc import Mapping

from redis import exceptions as theirs

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverUnavailable, Indeterminate

LOST = (theirs.ConnectionError, theirs.TimeoutError, OSError, TimeoutError)
"""The connection is gone, or nobody answers on it."""

_FOR_NOW = {
    "LOADING": "it is still loading its data",
    "OOM": "it has no memory left (maxmemory): let workers catch up, or give it more",
    "MISCONF": "it cannot save its data to disk and so refuses writes",
    "READONLY": "it is a replica; writes go to its primary",
    "NOREPLICAS": "it has fewer replicas than it must have to write (min-replicas-to-write)",
    "MASTERDOWN": "its primary is gone",
    "BUSY": "it is busy with somebody's script",
    "TRYAGAIN": "it is moving slots",
    "CLUSTERDOWN": "its cluster is down",
    "max number of clients": "it has as many clients as it may have (maxclients)",
    "No connection available": "all connections that redis.max_connections allows are in use",
}
_CLUSTER = "it is part of a cluster: write redis+cluster:// in redis.url"
_FOR_GOOD = {
    "WRONGTYPE": "a key of ours holds somebody else's data: choose another redis.key_prefix, or remove that key",
    "Authentication required": "it wants a password: set redis.password",
    "invalid username-password": "it refuses the user name or password: check redis.url and redis.password",
    "invalid password": "it refuses the password: check redis.url and redis.password",
    "without any password": "it has no password, and one is given: take redis.password away",
    "NOPERM": "this user may not do what a queue needs: allow it @all on the keys and channels of redis.key_prefix",
    "know no service": "check the name at the end of redis.url, which is the one that the sentinels monitor it by",
    "cluster support disabled": "it is no cluster: write redis:// in redis.url",
    "DB index": "it has no such database: check the number at the end of redis.url",
    "SELECT is not allowed": "it knows database 0 only: check the number at the end of redis.url",
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
    "TLS: ": "a file that redis.url names (ssl_ca_certs, ...) is not there: correct its path",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted: name its CA with ?ssl_ca_certs=FILE in redis.url",
    "unknown command": "it lacks a command that is needed: use Redis 6.2, Valkey 7.2 or newer",
}

_CODES = {
    theirs.BusyLoadingError: "LOADING",
    theirs.OutOfMemoryError: "OOM",
    theirs.ReadOnlyError: "READONLY",
    theirs.MasterDownError: "MASTERDOWN",
    theirs.TryAgainError: "TRYAGAIN",
    theirs.ClusterDownError: "CLUSTERDOWN",
    theirs.MovedError: "MOVED",
    theirs.ClusterCrossSlotError: "CROSSSLOT",
    theirs.NoPermissionError: "NOPERM",
}
"""The client takes the code off some errors and makes a class of it."""


def translated(error: Exception, location: str, *, sent: bool) -> AsyncTasQError:
    """What an error of the client means.

    Args:
        error: one of redis-py's, or of the socket.
        location: where the server is.
        sent: whether the request had been sent, so that the server may have carried it out.
    """
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
    said = f"{code} {error}".strip()
    if location.startswith("rediss") and "No such file" in said:
        said = f"TLS: {said}"  # on a socket's path it would mean that no server runs
    if meaning := _meaning(_FOR_GOOD, said):
        return ConfigurationError(f"Redis at {location}: {meaning}")
    if isinstance(error, theirs.AuthenticationError):
        return ConfigurationError(f"Redis at {location} refuses us: check redis.url and redis.password ({said})")
    if meaning := _meaning(_FOR_NOW, said):
        return DriverUnavailable(f"Redis at {location}: {meaning}")
    if not isinstance(error, LOST):
        return DriverUnavailable(f"Redis at {location} refused: {said}")
    if sent:
        return Indeterminate(f"Redis at {location} was lost before it had answered ({type(error).__name__})")
    silent = "it does not answer"
    if location.startswith("rediss"):
        silent += ", as a server does that speaks no TLS: if it is one, write redis instead of rediss in redis.url"
    what = f"{type(error).__name__}: {said}" if said else silent
    return DriverUnavailable(f"Redis at {location} cannot be reached ({what})")


def _meaning(known: Mapping[str, str], said: str) -> str | None:
    return next((meaning for words, meaning in known.items() if words in said), None)
