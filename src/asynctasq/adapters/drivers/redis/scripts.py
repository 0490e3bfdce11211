"""The Lua of this driver: one file per verb, each behind the same prelude, known to the server by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

_FOLDER = files("asynctasq.adapters.drivers.redis") / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A script and its digest."""

    text: bytes
    digest: bytes


def _script(name: str) -> Script:
    text = b"\n".join((_FOLDER / f"{part}.lua").read_bytes() for part in ("prelude", name))
    return Script(text, sha1(text, usedforsecurity=False).hexdigest().encode())


ENQUEUE = _script("enqueue")
CLAIM = _script("claim")
EXTEND = _script("extend")
SETTLE = _script("settle")
STATS = _script("stats")
PURGE = _script("purge")
LIST_DEAD = _script("list_dead")
REQUEUE_DEAD = _script("requeue_dead")
PURGE_DEAD = _script("purge_dead")
FIND = _script("find")

BY_DIGEST = {
    script.digest: script
    for script in (ENQUEUE, CLAIM, EXTEND, SETTLE, STATS, PURGE, LIST_DEAD, REQUEUE_DEAD, PURGE_DEAD, FIND)
}
