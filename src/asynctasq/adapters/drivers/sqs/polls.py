"""Waiting for messages of several queues at once, without losing what comes for somebody who has gone.

SQS waits at one queue per request, and a request that is dropped may take a message with it, which comes back only when its
lease ends. So none is dropped: one that has not been answered when its claim ends is left to the next claim, and what it
brings when there is none is given back.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue
from asynctasq.domain.errors import ConfigurationError, DriverClosed, InvalidName
from asynctasq.domain.message import Claim

UNWANTED = 0.5
"""Seconds for which claims that nobody has asked for are kept for the next who asks."""

UNUSABLE = (ConfigurationError, InvalidName, NoSuchQueue)
"""Of one queue, these say nothing of others: it does not exist, is not for us, or cannot be called so."""

Receive = Callable[[str, int, float, int], Coroutine[Any, Any, list[Claim]]]
"""Claims of a queue, given how many at most, the lease, and how many whole seconds SQS may wait for the first."""


class _Poll:
    """A request for messages of one queue.

    Attributes:
        queue: whose.
        lease: seconds for which what it brings is leased.
        receiving: what it brings.
        adopted: whether it was begun by an earlier claim.
    """

    def __init__(self, queue: str, lease: float, receiving: asyncio.Future[list[Claim]]) -> None:
        self.queue = queue
        self.lease = lease
        self.receiving = receiving
        self.adopted = False

    @property
    def answered(self) -> bool:
        return self.receiving.done()

    @property
    def problem(self) -> BaseException | None:
        """Why this queue cannot be used, as others may be."""
        problem = self.receiving.exception() if self.answered else None
        return problem if isinstance(problem, UNUSABLE) else None

    @property
    def claims(self) -> list[Claim]:
        return self.receiving.result() if self.answered and not self.problem else []


class Polls:
    """The requests of one driver that wait for messages.

    Args:
        receive: asks for messages of one queue.
        give_back: releases claims in the background.
        complain: tells people of a queue that cannot be used.
    """

    def __init__(
        self,
        receive: Receive,
        give_back: Callable[[Sequence[Claim]], None],
        complain: Callable[[str, BaseException], None],
    ) -> None:
        self._receive = receive
        self._give_back = give_back
        self.complain = complain
        self._left: defaultdict[str, list[_Poll]] = defaultdict(list)
        self._under_way: set[asyncio.Future[list[Claim]]] = set()

    def waits_at(self, queue: str, lease: float) -> bool:
        """Whether a request of an earlier claim still waits at a queue: there is nothing to be found there."""
        return any(poll.lease == lease and not poll.answered for poll in self._left[queue])

    def kept(self, queue: str, *, limit: int, lease: float) -> list[Claim]:
        """What earlier claims have left of a queue."""
        claims: list[Claim] = []
        for poll in [poll for poll in self._left[queue] if poll.lease == lease and poll.answered]:
            if len(claims) < limit:
                self._left[queue].remove(poll)
                if poll.receiving.exception() is None:
                    claims += poll.claims
        return self._up_to(limit, claims, lease)

    async def first(self, queues: Sequence[str], *, limit: int, lease: float, seconds: int) -> list[Claim]:
        """What comes first at any of the queues, the most urgent one's before the others'; empty after `seconds`.

        Raises:
            AsyncTasQError: SQS could not be asked, or none of the queues can be used.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        polls = {queue: self._adopted(queue, lease) or self._begun(queue, limit, lease, seconds) for queue in queues}
        try:
            while not any(poll.claims for poll in polls.values()):
                for queue, poll in polls.items():
                    left = int(end - loop.time())
                    if poll.adopted and poll.answered and left > 0:  # it had waited for a while before
                        polls[queue] = self._begun(queue, limit, lease, left)
                pending = [poll for poll in polls.values() if not poll.answered]
                if not pending:
                    break
                # Those of this claim end in time by themselves, and tell if SQS cannot be asked.
                ends = any(not poll.adopted for poll in pending)
                patience = None if ends else max(0.0, end - loop.time())
                await asyncio.wait(
                    [poll.receiving for poll in pending], timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not ends and loop.time() >= end:
                    break
            claims = [claim for poll in polls.values() for claim in poll.claims]
            self._tell_of_problems(polls)
        except BaseException:
            for poll in polls.values():
                self._leave(poll)
            raise
        for poll in polls.values():
            if not poll.answered:
                self._leave(poll)
        return self._up_to(limit, claims, lease)

    async def close(self, patience: float) -> None:
        """Wait a little for what is under way, then drop it; what has come is given back."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience)
        for receiving in self._under_way:
            receiving.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        for poll in [poll for polls in self._left.values() for poll in polls]:
            self._end(poll)

    def _tell_of_problems(self, polls: Mapping[str, _Poll]) -> None:
        """Raise the problem if there is nothing else; else only tell of it: such a queue holds up no other."""
        problems = {queue: problem for queue, poll in polls.items() if (problem := poll.problem)}
        if len(problems) == len(polls):
            raise next(iter(problems.values()))
        for queue, problem in problems.items():
            self.complain(queue, problem)

    def _begun(self, queue: str, limit: int, lease: float, seconds: int) -> _Poll:
        receiving = asyncio.ensure_future(self._received(queue, limit, lease, seconds))
        self._under_way.add(receiving)
        receiving.add_done_callback(self._under_way.discard)
        receiving.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # it may be nobody's
        return _Poll(queue, lease, receiving)

    async def _received(self, queue: str, limit: int, lease: float, seconds: int) -> list[Claim]:
        try:
            return await self._receive(queue, limit, lease, seconds)
        except asyncio.CancelledError:
            raise DriverClosed(
                "the SQS driver was closed while it waited for messages: connect it before the next claim"
            ) from None

    def _adopted(self, queue: str, lease: float) -> _Poll | None:
        poll = next((poll for poll in self._left[queue] if poll.lease == lease), None)
        if poll is not None:
            self._left[queue].remove(poll)
            poll.adopted = True
        return poll

    def _up_to(self, limit: int, claims: list[Claim], lease: float) -> list[Claim]:
        """As many claims as were asked for; the others are left to who asks next."""
        for claim in claims[limit:]:
            answered: asyncio.Future[list[Claim]] = asyncio.get_running_loop().create_future()
            answered.set_result([claim])
            self._leave(_Poll(claim.message.queue, lease, answered))
        return claims[:limit]

    def _leave(self, poll: _Poll) -> None:
        loop = asyncio.get_running_loop()
        self._left[poll.queue].append(poll)
        poll.receiving.add_done_callback(lambda _: loop.call_later(UNWANTED, self._end, poll))

    def _end(self, poll: _Poll) -> None:
        """Nobody has asked for what a request has brought."""
        if poll not in self._left[poll.queue]:
            return
        self._left[poll.queue].remove(poll)
        if poll.answered and poll.receiving.exception() is None and poll.claims:
            self._give_back(poll.claims)
