"""Which ORMs this process uses, and our resolvers for them. No ORM is imported that the app has not imported itself."""

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
        known: by the name that references carry.
    """

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._unseen = dict(known)
        self._built: dict[str, ModelResolver] = {}
        self._in_use: Sequence[ModelResolver] = ()

    def in_use(self) -> Sequence[ModelResolver]:
        """The resolvers of every ORM that is imported by now."""
        if self._unseen:
            for known in list(self._unseen.values()):
                if known.module in sys.modules:
                    self.add(known.build())
        return self._in_use

    def add(self, resolver: ModelResolver) -> None:
        """Use a resolver that was built elsewhere, whether its ORM is imported or not."""
        self._unseen.pop(resolver.orm, None)
        self._built[resolver.orm] = resolver
        self._in_use = tuple(self._built.values())

    def get(self, orm: str) -> ModelResolver | None:
        """The resolver of an ORM; None if it is not in use."""
        self.in_use()
        return self._built.get(orm)
