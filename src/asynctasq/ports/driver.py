"""The driver port: what a broker must do for us. Seven verbs, batches first.

Words: a message is *ready* (due), *delayed* (not yet due), *leased* (claimed) or *dead*. A claim takes a message under a
lease and gives a receipt; a settlement ends it. Every verb answers per item and raises only if nothing is known of any
item. Every verb returns or raises within five seconds, plus `wait` for a claim, even if the broker never answers.

Errors are a closed set: `DriverUnavailable` (nothing applied; `DriverClosed` when not connected), `Indeterminate`,
`PayloadTooLarge`, `InvalidName`, `UnsupportedByDriver`, `ConfigurationError`, `CorruptMessage`. An adapter raises them `from`
its client's own error, which never passes the port.
"""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from asynctasq.domain.errors import AsyncTasQError
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a driver does natively. The app and the contract suite read the same value.

    Every field defaults to the weakest value. What is not declared is refused, never ignored. A field exists only where
    two drivers differ and a promise depends on it.

    Attributes:
        durable: an enqueue that has returned survives kill -9 of every process involved.
        max_delay: the longest `delay` in seconds that can be asked for; None for any.
        delay_resolution: seconds by which a message may be shown late because of how the broker keeps time.
        ordered: ready messages of a queue are claimed by due time, then in enqueue order.
        priority: `Message.priority` is honoured.
        unique: `Message.unique_key` is honoured.
        group: `Message.group` is honoured.
        fencing: a superseded receipt answers LOST and changes nothing, decided by the broker.
        idempotent_enqueue: the same id on the same queue is one message while it is ready, delayed, leased or dead.
        atomic_batch: a batch enqueue is applied as a whole or not at all.
        atomic_move: Retry, Release and DeadLetter move a message in one step; False: copy first, delete second.
        atomic_follow_up: `Settlement.then` is enqueued in the same step.
        refunds_release: Release gives the attempt back.
        attempt_history: the errors of earlier attempts are kept, bounded.
        lease: "timed" ends at a deadline unless extended; "session" lasts as long as the connection.
        max_lease: the longest lease in seconds; None for any.
        max_body: the most bytes of a body; None for any.
        claim_limit: the most messages of one claim; None for any.
        exact_stats: `stats` counts exactly.
    """

    durable: bool = False
    max_delay: float | None = 0.0
    delay_resolution: float = 1.0
    ordered: bool = False
    priority: bool = False
    unique: bool = False
    group: bool = False
    fencing: bool = False
    idempotent_enqueue: bool = False
    atomic_batch: bool = False
    atomic_move: bool = False
    atomic_follow_up: bool = False
    refunds_release: bool = False
    attempt_history: bool = False
    lease: Literal["timed", "session"] = "session"
    max_lease: float | None = 0.0
    max_body: int | None = 0
    claim_limit: int | None = 1
    exact_stats: bool = False


class EnqueueStatus(enum.Enum):
    """What became of one message of an enqueue."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to one message of an enqueue.

    Attributes:
        status: CREATED; DUPLICATE if a live message has the id (or unique key) already; FAILED with the error.
        id: the id under which the message is stored: the live one's for a DUPLICATE.
        error: why it FAILED, from the port's closed set.
    """

    status: EnqueueStatus
    id: str
    error: AsyncTasQError | None = None


class ExtendStatus(enum.Enum):
    """What became of one lease of an extend."""

    KEPT = "kept"
    LOST = "lost"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Extended:
    """The answer to one claim of an extend.

    Attributes:
        status: KEPT; LOST if the receipt was superseded; CANCELLED if the task was asked to stop; FAILED with the error.
        deadline: the new end of a KEPT lease on this process's monotonic clock, measured from before the request was sent.
        error: why it FAILED.
    """

    status: ExtendStatus
    deadline: float | None = None
    error: AsyncTasQError | None = None


class SettleStatus(enum.Enum):
    """What became of one settlement."""

    DONE = "done"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to one settlement.

    Attributes:
        status: DONE; LOST if the receipt was superseded (nothing was changed); FAILED with the error.
        error: why it FAILED.
    """

    status: SettleStatus
    error: AsyncTasQError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """How a queue stands.

    Attributes:
        queue: its name.
        ready: messages that may be claimed now, those of expired leases included.
        delayed: messages that are not due yet.
        leased: messages held under a lease that has not ended.
        dead: dead letters.
        oldest_age: seconds that the longest waiting ready message has been due; None if none is ready.
        exact: whether the counts are exact.
    """

    queue: str
    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_age: float | None
    exact: bool


class QueueDriver(Protocol):
    """A broker, cut at queue level.

    A driver is a cheap description until `connect()`: building one does no I/O. A connected driver belongs to one event
    loop; `sibling()` gives another for another loop or thread.

    Attributes:
        capabilities: what this instance does natively. May be made more precise by `connect()`.
        location: where the broker is, for people: an absolute path or a URL without secrets.
    """

    capabilities: Capabilities
    location: str

    @abstractmethod
    async def connect(self) -> None:
        """Open what is needed and check that it can be used. Idempotent.

        Raises:
            DriverUnavailable: the broker cannot be reached now.
            ConfigurationError: it can be reached, but never used as configured.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close every connection, once cancelled claims have released what they got. Idempotent.

        Every other verb raises `DriverClosed` afterwards. A closed driver may be connected again.
        """

    @abstractmethod
    def sibling(self) -> QueueDriver:
        """A second, unconnected driver with the same settings. Receipts of timed leases are valid on any sibling."""

    @abstractmethod
    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        """Store messages; one answer each, in order.

        A CREATED message is as durable as `capabilities.durable` says. `delay` counts from now on the broker's clock; the
        message is never shown before it has passed. The same id twice on a queue, also within one batch, is one message
        where `idempotent_enqueue` is declared, for as long as it is ready, delayed, leased or dead.

        A body over `max_body` (`PayloadTooLarge`), a delay over `max_delay` or an undeclared field (`UnsupportedByDriver`) and
        a bad queue name (`InvalidName`) FAIL that message alone.

        Raises:
            DriverUnavailable: none was stored.
            Indeterminate: some may have been stored.
        """

    @abstractmethod
    async def claim(
        self, queues: Sequence[str], *, limit: int, lease: float, wait: float, worker: str
    ) -> Sequence[Claim]:
        """Take up to `limit` due messages under a lease, queues in the order given.

        Taking, leasing and counting the attempt are one atomic step per message: racing claimers never get the same
        message. Messages whose lease has ended unsettled are taken as well, with `expiries` one higher; recovery
        needs no other process. Answers at once if anything is due; else waits up to `wait` seconds (0: not at all) and
        returns early when work comes, or returns empty. A stored message that cannot be read is moved to the dead letters and
        its neighbours are returned. A cancelled claim finishes in the background and releases what it got, also where the
        driver is closed meanwhile.

        Args:
            queues: names, the most urgent first.
            limit: at least 1; a driver takes the smaller of this and its `claim_limit`.
            lease: seconds until the messages are shown again unless extended or settled.
            wait: seconds to wait for the first message.
            worker: who claims, for people.

        Raises:
            DriverUnavailable: none was claimed.
            Indeterminate: some may have been claimed; they come back when the lease ends.
            UnsupportedByDriver: `lease` is over `max_lease`.
        """

    @abstractmethod
    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        """Let leases end `lease` seconds from now; one answer each, in order.

        Fenced by the receipt: one that was superseded answers LOST and changes nothing. A lease that has ended but was
        not superseded is KEPT.

        Raises:
            DriverUnavailable: none was extended.
            Indeterminate: some may have been extended.
        """

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        """Carry out verdicts; one answer each, in order.

        Ack forgets the message. Retry shows it again after the delay, attempts kept, the error added to the history
        where `attempt_history` is declared. Release shows it again after the delay, with the attempt refunded where
        `refunds_release` is declared. DeadLetter sets it aside, bytes unchanged. Each is fenced by the receipt: valid
        until superseded by a re-claim, a settlement or a purge, decided by one comparison at the broker. A late
        settlement that nobody has superseded is DONE.

        Raises:
            DriverUnavailable: none was carried out.
            Indeterminate: some may have been; sending the same again is safe (what was applied answers LOST).
        """

    @abstractmethod
    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """How each queue stands; a queue that does not exist counts zero.

        Raises:
            DriverUnavailable: the broker could not be asked.
            Indeterminate: it was asked, and has not answered.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """How one attempt failed.

    Attributes:
        attempt: its number.
        at: when, in seconds since the epoch by the broker's clock.
        error: the failure's text.
    """

    attempt: int
    at: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """A dead letter.

    Attributes:
        id: the message's id.
        queue: the queue it was dead-lettered from, to which a requeue returns it.
        body: the original bytes.
        reason: one line.
        error: the text of the last failure; empty if there was none.
        attempts: how many attempts were spent.
        enqueued_at: seconds since the epoch, broker's clock.
        died_at: seconds since the epoch, broker's clock.
        history: errors of earlier attempts, oldest first, bounded; empty unless `attempt_history` is declared.
    """

    id: str
    queue: str
    body: bytes
    reason: str
    error: str
    attempts: int
    enqueued_at: float
    died_at: float
    history: tuple[AttemptError, ...] = ()


@runtime_checkable
class DeadLetters(Protocol):
    """Optional: dead letters can be read, requeued and purged."""

    @abstractmethod
    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit` dead letters of a queue, the most recently dead first.

        Args:
            queue: its name.
            limit: at least 1.
            after: continue behind the dead letter of this id.
        """

    @abstractmethod
    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        """The dead letters of these ids, in order; None where there is none."""

    @abstractmethod
    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        """Make dead letters ready again: same id, same bytes, next claim is attempt 1, no expiries, no history.

        Atomic per message. Answers whether there was one; asking twice requeues once.
        """

    @abstractmethod
    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        """Remove dead letters for good. Answers whether there was one."""


@runtime_checkable
class Inspector(Protocol):
    """Optional: the broker can be asked what it holds."""

    @abstractmethod
    async def queues(self) -> Sequence[str]:
        """The names of all queues that hold any message, dead letters included, sorted."""


@runtime_checkable
class Purgeable(Protocol):
    """Optional: a queue can be emptied."""

    @abstractmethod
    async def purge(self, queue: str) -> int:
        """Remove every ready, delayed and leased message of a queue and say how many; dead letters stay.

        Receipts of purged messages are superseded: their settlement answers LOST.
        """


@runtime_checkable
class Installable(Protocol):
    """Optional: the broker needs tables of ours, which an operator installs; `connect()` verifies them and never does."""

    @abstractmethod
    def schema_sql(self) -> str:
        """What `install()` runs, for people who run it themselves. Needs no connection."""

    @abstractmethod
    async def install(self) -> None:
        """Install what is missing and upgrade what is old; nothing that is there is lost. Needs no `connect()`.

        May be run at any time, again, and by several at once.

        Raises:
            DriverUnavailable: nothing was changed.
            Indeterminate: everything may have been changed, or nothing; run it again.
            ConfigurationError: it can never be done as configured.
        """
