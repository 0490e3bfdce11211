"""Which ORMs this process uses, and the resolvers for them. No ORM is imported that the app has not imported itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asynctasq.ports.resolver import ModelResolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An ORM that there is a resolver for.

    Attributes:
        module: what an app has imported that has models of this ORM.
        build: makes the resolver, importing the ORM.
    """

    module: str
    build: Callable[[], ModelResolver]


class Resolvers:
    """The resolvers of the ORMs in use, each built when its ORM is first seen.

    Args:
        known: ours, by the name that references carry.
        others: gives those that other packages bring; asked once, when rows are first looked for, as it takes a while.
    """

    def __init__(self, known: Mapping[str, Known], others: Callable[[], Mapping[str, Known]] | None = None) -> None:
        self._unseen = dict(known)
        self._await_unseen()
        self._others = others
        self._built: dict[str, ModelResolver] = {}
        self._in_use: Sequence[ModelResolver] = ()

    def in_use(self) -> Sequence[ModelResolver]:
        """The resolvers of every ORM that is imported by now.

        Raises:
            ConfigurationError: one that another package brings cannot be built as configured.
        """
        if self._others is not None:
            self._unseen |= {orm: known for orm, known in self._others().items() if orm not in self._built}
            self._others = None
            self._await_unseen()
        if not sys.modules.keys().isdisjoint(self._awaited):
            for known in list(self._unseen.values()):
                if known.module in sys.modules:
                    self.add(known.build())
        return self._in_use

    def add(self, resolver: ModelResolver) -> None:
        """Use a resolver that was built elsewhere, whether its ORM is imported or not."""
        self._unseen.pop(resolver.orm, None)
        self._await_unseen()
        self._built[resolver.orm] = resolver
        self._in_use = tuple(self._built.values())

    def get(self, orm: str) -> ModelResolver | None:
        """The resolver of an ORM; None if it is not in use."""
        self.in_use()
        return self._built.get(orm)

    def _await_unseen(self) -> None:
        """Note the modules to look for, as a set: every dispatch looks for them."""
        self._awaited = frozenset(known.module for known in self._unseen.values())
