"""One queue as a folder. A message is a file that holds its body; the file's name says how the message stands.

    waiting/   ready or delayed        notes/   of each dead letter, its reason and error
    leased/    claimed by a worker     new/     bodies that are being written
    dead/      dead letters            lock     held for the length of one step

Whatever changes how a message stands is one rename (or one removal), which happens or does not: a process that is killed
between any two instructions leaves every message in exactly one state, and nothing to repair. The lock keeps two processes
from taking the same step; the kernel lets go of it when its holder dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import chain, islice
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from asynctasq.errors import DriverUnavailable, Indeterminate
from asynctasq.ports import Ack, DeadLetter, Message, QueueStats, Retry, Verdict

LOCK_PATIENCE = 4.0
"""Seconds to wait for the lock: below the five in which a verb must answer."""

LAST_MOMENT = 10**20 - 1
"""The latest time, in nanoseconds since the epoch, that a name can carry: in the year 5138."""

_NAME = re.compile(r"\d{20},\d{6},\d+,\d+,\d+,[0-9a-f]*,[^,]*")

State = Literal["waiting", "leased", "dead"]


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """How a message stands, as its file's name says it. Entries sort in the order in which they are claimed.

    Attributes:
        when: when it may be claimed (again), in nanoseconds since the epoch; of a dead letter, when it died.
        place: its place among those that were put there at the same moment.
        attempts: how many were counted.
        expiries: how many leases ended without a settlement.
        enqueued: when it was enqueued, in nanoseconds since the epoch.
        receipt: of the claim that holds it; empty if none does.
        id: the message's id.
    """

    when: int
    place: int
    attempts: int
    expiries: int
    enqueued: int
    receipt: str
    id: str

    @property
    def name(self) -> str:
        """The name of its file: as long as the id allows, and no character that a file system could mind."""
        numbers = f"{self.when:020},{self.place:06},{self.attempts},{self.expiries},{self.enqueued}"
        return f"{numbers},{self.receipt},{quote(self.id, safe='')}"


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter: how it stood when it died, its body, and why."""

    entry: Entry
    body: bytes
    reason: str
    error: str


class QueueFolder:
    """The messages of one queue. Every method is one step: no other process sees it half done.

    Args:
        path: the queue's folder; made when the first message comes.
        fsync: whether `add` waits for the disk.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync

    def add(self, messages: Sequence[Message]) -> list[bool]:
        """Store messages; for each, whether it is new. Whoever has its id already stays as he is.

        Raises:
            DriverUnavailable: none was stored.
            Indeterminate: some may have been stored.
        """
        with _told_as(DriverUnavailable), self._locked():
            known = {unquote(name.rpartition(",")[2]) for name in self._names("waiting", "leased", "dead")}
            now = time.time_ns()
            fresh: list[Entry] = []
            answers: list[bool] = []
            for message in messages:
                answers.append(message.id not in known)
                if answers[-1]:
                    known.add(message.id)
                    self._write(self._path / "new" / f"{len(fresh)}", message.body)
                    fresh.append(Entry(_later(now, message.delay), len(fresh), 0, 0, now, "", message.id))
            # Whatever could have failed for want of room has been done by now.
            with _told_as(Indeterminate):
                for place, entry in enumerate(fresh):
                    os.rename(self._path / "new" / f"{place}", self._file("waiting", entry))
                self._sync(self._path / "waiting")
            return answers

    def take(self, limit: int, lease: float) -> tuple[list[tuple[Entry, bytes]], int]:
        """Lease up to `limit` messages that are due; and when the next of those that are left will be, if it is known.

        Raises:
            DriverUnavailable: none was taken.
            Indeterminate: some may have been; they come back when the lease ends.
        """
        taken: list[tuple[Entry, bytes]] = []
        with _told_as(Indeterminate), self._locked():
            now = time.time_ns()
            # Names sort as their entries do: the first of them are found without reading the others.
            for entry in map(_entry, nsmallest(limit + 1, self._names("waiting", "leased"))):
                if entry.when > now or len(taken) == limit:
                    return taken, entry.when
                claimed = replace(
                    entry,
                    when=_later(now, lease),
                    attempts=entry.attempts + 1,
                    expiries=entry.expiries + (entry.receipt != ""),
                    receipt=secrets.token_hex(8),
                )
                self._move("leased" if entry.receipt else "waiting", entry, "leased", claimed)
                taken.append((claimed, self._file("leased", claimed).read_bytes()))
        return taken, LAST_MOMENT

    def extend(self, receipts: Sequence[str], lease: float) -> list[bool]:
        """Let leases end `lease` seconds from now; for each, whether its receipt still holds.

        Raises:
            DriverUnavailable: none was extended.
            Indeterminate: some may have been.
        """
        with _told_as(Indeterminate), self._locked():
            held = {entry.receipt: entry for entry in self._entries("leased")}
            when = _later(time.time_ns(), lease)
            for receipt in set(receipts) & held.keys():
                self._move("leased", held[receipt], "leased", replace(held[receipt], when=when))
            return [receipt in held for receipt in receipts]

    def settle(self, settlements: Sequence[tuple[str, Verdict]]) -> list[bool]:
        """Carry out verdicts on receipts; for each, whether its receipt still held.

        Raises:
            DriverUnavailable: none was carried out.
            Indeterminate: some may have been.
        """
        with _told_as(Indeterminate), self._locked():
            held = {entry.receipt: entry for entry in self._entries("leased")}
            now = time.time_ns()
            answers: list[bool] = []
            for place, (receipt, verdict) in enumerate(settlements):
                entry = held.pop(receipt, None)
                answers.append(entry is not None)
                if entry is not None:
                    self._settle(entry, verdict, now, place)
            return answers

    def purge(self) -> int:
        """Remove what is alive; how much that was."""
        with _told_as(Indeterminate), self._locked():
            living = list(self._entries("waiting", "leased"))
            for entry in living:
                self._file("leased" if entry.receipt else "waiting", entry).unlink()
            return len(living)

    def list_dead(self, limit: int, after: str | None) -> list[Buried]:
        """Up to `limit` dead letters, those behind the one of the id `after`; the most recently dead first."""
        with _told_as(DriverUnavailable), self._locked():
            graves = iter(self._graves())
            if after is not None:
                next((entry for entry in graves if entry.id == after), None)
            return [self._buried(entry) for entry in islice(graves, limit)]

    def get_dead(self, ids: Collection[str]) -> list[Buried]:
        """The dead letters of these ids, as many as there are."""
        with _told_as(DriverUnavailable), self._locked():
            return [self._buried(entry) for entry in self._graves(ids)]

    def requeue(self, ids: Collection[str]) -> list[str]:
        """Make dead letters ready again; the ids of those there were."""
        with _told_as(Indeterminate), self._locked():
            graves = self._graves(ids)
            now = time.time_ns()
            for place, entry in enumerate(graves):
                self._move("dead", entry, "waiting", Entry(now, place, 0, 0, entry.enqueued, "", entry.id))
                self._note(entry).unlink(missing_ok=True)
            return [entry.id for entry in graves]

    def purge_dead(self, ids: Collection[str]) -> list[str]:
        """Remove dead letters; the ids of those there were."""
        with _told_as(Indeterminate), self._locked():
            graves = self._graves(ids)
            for entry in graves:
                self._file("dead", entry).unlink()
                self._note(entry).unlink(missing_ok=True)
            return [entry.id for entry in graves]

    def stats(self, queue: str) -> QueueStats:
        """How the queue stands."""
        with _told_as(DriverUnavailable), self._locked():
            now = time.time_ns()
            living = list(self._entries("waiting", "leased"))
            ready = [entry.when for entry in living if entry.when <= now]
            leased = sum(entry.when > now and entry.receipt != "" for entry in living)
            return QueueStats(
                queue=queue,
                ready=len(ready),
                delayed=len(living) - len(ready) - leased,
                leased=leased,
                dead=sum(1 for _ in self._names("dead")),
                oldest_age=(now - min(ready)) / 1e9 if ready else None,
                exact=True,
            )

    def holds_any(self) -> bool:
        """Whether there is any message, dead letters included."""
        with _told_as(DriverUnavailable), self._locked():
            return next(self._names("waiting", "leased", "dead"), None) is not None

    def changed(self) -> int:
        """When a message last came, left or changed its state, in nanoseconds since the epoch."""
        with _told_as(DriverUnavailable):
            return max((self._path / state).stat().st_mtime_ns for state in ("waiting", "leased"))

    def age(self, seconds: float) -> None:
        """Move every time back by `seconds`: for tests, which cannot wait."""
        back = round(seconds * 1e9)
        with self._locked():
            for entry in list(self._entries("waiting", "leased")):
                state: State = "leased" if entry.receipt else "waiting"
                self._move(state, entry, state, replace(entry, when=max(0, entry.when - back)))

    # What the steps are made of

    def _settle(self, entry: Entry, verdict: Verdict, now: int, place: int) -> None:
        if isinstance(verdict, Ack):
            self._file("leased", entry).unlink()
        elif isinstance(verdict, DeadLetter):
            # The note first: a dead letter without one would be without a reason.
            self._write(self._note(entry), json.dumps({"reason": verdict.reason, "error": verdict.error}).encode())
            self._move("leased", entry, "dead", replace(entry, when=now, place=place, receipt=""))
        else:
            refund = 0 if isinstance(verdict, Retry) else 1
            shown = replace(
                entry, when=_later(now, verdict.delay), place=place, attempts=entry.attempts - refund, receipt=""
            )
            self._move("leased", entry, "waiting", shown)

    def _names(self, *states: State) -> Iterator[str]:
        """The names of messages; what else somebody may have put there is not ours."""
        names = chain.from_iterable(os.listdir(self._path / state) for state in states)
        return (name for name in names if _NAME.fullmatch(name))

    def _entries(self, *states: State) -> Iterator[Entry]:
        return map(_entry, self._names(*states))

    def _graves(self, ids: Collection[str] | None = None) -> list[Entry]:
        return sorted((entry for entry in self._entries("dead") if ids is None or entry.id in ids), reverse=True)

    def _buried(self, entry: Entry) -> Buried:
        note = {"reason": "its note is gone", "error": ""}
        with contextlib.suppress(FileNotFoundError, ValueError):
            note |= json.loads(self._note(entry).read_bytes())
        return Buried(entry, self._file("dead", entry).read_bytes(), note["reason"], note["error"])

    def _move(self, state: State, entry: Entry, new_state: State, new: Entry) -> None:
        os.rename(self._file(state, entry), self._file(new_state, new))

    def _file(self, state: State, entry: Entry) -> Path:
        return self._path / state / entry.name

    def _note(self, entry: Entry) -> Path:
        return self._path / "notes" / quote(entry.id, safe="")

    def _write(self, file: Path, content: bytes) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            if self._fsync:
                os.fsync(descriptor)

    def _sync(self, folder: Path) -> None:
        """Let the names in a folder reach the disk."""
        if self._fsync:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _make(self) -> None:
        if (self._path / "lock").exists():
            return
        for name in ("", "waiting", "leased", "dead", "notes", "new"):
            (self._path / name).mkdir(mode=0o700, exist_ok=True)
        # Last: where there is a lock, there is all the rest.
        (self._path / "lock").touch(mode=0o600)
        for folder in (self._path, self._path.parent):
            self._sync(folder)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with _told_as(DriverUnavailable):
            self._make()
            descriptor = os.open(self._path / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            self._lock(descriptor)
            yield
        finally:
            # Said, not left to `close`: a child that was forked in the meantime has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise DriverUnavailable(
                    f"{self._path} has been locked for {LOCK_PATIENCE:g} s: is a process that uses it stopped?"
                )
            time.sleep(0.001)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _entry(name: str) -> Entry:
    when, place, attempts, expiries, enqueued, receipt, id = name.split(",")
    return Entry(int(when), int(place), int(attempts), int(expiries), int(enqueued), receipt, unquote(id))


def _later(now: int, seconds: float) -> int:
    return min(now + round(seconds * 1e9), LAST_MOMENT)


@contextlib.contextmanager
def _told_as(meaning: type[DriverUnavailable | Indeterminate]) -> Generator[None]:
    """Let what the file system says pass the port as one of its errors."""
    try:
        yield
    except OSError as error:
        raise meaning(f"{error.filename or 'the folder'}: {error.strerror or error}") from error
