"""What a broker carries and hands out: messages and the claims on them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Opaque bytes for one queue, with what the broker itself must know.

    Attributes:
        id: unique for ever; the same id twice on a queue is one message where `idempotent_enqueue` is declared.
        queue: a valid queue name.
        body: the encoded task. No driver looks into it.
        delay: seconds, by the broker's clock, before it may be claimed for the first time.
        priority: higher first within a queue. Reserved: needs the capability `priority`.
        unique_key: at most one live message of the key. Reserved: needs the capability `unique`.
        unique_for: seconds that the key is held. Reserved, with `unique_key`.
        group: messages of a group run one at a time, in order. Reserved: needs the capability `group`.
    """

    id: str
    queue: str
    body: bytes
    delay: float = 0.0
    priority: int = 0
    unique_key: str | None = None
    unique_for: float | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A message that one worker holds under a lease.

    Attributes:
        message: what was enqueued, bytes unchanged.
        attempt: 1-based, counted by the broker in the same step that leased the message.
        receipt: opaque and new at each claim; every extension and settlement is fenced by it.
        deadline: when the lease ends, on this process's monotonic clock, measured from before the claim was sent;
            None where the lease lasts as long as the session.
        enqueued_at: when the message was enqueued, in seconds since the epoch by the broker's clock.
        expiries: how many leases on this message ended without a settlement (its worker died or froze).
    """

    message: Message
    attempt: int
    receipt: str
    deadline: float | None
    enqueued_at: float
    expiries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Stands for an ORM row among a task's arguments; the row is fetched fresh when the task runs.

    Attributes:
        orm: which resolver owns it ("sqlalchemy", "django", "tortoise").
        label: the model, by a label that the worker has registered itself.
        pk: the primary key; a tuple where it is composite.
        alias: the database it lives in, where the ORM knows several.
    """

    orm: str
    label: str
    pk: object
    alias: str | None = None
