"""What a server tells of itself, and what an operator should make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asynctasq.domain.errors import AsyncTasQError
from asynctasq.ports.examination import Finding

SETTINGS = ("maxmemory-policy", "maxmemory", "appendonly", "appendfsync")
_PURPOSE = {
    "maxmemory-policy": "eviction",
    "maxmemory": "memory",
    "appendonly": "persistence",
    "appendfsync": "disk",
}
_GOOD = {
    "maxmemory-policy": {b"noeviction"},
    "appendonly": {b"yes"},
    "appendfsync": {b"everysec", b"always"},
}
_MENDS = {
    "maxmemory-policy": "it may throw tasks away when memory is short: CONFIG SET maxmemory-policy noeviction",
    "appendonly": "tasks are lost when it is restarted: CONFIG SET appendonly yes",
    "appendfsync": "a power cut may take far more than the last second: CONFIG SET appendfsync everysec",
}


def findings(info: Any, settings: Sequence[Any]) -> list[Finding]:
    """What to say of the replies to INFO and to CONFIG GET of each of `SETTINGS`; either may be an error."""
    return [
        *_of_info(info),
        *(_of_setting(name, reply) for name, reply in zip(SETTINGS, settings, strict=True)),
    ]


def field(info: bytes, name: str) -> str:
    """A field of INFO; "0" where the server does not tell."""
    lines = info.decode("utf-8", "replace").splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "0")


def _of_info(info: Any) -> list[Finding]:
    if isinstance(info, AsyncTasQError):
        return [Finding(subject="server", said="it does not tell its version (INFO is refused)")]
    product = "Valkey" if field(info, "server_name") == "valkey" else "Redis"
    version = field(info, "valkey_version") if product == "Valkey" else field(info, "redis_version")
    role, failed = field(info, "role"), field(info, "rdb_last_bgsave_status") == "err"
    return [
        Finding(subject="server", said=f"{product} {version}, {field(info, 'redis_mode')}"),
        Finding(
            subject="role",
            said=role,
            mend="" if role in {"master", "0"} else "it takes no writes: give the address of the primary",
        ),
        Finding(
            subject="saving",
            said="the last one failed" if failed else "in order",
            mend="it may refuse writes: look at the server's log, and at the room on its disk" if failed else "",
        ),
    ]


def _of_setting(name: str, reply: Any) -> Finding:
    subject = _PURPOSE[name]
    if not reply or isinstance(reply, AsyncTasQError):
        return Finding(subject=subject, said=f"it does not tell {name} (CONFIG GET is refused)")
    value = reply[1]
    well = value in _GOOD.get(name, {value})
    mend = "" if well else f"{_MENDS[name]}, and in the server's configuration"
    return Finding(subject=subject, said=f"{name} {value.decode('utf-8', 'replace')}", mend=mend)
