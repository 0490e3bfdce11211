"""The names of what this driver keeps in Redis."""

from __future__ import annotations

from dataclasses import dataclass, field

_PARTS = ("due", "leased", "messages", "states", "errors", "dead", "graves", "idle", "rank")
"""In the order of the scripts' prelude, which says what each is."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix.

    What belongs to one queue has one hash tag, so that a script touches one slot of a cluster.
    """

    prefix: str
    _known: dict[str, tuple[bytes, ...]] = field(
        default_factory=dict[str, tuple[bytes, ...]], repr=False, compare=False
    )

    def of(self, queue: str) -> tuple[bytes, ...]:
        """All keys of a queue."""
        keys = self._known.get(queue)
        if keys is None:
            keys = tuple(f"{{{self.prefix}:{queue}}}:{part}".encode() for part in _PARTS)
            self._known[queue] = keys
        return keys

    def channel(self, queue: str) -> bytes:
        """Where claimers that wait for a queue are told to look again."""
        return self.of(queue)[_PARTS.index("idle")]

    def dead(self, queue: str) -> bytes:
        """The hash of a queue's dead letters."""
        return self.of(queue)[_PARTS.index("dead")]

    @property
    def queues(self) -> bytes:
        """The set of the names of all queues that have ever been used."""
        return f"{self.prefix}:queues".encode()
