"""What a queue file and its surroundings tell, and what an operator should make of it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import apsw

from asynctasq.adapters.drivers.sqlite.connection import Connection, Synchronous
from asynctasq.ports.examination import Finding

LITTLE_ROOM = 100 * 1024 * 1024
"""Bytes left on a disk that are worth a word."""


def findings(connection: Connection, *, path: str, synchronous: Synchronous) -> list[Finding]:
    """What to say of an open queue file.

    Args:
        connection: to it.
        path: of the file.
        synchronous: what was asked for.
    """
    file, size = Path(path), os.path.getsize(path)
    mode = stat.S_IMODE(file.stat().st_mode)
    room = shutil.disk_usage(file.parent).free
    (journal,) = next(iter(connection.execute("PRAGMA journal_mode")))
    return [
        Finding(subject="library", said=f"SQLite {apsw.sqlite_lib_version()}"),
        Finding(subject="file", said=f"{size:,} bytes, journal {journal}"),
        Finding(
            subject="permissions",
            said=f"the file's mode is {mode:04o}",
            mend=f"others can read what is queued: chmod 600 {path}" if mode & 0o077 else "",
        ),
        Finding(
            subject="persistence",
            said=f"synchronous {synchronous}",
            mend=""
            if synchronous == "full"
            else "a power cut may take the last moments: set sqlite.synchronous to full",
        ),
        Finding(
            subject="disk",
            said=f"{room:,} bytes free",
            mend=f"make room on the disk of {file.parent}" if room < LITTLE_ROOM else "",
        ),
    ]
