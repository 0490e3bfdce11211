"""Asking for what is due: of all queues at once, or in a cluster of one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.connection import Asked, give_up_at
from asynctasq.adapters.drivers.redis.keys import Keys
from asynctasq.adapters.drivers.redis.values import packed_arguments
from asynctasq.domain.errors import AsyncTasQError

FIELDS = 5
"""Of each claim in what claim.lua answers."""


class Taken(NamedTuple):
    """What claim.lua answers.

    Attributes:
        claimed: flat, `FIELDS` of each.
        due_in: microseconds until something is due; -1 if never.
        broken: queues that cannot be served, by their place, and why; flat.
    """

    claimed: list[Any]
    due_in: int
    broken: list[Any]


async def take(server: Asked, keys: Keys, queues: Sequence[str], arguments: tuple[Any, ...]) -> Taken:
    """Claim from queues whose keys are on one server."""
    names = [key for queue in queues for key in keys.of(queue)]
    command = ("EVALSHA", scripts.CLAIM.digest, len(names), *names, packed_arguments(arguments))
    ((claimed, due_in, broken),) = await server.ask(command)
    return Taken(claimed, int(due_in), broken)


async def take_one_by_one(server: Asked, keys: Keys, queues: Sequence[str], arguments: tuple[Any, ...]) -> Taken:
    """Claim from queues each of which has a node of its own, in their order, as the more urgent may fill the claim."""
    limit, *rest = arguments
    claimed, broken, soonest, until = list[Any](), list[Any](), list[int](), give_up_at()
    problem: AsyncTasQError | None = None
    for place, queue in enumerate(queues):
        left = packed_arguments((limit - len(claimed) // FIELDS, *rest))
        its_keys = keys.of(queue)
        (reply,) = await server.ask_each(("EVALSHA", scripts.CLAIM.digest, len(its_keys), *its_keys, left), until=until)
        if isinstance(reply, AsyncTasQError):  # a node that is away holds up no queue of another
            problem = reply
            broken += [place, str(reply).encode()]
            continue
        taken, due_in, its = reply
        for n in range(0, len(taken), FIELDS):
            claimed += [place, *taken[n + 1 : n + FIELDS]]
        broken += [place, its[1]] if its else []
        soonest.append(int(due_in))
        if len(claimed) // FIELDS >= limit:
            break
    if problem is not None and not soonest:
        raise problem
    return Taken(claimed, min((due for due in soonest if due >= 0), default=-1), broken)
