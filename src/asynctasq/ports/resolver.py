"""The resolver port: ORM rows to references and back. No adapter implements it yet."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from asynctasq.domain.message import ModelRef


class ModelResolver(Protocol):
    """Knows the rows of one ORM.

    Attributes:
        orm: the name that its references carry ("sqlalchemy", "django", "tortoise").
    """

    orm: str

    @abstractmethod
    def owns(self, value: object) -> bool:
        """Whether `value` is a row of this ORM."""

    @abstractmethod
    def reference(self, row: object) -> ModelRef:
        """The label and primary key that stand for a row; nothing else of it.

        Raises:
            SerializationError: the row has no primary key yet; the message says to save it first.
        """

    @abstractmethod
    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object]:
        """The rows, fetched fresh, in order; the same reference twice is one object.

        Raises:
            ModelNotFound: a row is gone.
            UndecodableTask: a label that this process has not registered, or a key of the wrong type.
        """
