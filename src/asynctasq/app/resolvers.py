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
        wanted: whether the app asked for it in its configuration: then it is used, imported or not.
    """

    module: str
    build: Callable[[], ModelResolver]
    wanted: bool = False


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
            for orm, known in list(self._unseen.items()):
                if known.module in sys.modules or known.wanted:
                    self._built[orm] = known.build()
                    self._in_use = tuple(self._built.values())
                    del self._unseen[orm]
        return self._in_use

    def get(self, orm: str) -> ModelResolver | None:
        """The resolver of an ORM; None if it is not in use."""
        self.in_use()
        return self._built.get(orm)
