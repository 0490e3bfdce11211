"""Processes and what they hold, as Linux tells it."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path


def alive(pids: Collection[int]) -> set[int]:
    """Those that live; a zombie does not."""
    return {pid for pid in pids if (stat := _stat(pid)) is not None and stat[0] not in {"Z", "X"}}


def descendants(pid: int) -> set[int]:
    """All that a process has started, and they, and so on."""
    below: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        if (stat := _stat(int(folder.name))) is not None:
            below[int(stat[1])].append(int(folder.name))
    found, rest = set[int](), [pid]
    while rest:
        rest += (young := below[rest.pop()])
        found.update(young)
    return found


def children_of_worker(pid: int) -> set[int]:
    """The children that a worker's fork server has forked."""
    return {each for each in descendants(pid) if _command(each).count("forkserver") and _parent(each) != pid}


def held(pid: int) -> dict[int, str]:
    """What a process has open, by descriptor: a path, or `socket:[inode]` and the like."""
    links: dict[int, str] = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links[int(link.name)] = os.readlink(link)
    return links


def _parent(pid: int) -> int | None:
    stat = _stat(pid)
    return None if stat is None else int(stat[1])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
