"""The resolver port: rows of an ORM to references and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asynctasq.domain.message import ModelRef


class ModelResolver(Protocol):
    """Knows the rows of one ORM.

    A reference names its model by a label. Both sides find the model among those that the process has imported by itself:
    nothing in a reference is ever imported, and what is not a model of this ORM has no label.

    Attributes:
        orm: the name that its references carry ("sqlalchemy", "django", "tortoise").
    """

    orm: str

    @abstractmethod
    def owns(self, kind: type) -> bool:
        """Whether instances of `kind` are rows of this ORM. Pure and quick: it is asked of every type among arguments."""

    @abstractmethod
    def reference(self, row: object) -> ModelRef:
        """The label and primary key that stand for a row; nothing else of it.

        Loads nothing: a row that is expired or detached still has its key. Values of the key are of plain types, also
        where a database client gives its own subclasses of them.

        Raises:
            SerializationError: the row has no key yet, or is deleted; or its model has no label that a worker could find.
                The message says what to do.
        """

    @abstractmethod
    async def open(self) -> None:
        """Make ready what the worker shall open by itself. Idempotent, on the loop that will resolve.

        Raises:
            ConfigurationError: the ORM cannot be used as configured.
        """

    @abstractmethod
    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        """The rows as they are in the database now, in the order of `refs`; None for a row that is not there.

        The same reference twice is one object. Rows of different models are fetched at the same time, those of one model with
        as few statements as can be. When this returns or raises, also by cancellation, no session is open (one that waits in a
        thread ends its statement first): a row is a snapshot, and what was not loaded with it raises when it is asked for; it
        never blocks the loop.

        Raises:
            UndecodableTask: a label that this process knows no model by, a database it does not know, or a key that the
                model's key cannot be; before anything is fetched.
            ConfigurationError: the model cannot be fetched as configured; the message shows what to add.
            Exception: what the ORM raised.
        """

    @abstractmethod
    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A task's function with what its own use of the ORM needs before and after it; `function` itself if that is nothing.

        Coroutine functions stay coroutine functions, and plain ones plain.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of threads, and of connections that it has opened itself. Idempotent."""
